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
/// Either for so long without a pause: a training load that dips for a checkpoint is one span.
const LASTS: Microseconds = Microseconds::from_minutes(10);

/// How long a rack has been near its nominal power, or once that is told, away from it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    since: Option<EventTime>,
    is_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Near { since: EventTime },
    Over { since: EventTime },
}

impl Envelope {
    /// Takes the share of the nominal power in the block that ends at `end`. While it is not known neither span goes on.
    fn observe(&mut self, end: EventTime, share: Option<f64>) -> Option<Change> {
        let goes_on = share.is_some_and(|share| if self.is_told { share < OVER } else { NEAR <= share });
        if !goes_on {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(end - BLOCK);
        if end - since < LASTS {
            return None;
        }
        let was_told = self.is_told;
        *self = Self { since: None, is_told: !was_told };
        Some(if was_told { Change::Over { since } } else { Change::Near { since } })
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
            let since = match change {
                Change::Near { since } => since,
                Change::Over { since } => {
                    self.close(detector, &key, since, effects);
                    continue;
                }
            };
            let evidence = Labels::from([
                ("nominal_power".into(), format!("{nominal} kW").into()),
                (
                    "rule".into(),
                    format!("at least {} % of the nominal power for {LASTS}", 100.0 * NEAR).into(),
                ),
                ("clears".into(), format!("below {} % of it for {LASTS}", 100.0 * OVER).into()),
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
    fn ten_minutes_near_the_nominal_power_are_told_once_until_ten_minutes_well_below() {
        let minute = |minute: i64| EventTime::from_unix_micros(minute * BLOCK.0);
        let mut envelope = Envelope::default();
        let mut changes = Vec::new();
        let (near, high, low) = (Some(0.97), Some(0.94), Some(0.5));
        let not_yet = [vec![near; 9], vec![None], vec![near; 9], vec![high]];
        // Dips, and a time of which nothing is known, end nothing.
        let dips = [vec![near; 12], vec![low; 9], vec![high], vec![low; 9], vec![None], vec![near; 3]];
        let shares = [not_yet.concat(), dips.concat(), vec![low; 12]].concat();
        for (number, share) in (1..).zip(shares) {
            changes.extend(envelope.observe(minute(number), share).map(|change| (number, change)));
        }
        assert_eq!(
            changes,
            [(30, Change::Near { since: minute(20) }), (65, Change::Over { since: minute(55) })]
        );
    }
}
