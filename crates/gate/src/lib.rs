//! Judges a rack or a run from facts and a policy: facts in, explained verdict out. Pure.
//!
//! `evaluator` → facts → **gate** → verdict → `service` (gRPC, HTTP, table `verdicts`), `cli`

pub mod policy; // what a policy asks: read this first
pub mod policy_document; // strict YAML → policy

pub mod policy_test; // unit tests of policies: given facts → expected verdict
pub mod references; // objectives, detectors and signals that a policy names must exist
pub mod report; // verdicts as text, Markdown, JUnit, JSON
pub mod verdict; // the answer: one row a check, one entry a rack

mod again; // a verdict judged again from its stored facts
pub mod canary; // statistics of a change, before and since
mod check; // one file a kind of check
mod combine; // rows → rack → verdict, score, cause, reason
mod control; // racks that a canary is compared with
mod judge; // the question and the flow of judging
mod subject; // one rack as a check sees it
mod words; // numbers, lengths of time and SQL for people

pub use again::{AgainError, Stored, facts_json, judge_again};
pub use control::{Control, controls};
pub use judge::{Question, judge, judge_beside};
pub use policy::{Policy, needs};
pub use verdict::{CheckResult, Evidence, RackVerdict, Verdict, VerdictKind, exit_code};

/// Version of the engine that answers carry.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The gate policies that are compiled in: `smoke`, `canary` and `default`.
pub fn default_documents() -> Vec<telemetry::record::Document> {
    [
        ("slo/policies/canary.yaml", include_str!("../../../slo/policies/canary.yaml")),
        ("slo/policies/default.yaml", include_str!("../../../slo/policies/default.yaml")),
        ("slo/policies/smoke.yaml", include_str!("../../../slo/policies/smoke.yaml")),
    ]
    .map(|(name, text)| telemetry::record::Document { name: name.into(), text: text.into() })
    .into()
}
