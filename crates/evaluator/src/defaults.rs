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

#[cfg(test)]
mod tests {
    use telemetry::Microseconds;
    use telemetry::expression::KnownSignals;
    use telemetry::record::Configuration;

    use super::*;
    use crate::objective_test::{TestOutcome, run_tests};

    /// The unit tests that stand beside the shipped objectives.
    const TESTS: [(&str, &str); 3] = [
        ("slo/coolant.test.yaml", include_str!("../../../slo/coolant.test.yaml")),
        ("slo/gpu.test.yaml", include_str!("../../../slo/gpu.test.yaml")),
        ("slo/leak.test.yaml", include_str!("../../../slo/leak.test.yaml")),
    ];

    fn outcomes(objectives: Vec<Document>) -> Vec<TestOutcome> {
        TESTS.into_iter().flat_map(|test| run(test, objectives.clone())).collect()
    }

    fn run(test: (&str, &str), objectives: Vec<Document>) -> Vec<TestOutcome> {
        let configuration = Configuration {
            hash: String::new(),
            site: None,
            mappings: Vec::new(),
            objectives,
            policies: Vec::new(),
            needs: Vec::new(),
            allowed_lateness: Microseconds::ZERO,
        };
        run_tests(&document(test), &configuration, &KnownSignals::canonical())
            .unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    #[test]
    fn the_shipped_objectives_do_what_their_unit_tests_say() {
        let failed: Vec<String> =
            outcomes(default_documents()).iter().filter(|it| !it.passed).map(ToString::to_string).collect();
        assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    }

    /// Objectives that are shipped beside them and not in force unless a site adds them.
    #[test]
    fn the_objectives_that_sites_add_do_what_their_unit_tests_say() {
        let files: [[(&str, &str); 2]; 2] = [
            [
                ("slo/dew-point.yaml", include_str!("../../../slo/dew-point.yaml")),
                ("slo/dew-point.test.yaml", include_str!("../../../slo/dew-point.test.yaml")),
            ],
            [
                ("slo/recovery.yaml", include_str!("../../../slo/recovery.yaml")),
                ("slo/recovery.test.yaml", include_str!("../../../slo/recovery.test.yaml")),
            ],
        ];
        for [objectives, test] in files {
            let with_defaults = default_documents().into_iter().chain([document(objectives)]).collect();
            let outcomes = run(test, with_defaults);
            assert!(outcomes.len() >= 4, "{}", test.0);
            let failed: Vec<String> =
                outcomes.iter().filter(|it| !it.passed).map(ToString::to_string).collect();
            assert!(failed.is_empty(), "\n{}", failed.join("\n"));
        }
    }

    #[test]
    fn a_loosened_limit_is_noticed_by_the_unit_tests() {
        let loosen = |document: Document| Document {
            text: document.text.replace("value: 45,", "value: 55,"),
            ..document
        };
        let outcomes = outcomes(default_documents().into_iter().map(loosen).collect());
        let failed = outcomes.iter().filter(|outcome| !outcome.passed);
        assert!(failed.clone().count() >= 3, "{:#?}", failed.collect::<Vec<_>>());
    }
}
