//! How far a sensor is believed: one table says which evidence gives which state.
//!
//! readings, findings, calibration dates → **trust** → slices, facts, table `events`

use serde::{Deserialize, Serialize};
use telemetry::facts::{Trust, UnknownReason};
use telemetry::{EventTime, Microseconds, Name};

/// What can speak against a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Its value rests for too long.
    Stuck,
    /// Its source says that its latest reading is not to be trusted.
    Flagged,
    /// A balance is off, and this sensor alone explains it.
    Culprit,
    /// A balance is off, and this sensor is one of several that explain it.
    OneOfSeveral,
    /// Its readings scatter more than they did.
    Noisy,
    /// No reading for longer than its feed allows. Its time is unknown already.
    Silent,
    /// Its calibration is older than the site file allows.
    Overdue,
}

/// Which state a piece of evidence gives.
#[derive(Debug)]
pub(crate) struct Row {
    /// The evidence.
    pub evidence: Evidence,
    /// The state.
    pub trust: Trust,
    /// Whether each change is told in table `events`. Silence is not: the findings `gap` and `stale` tell it, once for
    /// all sensors of a feed.
    pub is_event: bool,
}

/// All evidence, the gravest first: the first that there is decides. A baseline that is not taken yet is no evidence:
/// it says nothing about a sensor.
pub(crate) const EVIDENCE: &[Row] = &[
    Row { evidence: Evidence::Stuck, trust: Trust::Distrusted, is_event: true },
    Row { evidence: Evidence::Flagged, trust: Trust::Distrusted, is_event: true },
    Row { evidence: Evidence::Culprit, trust: Trust::Distrusted, is_event: true },
    Row { evidence: Evidence::OneOfSeveral, trust: Trust::Suspect, is_event: true },
    Row { evidence: Evidence::Noisy, trust: Trust::Suspect, is_event: true },
    Row { evidence: Evidence::Silent, trust: Trust::Suspect, is_event: false },
    Row { evidence: Evidence::Overdue, trust: Trust::Uncalibrated, is_event: true },
];

/// The row that decides: the gravest evidence that there is. None for a sensor that is trusted.
pub(crate) fn decide(is_there: impl Fn(Evidence) -> bool) -> Option<&'static Row> {
    EVIDENCE.iter().find(|row| is_there(row.evidence))
}

/// The order in which doubts are named: the gravest first.
pub(crate) const fn gravity(trust: Trust) -> u8 {
    match trust {
        Trust::Distrusted => 0,
        Trust::Suspect => 1,
        Trust::Uncalibrated => 2,
        Trust::Trusted => 3,
    }
}

/// A finding that blames a sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blame {
    /// Its id.
    pub finding: Name,
    /// Its detector.
    pub detector: Name,
    /// When it began.
    pub onset: EventTime,
    /// Whether the sensor alone explains it. Once that was so it stays so for as long as the finding lasts: a balance
    /// that comes near its limit again would else make good time of bad readings.
    pub is_sole: bool,
}

/// What was last told of a sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The state.
    pub trust: Trust,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: EventTime,
}

/// Time in which a sensor is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Disbelief {
    from: EventTime,
    until: EventTime,
}

/// Two spans of disbelief that are less apart are one: no open slice is longer.
const APART: Microseconds = Microseconds::from_hours(1);
const OPEN_END: EventTime = EventTime::from_unix_micros(i64::MAX);

impl Disbelief {
    fn begin(this: &mut Option<Self>, from: EventTime) {
        let before = this.filter(|before| from <= before.until || from - before.until < APART);
        let from = before.map_or(from, |before| before.from.min(from));
        *this = Some(Self { from, until: OPEN_END });
    }

    fn end(this: &mut Option<Self>, at: EventTime) {
        if let Some(span) = this.as_mut().filter(|span| span.until == OPEN_END) {
            span.until = at;
        }
    }

    /// Whether a moment lies in it, and when that changes next.
    fn at(this: Option<Self>, time: EventTime) -> (bool, EventTime) {
        match this {
            Some(span) if time < span.from => (false, span.from),
            Some(span) if time < span.until => (true, span.until),
            Some(_) | None => (false, OPEN_END),
        }
    }
}

/// What is remembered of a sensor that there was ever a doubt about.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The finding that blames it.
    pub blame: Option<Blame>,
    /// Its calibration is older than allowed.
    pub is_overdue: bool,
    /// When it was last calibrated, by a record.
    pub calibrated: Option<EventTime>,
    /// What was last told, unless that it is trusted.
    pub told: Option<Told>,
    stuck: Option<Disbelief>,
    blamed: Option<Disbelief>,
}

impl Standing {
    /// A detector says that it has been stuck `since` then.
    pub(crate) fn begin_stuck(&mut self, since: EventTime) {
        Disbelief::begin(&mut self.stuck, since);
    }

    /// It moves again.
    pub(crate) fn end_stuck(&mut self, at: EventTime) {
        Disbelief::end(&mut self.stuck, at);
    }

    /// At the end of a block: who blames it now.
    pub(crate) fn note_blame(&mut self, blame: Option<Blame>, end: EventTime) {
        let was_sole = self.blame.take().filter(|before| before.is_sole);
        self.blame = match (was_sole, blame) {
            (Some(before), Some(now)) => {
                Some(Blame { is_sole: true, onset: before.onset.min(now.onset), ..now })
            }
            (Some(_) | None, blame) => blame,
        };
        match &self.blame {
            Some(blame) if blame.is_sole => Disbelief::begin(&mut self.blamed, blame.onset),
            Some(_) | None => Disbelief::end(&mut self.blamed, end),
        }
    }

    /// Whether nothing but stuck and flagged readings could speak against it, which are no readings anyway.
    pub(crate) fn is_clear(&self) -> bool {
        self.blame.is_none() && !self.is_overdue
    }

    /// Why it is not believed at a moment, and when that changes next. What is closed stays as it was judged: only
    /// slices that are still open ask.
    pub(crate) fn disbelief(&self, time: EventTime) -> (Option<UnknownReason>, EventTime) {
        let (is_stuck, stuck_until) = Disbelief::at(self.stuck, time);
        let (is_blamed, blamed_until) = Disbelief::at(self.blamed, time);
        let reason = match (is_stuck, is_blamed) {
            (true, _) => Some(UnknownReason::SensorFault),
            (false, true) => Some(UnknownReason::Distrusted),
            (false, false) => None,
        };
        (reason, stuck_until.min(blamed_until))
    }

    /// Whether there is nothing left to remember at `now`.
    pub(crate) fn is_empty(&self, now: EventTime) -> bool {
        let is_over = |span: Option<Disbelief>| span.is_none_or(|span| span.until < now - APART);
        self.is_clear()
            && self.calibrated.is_none()
            && self.told.is_none()
            && is_over(self.stuck)
            && is_over(self.blamed)
    }
}

/// When a sensor is due to be calibrated, by the site file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CalibrationRule {
    /// The day that the site file names.
    pub date: EventTime,
    /// For how long a calibration holds.
    pub valid: Microseconds,
}

impl CalibrationRule {
    /// When the latest calibration ends to hold.
    pub(crate) fn due(self, calibrated: Option<EventTime>) -> EventTime {
        calibrated.map_or(self.date, |calibrated| calibrated.max(self.date)) + self.valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> EventTime {
        EventTime::from_unix_micros(0) + Microseconds::from_minutes(minutes)
    }

    fn blame(minutes: i64, is_sole: bool) -> Option<Blame> {
        Some(Blame { finding: "f".into(), detector: "hb".into(), onset: at(minutes), is_sole })
    }

    #[test]
    fn the_gravest_evidence_decides() {
        let trust = |there: &[Evidence]| decide(|evidence| there.contains(&evidence)).map(|row| row.trust);
        assert_eq!(trust(&[]), None);
        assert_eq!(trust(&[Evidence::Overdue]), Some(Trust::Uncalibrated));
        assert_eq!(trust(&[Evidence::Overdue, Evidence::OneOfSeveral]), Some(Trust::Suspect));
        assert_eq!(trust(&[Evidence::Silent, Evidence::Culprit]), Some(Trust::Distrusted));
        assert!(EVIDENCE.is_sorted_by_key(|row| gravity(row.trust)), "the table stands in order of gravity");
    }

    #[test]
    fn a_sensor_that_alone_was_to_blame_stays_so_until_the_finding_ends() {
        let mut standing = Standing::default();
        standing.note_blame(blame(3, true), at(10));
        standing.note_blame(blame(3, false), at(11));
        assert_eq!(standing.disbelief(at(12)), (Some(UnknownReason::Distrusted), OPEN_END));
        standing.note_blame(None, at(20));
        assert_eq!(standing.disbelief(at(19)), (Some(UnknownReason::Distrusted), at(20)));
        assert_eq!(standing.disbelief(at(20)), (None, OPEN_END));
        assert_eq!(standing.disbelief(at(2)), (None, at(3)), "what was before the onset is believed");
    }

    #[test]
    fn one_of_several_suspects_is_believed() {
        let mut standing = Standing::default();
        standing.note_blame(blame(3, false), at(10));
        assert_eq!(standing.disbelief(at(10)), (None, OPEN_END));
        assert!(!standing.is_clear());
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut standing = Standing::default();
        standing.begin_stuck(at(0));
        standing.end_stuck(at(10));
        assert!(!standing.is_empty(at(60)));
        assert!(standing.is_empty(at(71)));
    }

    #[test]
    fn a_calibration_holds_from_the_later_of_record_and_site_file() {
        let rule = CalibrationRule { date: at(100), valid: Microseconds::from_minutes(50) };
        assert_eq!(rule.due(None), at(150));
        assert_eq!(rule.due(Some(at(90))), at(150));
        assert_eq!(rule.due(Some(at(120))), at(170));
    }
}
