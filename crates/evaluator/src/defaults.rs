//! The objectives and burn-rate policies of `slo/`, compiled in: in force when nobody gives any.

use telemetry::record::Document;

/// Files of `slo/`: name and text.
const FILES: [(&str, &str); 3] = [
    ("slo/coolant.yaml", include_str!("../../../slo/coolant.yaml")),
    ("slo/gpu.yaml", include_str!("../../../slo/gpu.yaml")),
    ("slo/leak.yaml", include_str!("../../../slo/leak.yaml")),
];

const BURN_RATE_POLICIES: (&str, &str) =
    ("slo/burn-rate-policies.yaml", include_str!("../../../slo/burn-rate-policies.yaml"));

/// The objectives of `slo/` with their burn-rate policies.
pub fn default_documents() -> Vec<Document> {
    FILES.into_iter().chain([BURN_RATE_POLICIES]).map(document).collect()
}

/// The policies that [`crate::objective_document::read`] adds where no file defines them.
pub(crate) fn burn_rate_policies() -> Document {
    document(BURN_RATE_POLICIES)
}

fn document((name, text): (&str, &str)) -> Document {
    Document { name: name.into(), text: text.into() }
}
