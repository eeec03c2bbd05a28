//! The fields of a check `headroom`.

use serde::Deserialize;
use telemetry::facts::{Ambient, Constraint};

use super::quantity::kilowatts;
use crate::policy::HeadroomAsked;

/// A margin of more than this is a slip: `10` for 10 %.
const AT_LEAST_MAXIMUM: f64 = 2.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HeadroomFile {
    planned: Option<String>,
    at_least: Option<f64>,
    at: Option<Ambient>,
    #[serde(default)]
    limits: Vec<Constraint>,
}

impl HeadroomFile {
    /// # Errors
    /// What is wrong with it and how to mend it.
    pub fn headroom(self) -> Result<(HeadroomAsked, String), String> {
        if self.planned.is_none() && self.at_least.is_none() {
            return Err(
                "headroom asks for nothing: give `planned`, such as 110kW, or `atLeast`, the margin above \
                        it (above the nominal power without it), such as 0.1 for 10 %"
                    .into(),
            );
        }
        let at_least = self.at_least.unwrap_or(0.0);
        if !(0.0..=AT_LEAST_MAXIMUM).contains(&at_least) {
            return Err(format!(
                "headroom.atLeast is {at_least}: give a share from 0 to {AT_LEAST_MAXIMUM}, such as 0.1 for 10 %"
            ));
        }
        let mut limits = self.limits;
        limits.sort();
        if limits.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("headroom.limits names one limit twice: name each once".into());
        }
        let planned_kilowatts = self.planned.map(|text| kilowatts("headroom.planned", &text)).transpose()?;
        let at = self.at.unwrap_or(Ambient::Design);
        let name = match at {
            Ambient::Design => "headroom".to_owned(),
            Ambient::Now => "headroom-now".to_owned(),
        };
        Ok((HeadroomAsked { planned_kilowatts, at_least, at, limits }, name))
    }
}
