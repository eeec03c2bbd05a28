//! At the end of a block: racks that draw nearly all they are built for, for long. Nothing is wrong with them, so nobody
//! is alerted, and what is learnt of them meanwhile counts.
//!
//! power → **envelope** → findings

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Labels, Microseconds};

use super::blocks::current_block;
use super::{Environment, Partition};
use crate::block::BLOCK;
use crate::detectors;
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey};

/// Share of the nominal power that counts as near it, and below which it is over.
const NEAR: f64 = 0.95;
const OVER: f64 = 0.93;
/// For so long without a pause.
const LASTS: Microseconds = Microseconds::from_minutes(10);

/// How long a rack has been near its nominal power.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    since: Option<EventTime>,
    is_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Near { since: EventTime },
    Over,
}

impl Envelope {
    /// Takes the share of the nominal power in the block that ends at `end`; none while it is not known, which ends a
    /// span that is not yet told, and leaves one that is.
    fn observe(&mut self, end: EventTime, share: Option<f64>) -> Option<Change> {
        match share {
            Some(share) if NEAR <= share => {
                let since = *self.since.get_or_insert(end - BLOCK);
                (LASTS <= end - since && !std::mem::replace(&mut self.is_told, true))
                    .then_some(Change::Near { since })
            }
            Some(share) if share < OVER && self.is_told => {
                *self = Self::default();
                Some(Change::Over)
            }
            Some(_) | None => {
                self.since = self.since.filter(|_| self.is_told);
                None
            }
        }
    }
}

impl Partition {
    /// Looks at racks whose nominal power the site file tells.
    pub(super) fn look_at_envelopes(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("power_envelope");
        let mut changes = Vec::new();
        for (rack, state) in &mut self.racks {
            let nominal = environment.in_force.site.rack(rack).and_then(|rack| rack.nominal_power);
            let (Some(nominal), Some(layout)) = (nominal, self.layout.racks.get(rack)) else { continue };
            let power = layout.power.operands[0].series.iter();
            let power = power
                .copied()
                .find_map(|number| current_block(&self.series[number as usize], end))
                .map(|block| block.mean);
            if let Some(change) = state.envelope.observe(end, power.map(|power| power / nominal)) {
                changes.push((FindingKey::of_place(detector, state.place.clone()), change, power, nominal));
            }
        }
        for (key, change, power, nominal) in changes {
            let Change::Near { since } = change else {
                self.close(detector, &key, end, effects);
                continue;
            };
            let evidence = Labels::from([
                ("nominal_power".into(), format!("{nominal} kW").into()),
                (
                    "rule".into(),
                    format!("at least {} % of the nominal power for {LASTS}", 100.0 * NEAR).into(),
                ),
                ("clears".into(), format!("below {} % of it", 100.0 * OVER).into()),
            ]);
            let anomaly = Anomaly {
                residual: power,
                baseline: Some(nominal),
                threshold: Some(NEAR * nominal),
                unit: "kW".into(),
                ..Anomaly::direct(detector, key, since, end, evidence)
            };
            self.open(detector, anomaly, effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_minutes_near_the_nominal_power_are_told_once_until_it_falls_well_below() {
        let minute = |minute: i64| EventTime::from_unix_micros(minute * BLOCK.0);
        let mut envelope = Envelope::default();
        let mut changes = Vec::new();
        let (near, high, low) = (Some(0.97), Some(0.94), Some(0.5));
        let last = vec![high, None, high, low, low];
        let shares = [vec![near; 9], vec![None], vec![near; 9], vec![high], vec![near; 12], last];
        for (number, share) in (1..).zip(shares.concat()) {
            changes.extend(envelope.observe(minute(number), share).map(|change| (number, change)));
        }
        assert_eq!(changes, [(30, Change::Near { since: minute(20) }), (36, Change::Over)]);
    }
}
