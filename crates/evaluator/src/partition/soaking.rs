//! Loads that last: power near the envelope, and whether the cooling has a reserve left under them.
//!
//! block means → **soaking** → findings

use telemetry::place::Place;
use telemetry::{EventTime, Labels};

use super::blocks::current_block;
use super::{Environment, Partition};
use crate::detectors::saturation::{self, Saturated};
use crate::detectors::{self, Detector, envelope};
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey};
use crate::layout::ControlLoop;
use crate::trend::median;

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
        self.look_at_envelopes(end, environment, effects);
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

    /// Only racks whose nominal power the site file tells have an envelope: what a rack drew yesterday is none.
    fn look_at_envelopes(&mut self, end: EventTime, environment: Environment<'_>, effects: &mut Effects) {
        let detector = detectors::known("power_envelope");
        let mut changes = Vec::new();
        for (rack, state) in &mut self.racks {
            let Some(layout) = self.layout.racks.get(rack) else { continue };
            let declared = environment.in_force.site.rack(rack).and_then(|rack| rack.nominal_power);
            let meters = &layout.power.operands[0].series;
            let power = meters.iter().find_map(|number| current_block(&self.series[*number as usize], end));
            let power = power.map(|block| block.mean);
            let share = power.zip(declared).map(|(power, nominal)| power / nominal);
            if let Some(change) = state.envelope.observe(share) {
                changes.push((change, state.place.clone(), power.zip(declared)));
            }
        }
        for (change, place, power) in changes {
            let key = FindingKey::of_place(detector, place);
            match change {
                envelope::Change::Begun => {
                    let anomaly = near_envelope(detector, key, power, end);
                    self.open(detector, anomaly, effects);
                }
                envelope::Change::Over => self.close(detector, &key, end, effects),
            }
        }
    }
}

/// The lowest limit that the site file sets for the supply of a place: its rack's, or of its loop and the racks on it.
fn supply_limit(place: &Place, environment: Environment<'_>) -> f64 {
    let site = &environment.in_force.site;
    let of_loop = place.cooling_loop.as_ref().and_then(|name| site.loops.get(name)).map(|on| &on.limits);
    let is_here = |rack: &&telemetry::site::Rack| match &place.rack {
        Some(name) => rack.name == *name,
        None => rack.cooling_loop == place.cooling_loop,
    };
    let of_racks = site.racks.values().filter(is_here).map(|rack| &rack.limits);
    let limits = of_loop.into_iter().chain(of_racks).filter_map(|limits| limits.get(SUPPLY).copied());
    limits.reduce(f64::min).unwrap_or(SUPPLY_LIMIT_CELSIUS)
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
        ..Anomaly::direct(detector, key, end - saturation::WINDOW, end, evidence)
    }
}

/// `power`: what the rack draws and its nominal power, kW.
fn near_envelope(detector: &Detector, key: FindingKey, power: Option<(f64, f64)>, end: EventTime) -> Anomaly {
    let minutes = i64::from(envelope::NEAR_BLOCKS);
    let evidence = Labels::from([
        ("share_of_nominal".into(), format!("{:.2} and more for {minutes} min", envelope::NEAR).into()),
        ("clears".into(), format!("below {:.2} for five minutes", envelope::FAR).into()),
    ]);
    Anomaly {
        residual: power.map(|(power, _)| power),
        threshold: power.map(|(_, nominal)| envelope::NEAR * nominal),
        unit: "kW".into(),
        ..Anomaly::direct(detector, key, end - telemetry::Microseconds::from_minutes(minutes), end, evidence)
    }
}
