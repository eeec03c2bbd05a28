//! One rack as a check sees it: its facts, the run that is judged, and the clock of the question.
//!
//! `judge` → **subject** → `check`

use telemetry::facts::{
    Coverage, Doubt, Finding, ObjectiveKind, ObjectiveStatus, RackFacts, RunFacts, Scope, SensorTrust, Trust,
    UnknownReason,
};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds};

use crate::control::Control;
use crate::policy::Policy;
use crate::words;

/// A run younger than this may have no status yet: its first judged units are still open.
const YOUNG_RUN: Microseconds = Microseconds::from_minutes(2);

/// When the question was asked, and until when it may wait.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The last tick.
    pub asked_at: EventTime,
    /// How far the watermark stays behind the ticks.
    pub lag: Microseconds,
    /// What still waits then is unknown.
    pub deadline: Option<EventTime>,
}

impl Clock {
    /// The tick at which event time becomes final up to `time`.
    pub fn tick_of(&self, time: EventTime) -> EventTime {
        time + self.lag
    }
}

/// Over what is judged.
#[derive(Debug, Clone, Copy)]
pub enum Span<'a> {
    /// Rolling windows.
    Rolling,
    /// A run.
    Run(&'a RunFacts),
    /// A run that there is not.
    NoRun,
}

/// One rack as a check sees it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub policy: &'a Policy,
    pub facts: &'a RackFacts,
    /// Racks beside those that are asked about, in order of place.
    pub controls: &'a [Control],
    pub span: Span<'a>,
    pub clock: Clock,
}

impl<'a> Subject<'a> {
    /// The run that is judged.
    pub fn run(&self) -> Option<&'a RunFacts> {
        match self.span {
            Span::Run(run) => Some(run),
            Span::Rolling | Span::NoRun => None,
        }
    }

    /// The run that is judged, if it has ended.
    pub fn ended(&self) -> Option<EventTime> {
        self.run().and_then(|run| run.end)
    }

    /// Whether all data of the judged run was awaited: nothing can change any more.
    pub fn is_over(&self) -> bool {
        self.ended().is_some_and(|end| end <= self.facts.watermark)
    }

    /// The statuses of an objective that count: of the run that is judged, else of rolling windows.
    pub fn statuses(&self, objective: &str) -> impl Iterator<Item = &'a ObjectiveStatus> {
        self.all_statuses().filter(move |status| &*status.objective == objective)
    }

    /// The same of all objectives.
    pub fn all_statuses(&self) -> impl Iterator<Item = &'a ObjectiveStatus> {
        let run = self.run().map(|run| &run.run);
        let scope = if run.is_some() { Scope::Run } else { Scope::Rolling };
        self.facts.objectives.iter().filter(move |status| status.scope == scope && status.run.as_ref() == run)
    }

    /// Why an objective has no status that counts.
    pub fn missing_status(&self, objective: &str) -> (UnknownReason, String) {
        let known = self.facts.objectives.iter().any(|status| &*status.objective == objective);
        match self.run() {
            Some(run) if known || self.facts.watermark < run.start + YOUNG_RUN => (
                UnknownReason::WindowIncomplete,
                format!("objective {objective:?} has no status of run {:?} yet", &*run.run),
            ),
            None if known => (
                UnknownReason::WindowIncomplete,
                format!("objective {objective:?} is judged over runs only: ask about a run"),
            ),
            _ => (
                UnknownReason::NeverSeen,
                format!(
                    "objective {objective:?} has no status: none of its signals was ever seen here (misspelt, \
                     renamed or not exported)"
                ),
            ),
        }
    }

    /// Findings that have not ended.
    pub fn active_findings(&self) -> impl Iterator<Item = &'a Finding> {
        self.facts.findings.iter().filter(|finding| finding.ended.is_none())
    }

    /// Known and asked time of a series as it counts for this question: of the run when it is judged and over, or
    /// younger than the hour that recent coverage looks back; else of the last hour. A loop's own series know no run.
    fn recent(&self, coverage: &Coverage) -> (Microseconds, Microseconds) {
        let knows_run = coverage.place.rack.is_some() || coverage.run_asked > Microseconds::ZERO;
        match self.span {
            Span::Run(_) if knows_run && (self.is_over() || coverage.run_asked < coverage.asked) => {
                (coverage.run_known, coverage.run_asked)
            }
            Span::Run(_) | Span::Rolling | Span::NoRun => (coverage.known, coverage.asked),
        }
    }

    /// Known and asked time of a series since the judged run's start, where it knows of it.
    pub fn of_run(&self, coverage: &Coverage) -> Option<(Microseconds, Microseconds)> {
        self.run()?;
        let knows_run = coverage.place.rack.is_some() || coverage.run_asked > Microseconds::ZERO;
        knows_run.then_some((coverage.run_known, coverage.run_asked))
    }

    /// The recent coverage of a signal at each of its places inside `group`: of redundant sensors the best one that
    /// is not distrusted, if there is one.
    pub fn recent_coverage(&self, signal: &str, group: &Place) -> Vec<Recent<'a>> {
        let mut places: Vec<Recent<'a>> = Vec::new();
        for coverage in self.facts.coverage.iter().filter(|coverage| &*coverage.signal == signal) {
            if !contains(group, &coverage.place) {
                continue;
            }
            let (known, asked) = self.recent(coverage);
            let recent = Recent { coverage, known, asked };
            let rank = |recent: &Recent| {
                let is_distrusted = !self.is_over() && self.is_in_state(recent.coverage, Trust::Distrusted);
                (!is_distrusted, recent.share())
            };
            match places.iter_mut().find(|known| known.coverage.place == coverage.place) {
                Some(best) if rank(best) < rank(&recent) => *best = recent,
                Some(_) => {}
                None => places.push(recent),
            }
        }
        places
    }

    /// What is not fresh enough for a status to be believed now: the worst of its signals, if it is below the
    /// policy's minimum. A window of weeks hardly notices the last hour; a gate must.
    pub fn staleness(&self, status: &ObjectiveStatus) -> Option<Recent<'a>> {
        if self.is_over() {
            return None;
        }
        let mut worst: Option<Recent<'a>> = None;
        let mut best: Option<Recent<'a>> = None;
        for signal in words::signals(&status.signal) {
            for recent in self.recent_coverage(signal, &status.place) {
                if worst.is_none_or(|worst| recent.share() < worst.share()) {
                    worst = Some(recent);
                }
                if best.is_none_or(|best| best.share() < recent.share()) {
                    best = Some(recent);
                }
            }
        }
        // Either of the signals that tell of an episode will do, and either alternative of `first_known`.
        let either = status.kind == ObjectiveKind::EventRate || status.signal.contains("first_known");
        let counts = if either { best } else { worst };
        counts.filter(|recent| !recent.reaches(self.policy.minimum_coverage_ppm))
    }
}

impl<'a> Subject<'a> {
    /// A sensor of a status' signals that is not trusted this far, where no redundant one stands in for it.
    ///
    /// The evaluator knows which sensors a status reads: a rack without a thermometer of its own reads its loop's. The
    /// rack's own sensors of these signals count as well.
    pub fn doubted_sensor(&self, status: &'a ObjectiveStatus, trust: Trust) -> Option<&'a SensorTrust> {
        if self.is_over() {
            return None;
        }
        let decides = |doubt: &&Doubt| doubt.sensor.trust == trust && doubt.instead.is_empty();
        let signals = words::signals(&status.signal);
        let of_place = || {
            self.facts.sensors.iter().find(|sensor| {
                sensor.trust == trust
                    && signals.contains(&&*sensor.signal)
                    && contains(&status.place, &sensor.place)
                    && !self.has_stand_in(sensor)
            })
        };
        status.doubts.iter().find(decides).map(|doubt| &doubt.sensor).or_else(of_place)
    }

    /// A sensor of a signal inside a group that is distrusted now, where no redundant one stands in for it.
    pub fn distrusted_sensor(&self, signal: &str, group: &Place) -> Option<&'a SensorTrust> {
        if self.is_over() {
            return None;
        }
        self.facts.sensors.iter().find(|sensor| {
            sensor.trust == Trust::Distrusted
                && *sensor.signal == *signal
                && contains(group, &sensor.place)
                && !self.has_stand_in(sensor)
        })
    }

    /// Whether another sensor of the same signal and place is not doubted as much as this one.
    pub fn has_stand_in(&self, sensor: &SensorTrust) -> bool {
        self.facts.coverage.iter().any(|other| {
            other.signal == sensor.signal
                && other.place == sensor.place
                && !self.is_in_state(other, sensor.trust)
        })
    }

    /// Whether the sensor of a series is trusted just this far.
    fn is_in_state(&self, series: &Coverage, trust: Trust) -> bool {
        self.facts.sensors.iter().any(|sensor| {
            sensor.trust == trust
                && sensor.signal == series.signal
                && sensor.place == series.place
                && sensor.sensor == series.sensor
        })
    }
}

/// Known and asked time of a series that count for a question.
#[derive(Debug, Clone, Copy)]
pub struct Recent<'a> {
    pub coverage: &'a Coverage,
    pub known: Microseconds,
    pub asked: Microseconds,
}

impl Recent<'_> {
    /// Known by asked time; `None` when nothing was asked.
    pub fn share(&self) -> Option<f64> {
        (self.asked.0 > 0).then(|| self.known.0 as f64 / self.asked.0 as f64)
    }

    /// Whether enough is known. Nothing asked is not enough.
    pub fn reaches(&self, minimum_ppm: u32) -> bool {
        reaches(self.known, self.asked, minimum_ppm)
    }
}

/// Whether the known share of asked time reaches a minimum, in integers. Nothing asked does not.
pub fn reaches(known: Microseconds, asked: Microseconds, minimum_ppm: u32) -> bool {
    asked.0 > 0 && i128::from(asked.0) * i128::from(minimum_ppm) <= i128::from(known.0) * 1_000_000
}

/// The shortest time after which coverage can reach a minimum, if everything is known from now on.
pub fn time_to_reach(known: Microseconds, asked: Microseconds, minimum_ppm: u32) -> Option<Microseconds> {
    let missing = i128::from(asked.0) * i128::from(minimum_ppm) - i128::from(known.0) * 1_000_000;
    let gained = 1_000_000 - i128::from(minimum_ppm);
    if gained == 0 {
        return None;
    }
    i64::try_from((missing.max(0) + gained - 1) / gained).ok().map(Microseconds)
}

/// Whether a series at a place belongs to a group. A rack's loop may have changed, so it does not count; a loop's own
/// group holds the loop's own series, its racks are groups of their own.
pub fn contains(group: &Place, place: &Place) -> bool {
    let inside =
        |whole: &Option<telemetry::Name>, part: &Option<telemetry::Name>| whole.is_none() || whole == part;
    let same_rack_or_loop = match &group.rack {
        Some(_) => group.rack == place.rack,
        None => place.rack.is_none() && inside(&group.cooling_loop, &place.cooling_loop),
    };
    group.site == place.site
        && same_rack_or_loop
        && inside(&group.node, &place.node)
        && inside(&group.device, &place.device)
}
