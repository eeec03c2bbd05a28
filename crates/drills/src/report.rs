//! The scorecard for machines and people: JSON, Markdown, and a page that shows what each class looks like.
//!
//! scorecards, traces → **report**

mod html; // one page, nothing loaded from elsewhere
mod markdown; // tables
mod plot; // a drill as a picture

pub use html::html;
pub use markdown::markdown;

use crate::scorecard::Scorecard;

/// All scorecards as one JSON document. Equal scorecards give equal bytes.
pub fn json(cards: &[Scorecard]) -> String {
    telemetry::canonical_json(&cards)
}
