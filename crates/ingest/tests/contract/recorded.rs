//! Other people's recordings, read as they are. They are not in the repository: the folder is named by
//! `THERMOGATE_TEST_DATA`, else `../shared/data` beside the workspace. Without them these tests say so and pass, but
//! fail where `CI=true`.

use std::path::{Path, PathBuf};

use ingest::files::{FileOptions, Format};
use telemetry::mapping::{DeclaredSignal, Mapping, Resolver};
use telemetry::record::Flag;
use telemetry::site::Site;
use telemetry::unit::Unit;

use super::files::{open, replay};
use super::senders::{resolver, samples};

/// A file of the recordings, or `None` after saying that it is missing.
fn recording(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("THERMOGATE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{} is missing", path.display());
    println!("skipped: {} is missing; set THERMOGATE_TEST_DATA", path.display());
    None
}

fn with_signal(name: &str) -> Resolver {
    let mut mapping = Mapping::built_in();
    let unit = Unit::parse("1").unwrap();
    mapping.declare(DeclaredSignal { name: name.into(), unit, span: None, usual: None }).unwrap();
    Resolver::new(mapping, Site::empty("s1"))
}

#[test]
fn the_machine_temperatures_of_nab_come_row_by_row() {
    let Some(path) = recording("nab/realKnownCause/machine_temperature_system_failure.csv") else { return };
    let options = FileOptions {
        rack: Some("m1".into()),
        time_column: Some("timestamp".into()),
        time_zone: Some("UTC".into()),
        map: vec!["value=machine_temperature".parse().unwrap()],
        ..FileOptions::default()
    };
    let records = replay(&[path], &options, with_signal("machine_temperature")).unwrap();
    let samples = samples(&records);
    assert_eq!(samples.len(), 22_695);
    assert_eq!(samples.iter().filter(|sample| sample.2 > 100.0).count(), 1_586);
    assert_eq!(
        samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).count(),
        1,
        "one row goes back in time and stays there"
    );
}

#[test]
fn the_oil_temperatures_of_uci_are_one_a_second() {
    let Some(path) = recording("uci_hydraulic/TS1.txt") else { return };
    let options = FileOptions {
        format: Some(Format::Plain),
        rack: Some("rig".into()),
        start: Some(super::senders::at(0)),
        interval: Some("1s".parse().unwrap()),
        map: vec!["TS1=coolant_return_temperature:Cel".parse().unwrap()],
        ..FileOptions::default()
    };
    let records = replay(&[path], &options, resolver()).unwrap();
    let samples = samples(&records);
    assert_eq!(samples.len(), 87_840);
    assert_eq!(samples.iter().filter(|sample| sample.2 > 50.0).count(), 42_825);
    assert_eq!(samples.last().map(|sample| (sample.1, sample.2)), Some((87_839.0, 44.930)));
}

#[test]
fn the_bus_messages_of_dsx_are_all_understood() {
    let Some(path) = recording("dsx/dsx_exemplar.csv") else { return };
    let options = FileOptions {
        format: Some(Format::DsxBms),
        start: Some(super::senders::at(0)),
        ..FileOptions::default()
    };
    let mut source = open(std::slice::from_ref(&path), &options, resolver()).unwrap();
    let rows: usize = source.by_ref().map(|group| group.unwrap().rows.len()).sum();
    assert_eq!((rows, source.unreadable_rows()), (4_711, 0));
    let records = replay(&[path], &options, resolver()).unwrap();
    let samples = samples(&records);
    let series: std::collections::BTreeSet<&String> = samples.iter().map(|sample| &sample.0).collect();
    assert_eq!((samples.len(), series.len()), (4_545, 145), "no two points became one series");
    let mean = |signal: &str, rack: &str| {
        let identity = format!("{signal} of site s1, rack {rack}");
        let values: Vec<f64> =
            samples.iter().filter(|sample| sample.0 == identity).map(|sample| sample.2).collect();
        (values.len(), values.iter().sum::<f64>() / values.len() as f64)
    };
    for (signal, count, expected) in [
        ("coolant_flow", 90, 50.7635),
        ("coolant_supply_temperature", 24, 31.9954),
        ("coolant_return_temperature", 36, 42.1242),
        ("rack_power", 20, 35.2059),
    ] {
        let (found, mean) = mean(signal, "Pod1C-E02");
        assert_eq!(found, count, "{signal}");
        assert!((mean - expected).abs() < 5e-5, "{signal}: {mean}");
    }
}

#[test]
fn the_nodes_of_fasrc_are_sorted_by_time_and_empty_reports_hold_no_reading() {
    let Some(path) = recording("fasrc/fasrc_water_cooled_2025-06-03_0000-0230.csv") else { return };
    let options = FileOptions {
        time_column: Some("ts".into()),
        time_zone: Some("UTC".into()),
        map: vec![
            "inlet_water_temp_c=facility_supply_temperature:Cel".parse().unwrap(),
            "ambient_temp_c=air_inlet_temperature:Cel".parse().unwrap(),
            "psu_power_w=rack_power:W".parse().unwrap(),
        ],
        ignore: vec!["chassis_power_w".into(), "sys_power_w".into()],
        sort: true,
        ..FileOptions::default()
    };
    let groups: Vec<_> =
        open(std::slice::from_ref(&path), &options, resolver()).unwrap().map(Result::unwrap).collect();
    assert_eq!(groups.iter().map(|group| group.rows.len()).sum::<usize>(), 36_600);
    assert!(groups.windows(2).all(|pair| pair[0].time < pair[1].time), "a group a moment, in order");
    assert_eq!(groups.iter().map(|group| group.decoded.absent).sum::<u64>(), 70 * 3);
    let records = replay(&[path], &options, resolver()).unwrap();
    let samples = samples(&records);
    let water: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.0.starts_with("facility_supply_temperature"))
        .map(|sample| sample.2)
        .collect();
    assert_eq!(water.len(), 36_530);
    assert!((water.iter().sum::<f64>() / water.len() as f64 - 22.191514).abs() < 1e-6);
    assert!(samples.iter().all(|sample| sample.3 == Flag::Ok || sample.3 == Flag::Unusual));
}

#[test]
fn the_test_rig_of_skab_is_read_with_its_own_delimiter() {
    let Some(path) = recording("skab/valve1/0.csv") else { return };
    let ignored = [
        "Accelerometer1RMS",
        "Accelerometer2RMS",
        "Current",
        "Voltage",
        "Temperature",
        "anomaly",
        "changepoint",
    ];
    let options = FileOptions {
        rack: Some("rig".into()),
        delimiter: Some(";".parse().unwrap()),
        time_column: Some("datetime".into()),
        time_zone: Some("UTC".into()),
        map: [
            "Volume Flow RateRMS=coolant_flow:L/min",
            "Thermocouple=coolant_supply_temperature:Cel",
            "Pressure=coolant_pressure:bar",
        ]
        .iter()
        .map(|map| map.parse().unwrap())
        .collect(),
        ignore: ignored.iter().map(|&name| name.to_owned()).collect(),
        ..FileOptions::default()
    };
    let records = replay(&[path], &options, resolver()).unwrap();
    let samples = samples(&records);
    let first: Vec<f64> = samples.iter().take(3).map(|sample| sample.2).collect();
    assert_eq!(first, [5.4711, 26.0199, 32.0]);
    assert_eq!(samples.len() % 3, 0);
}
