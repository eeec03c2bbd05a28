//! The fields of a check `proven`.

use serde::Deserialize;
use telemetry::Name;
use telemetry::drill::{PROVEN_BY, proven_by};

use super::quantity::length;
use crate::policy::CheckKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenFile {
    detectors: Vec<Name>,
    within: String,
}

impl ProvenFile {
    /// # Errors
    /// What is wrong with it and how to mend it.
    pub fn kind(self) -> Result<(CheckKind, String), String> {
        let known = || PROVEN_BY.iter().map(|(detector, _)| *detector).collect::<Vec<_>>().join(", ");
        if self.detectors.is_empty() {
            return Err(format!("proven.detectors names none: name some of {}", known()));
        }
        if let Some(other) = self.detectors.iter().find(|detector| proven_by(detector).is_none()) {
            return Err(format!(
                "proven.detectors names {other:?}, which no drill of a running environment proves: choose from {}",
                known()
            ));
        }
        let mut detectors = self.detectors;
        detectors.sort();
        if detectors.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("proven.detectors names one detector twice: name each once".into());
        }
        let within = length("proven.within", &self.within)?;
        Ok((CheckKind::Proven { detectors, within }, "proven".into()))
    }
}
