//! The lists that real sources publish: every name of dcgm-exporter's, every point of a recorded DSX bus.

use std::collections::BTreeMap;
use std::path::PathBuf;

use telemetry::mapping::{Mapping, Resolution, Resolver, SourceMetric, Unmapped};
use telemetry::site::Site;

/// A file of the test data; without it the test is skipped, or fails where everything has to be there.
fn test_data(file: &str) -> Option<String> {
    let folder = std::env::var_os("THERMOGATE_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{}: {error}", path.display())
        }
        Err(_) => {
            println!("skipped: {} is not there", path.display());
            None
        }
    }
}

fn resolver() -> Resolver {
    Resolver::new(Mapping::built_in(), Site::empty("default"))
}

/// Entries of a dcgm-exporter list, switched on or off: name and kind.
fn entries(list: &str) -> Vec<(String, String)> {
    list.lines()
        .filter_map(|line| {
            let parts: Vec<&str> = line.trim_start_matches(['#', ' ']).split(',').map(str::trim).collect();
            let kind = parts.get(1).filter(|kind| ["gauge", "counter", "label"].contains(kind))?;
            (parts.len() >= 3).then(|| (parts[0].to_owned(), (*kind).to_owned()))
        })
        .collect()
}

#[test]
fn every_name_of_dcgm_exporter_is_a_signal_or_kept() {
    for (file, expected) in [
        ("dcgm/default-counters.csv", 6),
        ("dcgm/dcp-metrics-included.csv", 6),
        ("dcgm/1.x-compatibility-metrics.csv", 6),
    ] {
        let Some(list) = test_data(file) else { return };
        let mut signals = BTreeMap::new();
        for (name, _) in entries(&list) {
            let labels = [("Hostname", "n1"), ("gpu", "0"), ("UUID", "GPU-1")];
            match resolver().resolve(&SourceMetric {
                source: "remote_write",
                name: &name,
                unit: None,
                labels: &labels,
            }) {
                Resolution::Series(series) => {
                    let before = signals.insert(series.identity.to_string(), name.clone());
                    assert_eq!(before, None, "{file}: {name} is the same series as another name");
                }
                Resolution::Unmapped(Unmapped::Keep(series)) => assert_eq!(&*series.identity.signal, name),
                other => panic!("{file}: {name}: {other:?}"),
            }
        }
        assert_eq!(signals.len(), expected, "{file}: {signals:#?}");
    }
}

/// A metadata message of the bus as the metric it describes.
fn metric_of(
    metadata: &serde_json::Value,
    tag_path: &str,
) -> (String, Option<String>, Vec<(String, String)>) {
    let text = |field: &str| metadata[field].as_str().map(str::to_owned);
    let mut labels = vec![("tagPath".to_owned(), tag_path.to_owned())];
    for field in ["objectType", "objectId", "rackLocationId", "integration"] {
        labels.extend(text(field).map(|value| (field.to_owned(), value)));
    }
    if let Some(areas) = metadata["processArea"].as_array() {
        let areas: Vec<&str> = areas.iter().filter_map(|area| area.as_str()).collect();
        labels.push(("processArea".to_owned(), areas.join("/")));
    }
    if metadata["isSetpoint"] == true {
        labels.push(("isSetpoint".to_owned(), "true".to_owned()));
    }
    if metadata["stateText"].is_array() {
        labels.push(("stateText".to_owned(), metadata["stateText"].to_string()));
    }
    (text("pointType").unwrap(), text("engUnit"), labels)
}

#[test]
fn every_point_of_the_recorded_bus_is_the_signal_that_it_is() {
    let Some(recording) = test_data("dsx/dsx_exemplar.csv") else { return };
    let resolver = resolver();
    let (mut signals, mut identities, mut kept) = (BTreeMap::<String, usize>::new(), BTreeMap::new(), 0);
    for row in csv::Reader::from_reader(recording.as_bytes()).records().map(Result::unwrap) {
        let Some(topic) = row[1].strip_prefix("BMS/v1/PUB/Metadata/") else { continue };
        let tag_path = topic.splitn(3, '/').nth(2).unwrap();
        let (name, unit, labels) = metric_of(&serde_json::from_str(&row[2]).unwrap(), tag_path);
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let metric = SourceMetric { source: "dsx_bms", name: &name, unit: unit.as_deref(), labels: &labels };
        match resolver.resolve(&metric) {
            Resolution::Series(series) => {
                assert_eq!(identities.insert(series.identity.to_string(), topic.to_owned()), None, "{topic}");
                *signals.entry(series.identity.signal.to_string()).or_default() += 1;
            }
            Resolution::Unmapped(Unmapped::Keep(series)) => {
                assert_eq!(identities.insert(series.identity.to_string(), topic.to_owned()), None, "{topic}");
                kept += 1;
            }
            other => panic!("{topic}: {other:?}"),
        }
    }
    let found: Vec<(&str, usize)> = signals.iter().map(|(signal, count)| (signal.as_str(), *count)).collect();
    assert_eq!(
        found,
        [
            ("coolant_differential_pressure", 6),
            ("coolant_differential_pressure_setpoint", 6),
            ("coolant_flow", 6),
            ("coolant_pressure", 2),
            ("coolant_return_temperature", 6),
            ("coolant_supply_temperature", 6),
            ("coolant_supply_temperature_setpoint", 2),
            ("facility_flow", 1),
            ("facility_return_temperature", 1),
            ("facility_supply_temperature", 1),
            ("filter_differential_pressure", 1),
            ("humidity", 4),
            ("leak_state", 16),
            ("pump_speed", 2),
            ("rack_power", 6),
            ("valve_position", 7),
        ]
    );
    assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>() + kept, 166);
}
