//! How far one sensor is believed, and what its calibrations add to its readings.
//!
//! readings, findings, calibrations → **believed** → slices, facts

use telemetry::EventTime;

use super::Series;
use super::points::Report;
use crate::trust::{self, Blame, CalibrationRule, Evidence, Standing};

/// So many calibrations wait for their time at most; of more the earliest is forgotten.
const OFFSETS_MAXIMUM: usize = 16;

impl Series {
    /// It was calibrated: adds `offset` to every reading from `time` on, up to the next calibration's time.
    pub(crate) fn calibrate(&mut self, time: EventTime, offset: f64) {
        let offsets = self.offsets.get_or_insert_default();
        let at = offsets.partition_point(|(known, _)| *known < time);
        match offsets.get_mut(at).filter(|(known, _)| *known == time) {
            Some(known) => known.1 = offset,
            None => offsets.insert(at, (time, offset)),
        }
        if offsets.len() > OFFSETS_MAXIMUM {
            offsets.remove(0);
        }
        let standing = self.standing.get_or_insert_default();
        standing.calibrated = standing.calibrated.max(Some(time));
        standing.is_overdue = false;
    }

    /// A reading as its calibration has it. `time` is not before what is settled.
    pub(crate) fn calibrated(&self, time: EventTime, value: f64) -> f64 {
        let offsets = self.offsets.iter().flat_map(|offsets| offsets.iter().rev());
        let offset = offsets.into_iter().find(|(from, _)| *from <= time);
        offset.map_or(value, |(_, offset)| value + offset)
    }

    /// Whether it is trusted as far as detectors and dates tell. Readings that are stuck or flagged are none anyway.
    pub(crate) fn is_clear(&self) -> bool {
        self.standing.as_ref().is_none_or(|standing| standing.is_clear())
    }

    /// Whether its blocks are those of a sensor that may be believed.
    pub(crate) fn is_believed(&self) -> bool {
        self.fault.is_none() && !self.blame().is_some_and(|blame| blame.is_sole)
    }

    /// The finding that blames it.
    pub(crate) fn blame(&self) -> Option<&Blame> {
        self.standing.as_ref()?.blame.as_ref()
    }

    /// How far it is trusted, where something is remembered of that.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.standing.as_deref()
    }

    /// What was told of its trust, to be kept.
    pub(crate) fn tell_trust(&mut self, told: Option<trust::Told>) {
        self.standing.get_or_insert_default().told = told;
    }

    /// What speaks against it, up to `time` as far as it is settled, the gravest; none of a sensor that is trusted.
    /// Signals without a meaning have no sensors.
    pub(crate) fn doubt(&self, time: EventTime) -> Option<&'static trust::Row> {
        if !self.is_known_signal || self.is_trusted_at_a_glance(time) {
            return None;
        }
        let standing = self.standing.as_deref();
        trust::decide(|evidence| match evidence {
            Evidence::Stuck => self.fault.is_some(),
            Evidence::Flagged => self.is_flagged(),
            Evidence::Culprit => self.blame().is_some_and(|blame| blame.is_sole),
            Evidence::OneOfSeveral => self.blame().is_some(),
            Evidence::Noisy => self.is_noisy(),
            Evidence::Silent => self.is_silent(time),
            Evidence::Overdue => standing.is_some_and(|standing| standing.is_overdue),
        })
    }

    /// Asked of every sensor again and again, and nearly always there is nothing.
    fn is_trusted_at_a_glance(&self, time: EventTime) -> bool {
        self.standing.is_none()
            && self.fault.is_none()
            && !self.is_silent(time)
            && !self.is_flagged()
            && !self.is_noisy()
    }

    /// Whether its readings scatter more than they did.
    fn is_noisy(&self) -> bool {
        self.scatter.as_ref().is_some_and(|scatter| scatter.alarm)
    }

    /// Whether its latest reading is no longer held at `time`. The flag `silent` depends on when the watermark came
    /// by; this does not.
    pub(crate) fn is_silent(&self, time: EventTime) -> bool {
        self.latest.is_some_and(|latest| latest.until < time)
    }

    /// Whether its latest settled report is one that the source does not trust.
    fn is_flagged(&self) -> bool {
        self.points.last_settled().is_some_and(|latest| latest.report == Report::Distrusted)
    }

    /// At the end of a block: what detectors and dates say of it now.
    pub(crate) fn review(&mut self, blame: Option<Blame>, rule: Option<CalibrationRule>, end: EventTime) {
        let calibrated = self.standing.as_ref().and_then(|standing| standing.calibrated);
        let is_overdue = rule.is_some_and(|rule| rule.due(calibrated) <= end);
        if self.standing.is_none() && blame.is_none() && !is_overdue {
            return;
        }
        let standing = self.standing.get_or_insert_default();
        standing.note_blame(blame, end);
        standing.is_overdue = is_overdue;
        if standing.is_empty(end) {
            self.standing = None;
        }
    }
}
