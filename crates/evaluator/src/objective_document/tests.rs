//! Messages as text: the author of a document sees them and nothing else.

use super::*;
use crate::objective::{Aggregation, Promise, Rollup, Tier};
use telemetry::facts::{ObjectiveKind, Scope};
use telemetry::unit::Unit;

const GOOD: &str = include_str!("tests/good.yaml");

fn documents(text: &str) -> Vec<Document> {
    vec![Document { name: "slo/a.yaml".into(), text: text.into() }]
}

fn load(text: &str) -> Result<Loaded, Vec<String>> {
    read(&documents(text), &KnownSignals::canonical())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_default_objectives_load_without_a_warning() {
    let loaded = read(&crate::default_documents(), &KnownSignals::canonical())
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    let names: Vec<&str> = loaded.objectives.iter().map(|objective| &*objective.name).collect();
    assert_eq!(
        names,
        [
            "coolant-dt",
            "coolant-supply-temperature",
            "coolant-supply-temperature-trend",
            "coolant-supply-temperature-warn",
            "gpu-thermal-margin",
            "gpu-thermal-throttle",
            "leak",
        ]
    );
    let warnings: Vec<_> =
        loaded.remarks.iter().filter(|remark| remark.level == RemarkLevel::Warning).collect();
    assert_eq!(warnings, [] as [&Remark; 0]);
}
