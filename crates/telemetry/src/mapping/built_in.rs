//! Rows that are compiled in: what the exporters and buses of liquid-cooled racks call our signals.
//!
//! | file | source |
//! |---|---|
//! | `dcgm` | dcgm-exporter, all generations of names |
//! | `open_telemetry` | `hw.*` semantic conventions, and our extension of them to liquids |
//! | `redfish` | Redfish properties, redfish_exporter |
//! | `dsx` | NVIDIA DSX Exchange BMS points |
//! | `plant` | NVIDIA BCM and other exporters |

mod dcgm;
mod dsx;
mod open_telemetry;
mod plant;
mod redfish;

use crate::Name;
use crate::unit::Unit;

use super::labels::normal;
use super::row::{Condition, Reading, Row, Target};

/// A compiled-in row.
#[derive(Clone, Copy)]
struct BuiltIn {
    metric: &'static str,
    signal: &'static str,
    unit: &'static str,
    source: Option<&'static str>,
    when: &'static [(&'static str, When)],
    states: &'static [(&'static str, f64)],
    sensor: Option<&'static str>,
    sensor_label: Option<&'static str>,
}

/// A condition on a label of a compiled-in row.
#[derive(Clone, Copy)]
enum When {
    Is(&'static [&'static str]),
    IsNot(&'static [&'static str]),
    Absent,
    Like(&'static str),
}

/// `metric` is `signal` in `unit`, unless its source names another unit.
const fn row(metric: &'static str, signal: &'static str, unit: &'static str) -> BuiltIn {
    BuiltIn { metric, signal, unit, source: None, when: &[], states: &[], sensor: None, sensor_label: None }
}

impl BuiltIn {
    const fn from(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    const fn when(mut self, when: &'static [(&'static str, When)]) -> Self {
        self.when = when;
        self
    }

    const fn states(mut self, states: &'static [(&'static str, f64)]) -> Self {
        self.states = states;
        self
    }

    const fn sensor(mut self, sensor: &'static str) -> Self {
        self.sensor = Some(sensor);
        self
    }

    const fn sensor_label(mut self, label: &'static str) -> Self {
        self.sensor_label = Some(label);
        self
    }

    fn build(&self, origin: &str) -> Row {
        let unit = match self.unit {
            "" => None,
            unit => Some(Unit::parse(unit).expect("compiled-in rows name known units")),
        };
        Row {
            origin: format!("built in: {origin}").into(),
            source: self.source.map(Name::from),
            metric: normal(self.metric).into(),
            conditions: self.when.iter().map(|(label, when)| ((*label).into(), when.build())).collect(),
            target: Target::Signal(Box::new(Reading {
                unit,
                states: self.states.iter().map(|(word, code)| ((*word).to_owned(), *code)).collect(),
                sensor: self.sensor.map(Name::from),
                sensor_label: self.sensor_label.map(Name::from),
                dcgm_blanks: origin == "dcgm",
                ..Reading::of(self.signal)
            })),
        }
    }
}

impl When {
    fn build(self) -> Condition {
        let names = |values: &[&str]| values.iter().map(|value| Name::from(*value)).collect();
        match self {
            Self::Is(values) => Condition::In(names(values)),
            Self::IsNot(values) => Condition::NotIn(names(values)),
            Self::Absent => Condition::Absent,
            Self::Like(pattern) => Condition::Like(pattern.into()),
        }
    }
}

/// All compiled-in rows.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    [
        ("dcgm", dcgm::ROWS),
        ("OpenTelemetry", open_telemetry::ROWS),
        ("Redfish", redfish::ROWS),
        ("DSX", dsx::ROWS),
        ("plant", plant::ROWS),
    ]
    .into_iter()
    .flat_map(|(origin, rows)| rows.iter().map(move |row| row.build(origin)))
    .chain([ignored("target_info", "describes its target in labels and carries no reading")])
}

fn ignored(metric: &str, reason: &str) -> Row {
    Row {
        origin: "built in".into(),
        source: None,
        metric: metric.into(),
        conditions: Vec::new(),
        target: Target::Ignored(reason.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_match_one_point() {
        let rows: Vec<Row> = rows().collect();
        for (index, row) in rows.iter().enumerate() {
            for other in &rows[..index] {
                assert!(!row.overlaps(other), "{row:?}\n{other:?}");
            }
        }
    }

    #[test]
    fn every_row_names_a_signal_that_takes_its_unit() {
        for row in rows() {
            let Target::Signal(reading) = &row.target else { continue };
            let signal = crate::signal::find(&reading.signal).unwrap_or_else(|| panic!("{row:?}"));
            if let Some(unit) = reading.unit {
                crate::unit::conversion(unit, signal.unit).unwrap_or_else(|error| panic!("{row:?}: {error}"));
            }
        }
    }
}
