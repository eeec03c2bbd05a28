//! Loads that last: whether the cooling has a reserve left under them.
//!
//! block means → **soaking** → findings

use telemetry::place::Place;
use telemetry::{EventTime, Labels, median};

use super::blocks::current_block;
use super::{Environment, Partition};
use crate::detectors::saturation::{self, Saturated};
use crate::detectors::{self, Detector};
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey};
use crate::layout::ControlLoop;

/// The warmest supply that a rack is cooled with where no site file says so, °C: ASHRAE's class W45.
const SUPPLY_LIMIT_CELSIUS: f64 = 45.0;
const SUPPLY: &str = "coolant_supply_temperature";

impl Partition {
    /// A block has ended: all that is watched of loads that last.
    pub(super) fn look_at_soaks(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        for number in 0..self.layout.controls.len() {
            let ControlLoop { place, supply, valve, pump, .. } = &self.layout.controls[number];
            let mean = |numbers: &[u32]| {
                let blocks =
                    numbers.iter().filter_map(|number| current_block(&self.series[*number as usize], end));
                median(&mut blocks.map(|block| block.mean).collect::<Vec<f64>>())
            };
            let inputs = saturation::Inputs {
                is_steady: self.steady.is_known().then(|| self.steady.is_steady()),
                valve: mean(valve),
                pump: mean(pump),
                supply: mean(supply),
                supply_limit: supply_limit(place, environment),
            };
            let place = place.clone();
            self.look_at_reserve(place, &inputs, end, effects);
        }
    }

    fn look_at_reserve(
        &mut self,
        place: Place,
        inputs: &saturation::Inputs,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("saturation");
        let key = FindingKey::of_place(detector, place.clone());
        match self.controls.entry(place).or_default().saturation.observe(end, inputs) {
            Some(saturation::Change::Begun(saturated)) => {
                self.open(detector, without_reserve(detector, key, &saturated, end), effects);
            }
            Some(saturation::Change::Over) => self.close(detector, &key, end, effects),
            None => {}
        }
    }
}

/// The limit that the site file sets for the supply of a rack, of a loop the lowest of it and the racks on it.
fn supply_limit(place: &Place, environment: Environment<'_>) -> f64 {
    let site = &environment.in_force.site;
    let limit = match (&place.rack, &place.cooling_loop) {
        // A rack's own limit takes the place of its loop's.
        (Some(rack), _) => site.rack(rack).and_then(|rack| rack.limits.get(SUPPLY).copied()),
        (None, Some(name)) => {
            let of_loop = site.coolant_loop(name).map(|on| &on.limits);
            let on_it = site.racks.values().filter(|rack| rack.cooling_loop.as_ref() == Some(name));
            let limits = of_loop.into_iter().chain(on_it.map(|rack| &rack.limits));
            limits.filter_map(|limits| limits.get(SUPPLY).copied()).reduce(f64::min)
        }
        (None, None) => None,
    };
    limit.unwrap_or(SUPPLY_LIMIT_CELSIUS)
}

fn without_reserve(detector: &Detector, key: FindingKey, saturated: &Saturated, end: EventTime) -> Anomaly {
    let (signal, unit) = saturated.limited.signal();
    let mut evidence = Labels::from([
        ("limited_by".into(), signal.into()),
        ("time_to_limit".into(), saturated.time_to_limit.to_string().into()),
        (
            "clears".into(),
            match saturated.limited {
                saturation::Limited::Valve | saturation::Limited::Pump => {
                    format!("below {} % for five minutes", saturation::ACTUATOR_RESERVE).into()
                }
                saturation::Limited::Supply => "below the limit, and on no way to it".into(),
            },
        ),
    ]);
    if let Some(slope) = saturated.slope_per_hour {
        evidence.insert("slope_per_hour".into(), format!("{slope:.2}").into());
    }
    Anomaly {
        residual: Some(saturated.value),
        threshold: Some(saturated.limit),
        unit: unit.into(),
        ..Anomaly::direct(detector, key, end - saturated.lasts, end, evidence)
    }
}
