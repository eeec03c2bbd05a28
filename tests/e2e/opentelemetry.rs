//! The OpenTelemetry SDK for Python exports over OTLP/gRPC: values, attributes and times come back by SQL.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Finished, Service, python};

#[test]
fn what_the_python_sdk_exports_comes_back_by_sql_to_the_microsecond() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/export_otlp.py");
    let target = service.otlp_grpc.trim_start_matches("http://");
    let output = Command::new(python).args([script, target]).output().expect("Python starts");
    let sent = Finished::from(output).json_lines();
    assert!(sent.len() >= 5, "{sent:?}");

    // Canonical signal and unit factor of each series that is sent, by its hw.id.
    let expected = [
        ("s1", "coolant_supply_temperature", 1.0),
        ("s2", "coolant_return_temperature", 1.0),
        ("gpu0", "gpu_temperature", 1.0),
        ("p1", "rack_power", 0.001),
        ("f1", "coolant_flow", 1.0),
    ];
    for (id, signal, factor) in expected {
        let point = sent.iter().find(|point| point["attributes"]["hw.id"] == id).expect("it was sent");
        let query = format!(
            "select value, cast(time as bigint) as micros, source_name, source_unit, rack, node, device, sensor, labels \
             from samples where signal = '{signal}' and rack = 'r1'"
        );
        let rows = service.sql(&query);
        let micros = point["time_unix_nano"].as_i64().expect("a time").div_euclid(1_000);
        let row = rows
            .iter()
            .find(|row| row["micros"] == micros)
            .unwrap_or_else(|| panic!("{signal} at {micros} µs is not in {rows:?}"));
        let value = point["value"].as_f64().expect("a value") * factor;
        assert!((row["value"].as_f64().expect("a value") - value).abs() < 1e-9, "{row:?}");
        assert_eq!(row["source_name"], point["name"]);
        assert_eq!(row["source_unit"], point["unit"]);
        // What says where a reading is from is a column; everything else is a label.
        for (name, sent) in point["attributes"].as_object().expect("attributes") {
            let label = name.replace('.', "_");
            let kept = match name.as_str() {
                "rack" => &row["rack"],
                "hw.id" => &row["sensor"],
                "host.name" => &row["node"],
                "gpu" => &row["device"],
                _ => &row["labels"][&label],
            };
            let wanted = if name == "gpu" { Value::from("gpu0") } else { sent.clone() };
            assert_eq!(*kept, wanted, "{name} of {row}");
        }
        assert_eq!(row["labels"]["service_name"], "bmc-collector", "attributes of the resource too");
    }
}
