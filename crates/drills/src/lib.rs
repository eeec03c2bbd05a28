//! Drills: labelled faults are played through the real evaluator, and a scorecard says what it found, how soon, and
//! what it said although nothing was wrong. Pure: equal suites give equal scorecards, to the byte.
//!
//! suite → scenarios → `simulator` → **play** → `evaluator` → findings → **score** → **scorecard** → report

pub mod suite; // which faults, how often, under which load: read this first

mod play; // a scenario through the evaluator, as telemetry would come
mod score; // findings against the truth
mod scorecard; // figures over many drills
mod statistics; // exact bounds of shares and rates
mod trace; // what a drill looked like, for its plot

pub mod report; // the scorecard for machines and people

pub use play::{Played, Player, play};
pub use score::{Incident, Outcome, score};
pub use scorecard::{ClassScore, Scorecard};
pub use trace::{Line, Trace, trace};
