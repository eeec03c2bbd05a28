//! At the end of a block: whether the readings of sensors scatter more than they did, while load and loop rest.
//!
//! settled blocks → **noise** → findings

use telemetry::place::Place;
use telemetry::{EventTime, Labels};

use super::Partition;
use super::blocks::new_block;
use crate::detectors::{self, Gate};
use crate::effect::Effects;
use crate::finding::Anomaly;
use crate::series::scatter::{Change, ESTIMATES_IN_ROW, GROWTH_ALARM, GROWTH_OVER, SettledBlock};

/// Its detector.
const DETECTOR: &str = "noise_growth";

impl Partition {
    /// Lets the scatter of each sensor see the block that has ended.
    pub(super) fn look_for_noise(&mut self, end: EventTime, effects: &mut Effects) {
        for number in 0..self.series.len() {
            let series = &self.series[number];
            let is_due = end.window_start(series.block_length()) == end;
            if series.scatter.is_none() || !is_due {
                continue;
            }
            let place = &self.layout.measured[number].place;
            let is_settled = || {
                series.is_known_signal && self.is_open(Gate::Steady, place) && !self.valve.has_just_moved()
            };
            let block = new_block(series, end).filter(|_| is_settled()).map(|block| SettledBlock {
                span: (block.start, end),
                mean: block.mean,
                is_clean: !self.findings.is_faulty(place),
            });
            let scatter = self.series[number].scatter.as_mut();
            if let Some(change) = scatter.and_then(|scatter| scatter.close_block(block)) {
                self.tell_noise(u32::try_from(number).unwrap_or(u32::MAX), change, end, effects);
            }
        }
    }

    /// What was usual of sensors at such places is taken anew, and what was found against it ends.
    pub(super) fn forget_noise(
        &mut self,
        is_meant: impl Fn(&Place) -> bool,
        end: EventTime,
        effects: &mut Effects,
    ) {
        for number in 0..self.series.len() {
            if !is_meant(&self.layout.measured[number].place) {
                continue;
            }
            let has_ended = self.series[number].scatter.as_mut().is_some_and(|scatter| scatter.forget());
            if has_ended {
                self.tell_noise(u32::try_from(number).unwrap_or(u32::MAX), Change::Over, end, effects);
            }
        }
    }

    fn tell_noise(&mut self, number: u32, change: Change, end: EventTime, effects: &mut Effects) {
        let detector = detectors::known(DETECTOR);
        let key = self.key_of(detector, number);
        let (onset, scatter, growth, usual) = match change {
            Change::Over => return self.close(detector, &key, end, effects),
            Change::Grown { onset, scatter, growth, usual } => (onset, scatter, growth, usual),
        };
        let evidence = Labels::from([
            (
                "rule".into(),
                format!(
                    "mean step from reading to reading above {GROWTH_ALARM} times the usual, {ESTIMATES_IN_ROW} times in a row"
                )
                .into(),
            ),
            ("growth".into(), format!("{growth:.1}").into()),
            ("baseline_to".into(), usual.taken.to_string().into()),
            ("clears".into(), format!("below {GROWTH_OVER} times the usual").into()),
        ]);
        let anomaly = Anomaly {
            residual: Some(scatter),
            baseline: Some(usual.scatter),
            threshold: Some(GROWTH_ALARM * usual.scatter),
            unit: self.declarations[number as usize].unit.clone(),
            ..Anomaly::direct(detector, key, onset, end, evidence)
        };
        self.open(detector, anomaly, effects);
    }
}
