//! Unit tests of objectives, beside them in `slo/*.test.yaml`: readings in, expected states and alerts out, judged by
//! the same evaluator as in service.
//!
//! ```yaml
//! apiVersion: thermogate.dev/v1alpha1
//! kind: ObjectiveTest
//! metadata: {name: a-hot-spell-breaks-the-limit}
//! spec:
//!   interval: 10s                     # between two readings of a series
//!   run: {stage: smoke, planned: 20m, racks: [r1], start: 5m, end: 15m}     # optional
//!   series:                           # site, loop, rack, node, device, sensor; values as below
//!     - {signal: coolant_supply_temperature, rack: r1, values: "44x10m 46x5m _x1m 44+0.5x2m"}
//!   expect:
//!     - {at: 10m, objective: coolant-supply-temperature, rack: r1, state: ok, badTime: 0s}
//!     - {at: 15m, objective: coolant-supply-temperature, rack: r1, state: notOk, badTime: 5m, episodes: 1}
//!     - {at: 15m, alert: CoolantSupplyTemperatureBudgetBurn, severity: page, rack: r1, state: firing}
//! ```
//!
//! `VALUExLENGTH` repeats a value for a length of time, `VALUE+STEPxLENGTH` (or `-STEP`) moves it by a step with each
//! reading, `_xLENGTH` sends nothing, a bare `VALUE` or `_` is one reading. Values are in the signal's canonical unit;
//! state signals take words: `okx5m critical`. Event time begins at 2026-01-05T00:00:00Z; nothing is late.
//!
//! States of objectives: `ok`, `notOk`, `unknown` (with `reason`, such as `stale`), `notAsked` (no status at all).
//! States of alerts: `inactive`, `pending`, `firing`, `unknown_hold`, `suppressed`, `resolved`. An expectation about an
//! objective may name its `scope`, `rolling` (the default) or `run`.

mod document; // what a test says
mod run; // what the evaluator makes of it

use std::fmt;

use telemetry::document::DocumentError;
use telemetry::expression::KnownSignals;
use telemetry::record::{Configuration, Document};

use crate::objective_document;

/// What became of one expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Name of the test.
    pub name: String,
    /// File that the expectation stands in.
    pub document: String,
    /// Its line, from 1.
    pub line: u64,
    /// Whether what was observed is what was expected.
    pub passed: bool,
    /// What was expected, in words.
    pub expected: String,
    /// What was observed, in the same words.
    pub observed: String,
}

impl fmt::Display for TestOutcome {
    /// `slo/coolant.test.yaml:12: a-hot-spell: at 10m …: expected ok, observed notOk`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, document, line, passed, expected, observed } = self;
        match passed {
            true => write!(f, "{document}:{line}: {name}: {expected}"),
            false => write!(f, "{document}:{line}: {name}: expected {expected}; observed {observed}"),
        }
    }
}

/// Runs all tests of a file under a configuration: one outcome for each expectation, in their order. Objects of other
/// kinds are passed over. Of the configuration everything counts but its lateness, which is none here.
///
/// # Errors
/// All that is wrong with the test file, each with line, field and reason.
pub fn run_tests(
    tests: &Document,
    configuration: &Configuration,
    known: &KnownSignals,
) -> Result<Vec<TestOutcome>, Vec<DocumentError>> {
    let read = document::read(tests, known)?;
    let objectives = objective_document::read(&configuration.objectives, known)?.objectives;
    let unknown = read.iter().flat_map(|test| document::unknown_objectives(test, tests, &objectives));
    match unknown.collect::<Vec<_>>() {
        unknown if unknown.is_empty() => {}
        unknown => return Err(unknown),
    }
    Ok(read.iter().flat_map(|test| run::run(test, &tests.name, configuration, known)).collect())
}

#[cfg(test)]
mod tests;
