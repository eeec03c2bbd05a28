//! How busy a rack is: plans of training, inference, bursts, steps, stages, soaks, and modes of operation on top of them.

mod mode; // modes of operation on top of a plan

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::{Microseconds, Name};

use crate::noise::Noise;
use crate::scenario::length;

pub use self::mode::{Mode, ModeSpan};

/// What a rack is asked to do over time; levels are shares of full load, 0 to 1.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadPlan {
    /// Plateaus of 40 min to 4 h at .75 to 1, checkpoint dips to .3 to .5 for 20 to 90 s every 15 to 40 min, and
    /// gaps of 1 to 15 min at .15 to .3 between the plateaus.
    Training,
    /// .6 + .2 sin(day) and bursts of .2 for 2 to 5 min, 10 to 20 min apart.
    Inference,
    /// Always the same.
    Constant(f64),
    /// A base with regular bursts.
    Bursts {
        /// Between bursts.
        base: f64,
        /// In a burst.
        peak: f64,
        /// When the first burst starts.
        #[serde(with = "length")]
        first: Microseconds,
        /// From the start of a burst to that of the next.
        #[serde(with = "length")]
        every: Microseconds,
        /// Length of a burst.
        #[serde(with = "length")]
        lasting: Microseconds,
    },
    /// Sudden changes; before the first, its level.
    Steps(Vec<Step>),
    /// Stages, each held and entered by a ramp; the last is kept.
    Staged {
        /// Level of each stage.
        levels: Vec<f64>,
        /// How long each is held.
        #[serde(with = "length")]
        hold: Microseconds,
        /// How long each change takes.
        #[serde(with = "length")]
        ramp: Microseconds,
    },
    /// A soak by stages, each with a length of its own and entered by a ramp; after the last the rack idles.
    Soak {
        /// The stages, in order.
        stages: Vec<SoakStage>,
        /// How long each change takes.
        #[serde(with = "length")]
        ramp: Microseconds,
    },
    /// A plan, and spans of time in which the rack is run in another mode: clocks reduced, drained, or its work done
    /// elsewhere.
    Modes {
        /// What it would do otherwise.
        plan: Box<LoadPlan>,
        /// The spans, which may overlap.
        modes: Vec<ModeSpan>,
    },
}

/// One stage of a soak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoakStage {
    /// Share of full load.
    pub level: f64,
    /// How long it is held.
    #[serde(with = "length")]
    pub hold: Microseconds,
}

/// From some moment on, a level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time from the start of the scenario.
    #[serde(with = "length")]
    pub at: Microseconds,
    /// Share of full load.
    pub level: f64,
}

impl LoadPlan {
    /// Says how to mend a plan that makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let level_ok = |level: f64| match (0.0..=1.2).contains(&level) {
            true => Ok(()),
            false => Err(format!("load level {level}: give a share of full load between 0 and 1.2")),
        };
        match self {
            Self::Training | Self::Inference => Ok(()),
            Self::Constant(level) => level_ok(*level),
            Self::Bursts { base, peak, every, lasting, .. } => {
                level_ok(*base)?;
                level_ok(*peak)?;
                match Microseconds::ZERO < *lasting && lasting < every {
                    true => Ok(()),
                    false => Err(format!(
                        "bursts lasting {lasting} every {every}: let a burst be shorter than `every`"
                    )),
                }
            }
            Self::Steps(steps) => {
                if steps.is_empty() || steps.windows(2).any(|pair| pair[1].at <= pair[0].at) {
                    return Err("load steps: give at least one, in order of `at`".to_owned());
                }
                steps.iter().try_for_each(|step| level_ok(step.level))
            }
            Self::Staged { levels, hold, .. } => {
                if levels.is_empty() || *hold <= Microseconds::ZERO {
                    return Err(
                        "staged load: give at least one level and a `hold` longer than nothing".to_owned()
                    );
                }
                levels.iter().try_for_each(|level| level_ok(*level))
            }
            Self::Soak { stages, .. } => {
                if stages.is_empty() || stages.iter().any(|stage| stage.hold <= Microseconds::ZERO) {
                    return Err(
                        "soak: give at least one stage, each with a `hold` longer than nothing".to_owned()
                    );
                }
                stages.iter().try_for_each(|stage| level_ok(stage.level))
            }
            Self::Modes { plan, modes } => {
                if matches!(**plan, Self::Modes { .. }) {
                    return Err("load modes within load modes: list all modes of a rack together".to_owned());
                }
                plan.check()?;
                modes.iter().try_for_each(ModeSpan::check)
            }
        }
    }

    /// Spans in which another rack does a part of the work, with that rack's name.
    pub(crate) fn moves(&self) -> impl Iterator<Item = (&Name, &ModeSpan)> {
        let modes = match self {
            Self::Modes { modes, .. } => &modes[..],
            _ => &[],
        };
        modes.iter().filter_map(|span| match &span.mode {
            Mode::Moved { to, .. } => Some((to, span)),
            Mode::ReducedClocks(_) | Mode::Drained => None,
        })
    }
}

/// Level of a rack without work.
const IDLE_LEVEL: f64 = 0.15;
/// No rack does more than this; what it is sent beyond is not done.
const LEVEL_MAX: f64 = 1.2;

/// A plan being followed.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    plan: LoadPlan,
    noise: Noise,
    /// On top of the plan.
    modes: Vec<ModeSpan>,
    /// Other racks whose work this one does, each with the span in which it does.
    received: Vec<(Load, ModeSpan)>,
    /// Spans of a random plan that are still to come: (end in s, level or what is added to it).
    spans: VecDeque<(f64, f64)>,
    /// Up to where spans were drawn, s.
    drawn: f64,
}

impl Load {
    pub(crate) fn new(plan: LoadPlan, noise: Noise) -> Self {
        let (plan, modes) = match plan {
            LoadPlan::Modes { plan, modes } => (*plan, modes),
            plan => (plan, Vec::new()),
        };
        Self { plan, noise, modes, received: Vec::new(), spans: VecDeque::new(), drawn: 0.0 }
    }

    /// Does work of another rack as well, whose load this is, in that span.
    pub(crate) fn receive(&mut self, other: Self, span: ModeSpan) {
        self.received.push((other, span));
    }

    /// Share of full load, at a time that never goes back; `day` is the time of day as a share of the day.
    pub(crate) fn level(&mut self, seconds: f64, day: f64) -> f64 {
        let planned = self.planned(seconds, day);
        if self.modes.is_empty() && self.received.is_empty() {
            return planned;
        }
        let received: f64 = self
            .received
            .iter_mut()
            .map(|(other, span)| span.moved(seconds) * other.planned(seconds, day))
            .sum();
        let own = self.modes.iter().fold(planned, |level, span| match span.mode {
            Mode::ReducedClocks(share) => level * (1.0 - (1.0 - share) * span.entered(seconds)),
            Mode::Drained => level + (IDLE_LEVEL.min(level) - level) * span.entered(seconds),
            Mode::Moved { .. } => level - planned * span.moved(seconds),
        });
        (own.max(0.0) + received).min(LEVEL_MAX)
    }

    /// What the plan asks without any mode.
    fn planned(&mut self, seconds: f64, day: f64) -> f64 {
        match &self.plan {
            LoadPlan::Training => self.span(seconds),
            LoadPlan::Inference => {
                0.6 + 0.2 * libm::sin(std::f64::consts::TAU * (day - 0.375)) + self.span(seconds)
            }
            LoadPlan::Constant(level) => *level,
            LoadPlan::Bursts { base, peak, first, every, lasting } => {
                let since = seconds - first.as_seconds();
                match since >= 0.0 && since % every.as_seconds() < lasting.as_seconds() {
                    true => *peak,
                    false => *base,
                }
            }
            LoadPlan::Steps(steps) => {
                steps
                    .iter()
                    .take_while(|step| step.at.as_seconds() <= seconds)
                    .last()
                    .unwrap_or(&steps[0])
                    .level
            }
            LoadPlan::Staged { levels, hold, ramp } => {
                staged(levels, hold.as_seconds(), ramp.as_seconds(), seconds)
            }
            LoadPlan::Soak { stages, ramp } => soak(stages, ramp.as_seconds(), seconds),
            LoadPlan::Modes { .. } => {
                unreachable!("a plan is taken out of its modes when it is built, and none is in another")
            }
        }
    }

    /// The value of the random span that holds this moment.
    fn span(&mut self, seconds: f64) -> f64 {
        loop {
            match self.spans.front() {
                Some((end, level)) if seconds < *end => return *level,
                Some(_) => drop(self.spans.pop_front()),
                None => self.draw_spans(),
            }
        }
    }

    fn draw_spans(&mut self) {
        const MINUTE: f64 = 60.0;
        let noise = &mut self.noise;
        let spans = &mut self.spans;
        let mut push = |length: f64, level: f64| {
            self.drawn += length;
            spans.push_back((self.drawn, level));
        };
        if self.plan == LoadPlan::Inference {
            push(noise.between(10.0, 20.0) * MINUTE, 0.0);
            push(noise.between(2.0, 5.0) * MINUTE, 0.2);
            return;
        }
        let plateau = noise.between(0.75, 1.0);
        let mut left = noise.between(40.0, 240.0) * MINUTE;
        while left > 0.0 {
            let work = noise.between(15.0, 40.0) * MINUTE;
            push(work.min(left), plateau);
            left -= work;
            if left > 0.0 {
                push(noise.between(20.0, 90.0), noise.between(0.3, 0.5));
            }
        }
        push(noise.between(1.0, 15.0) * MINUTE, noise.between(0.15, 0.3));
    }
}

fn staged(levels: &[f64], hold: f64, ramp: f64, seconds: f64) -> f64 {
    let length = hold + ramp;
    let stage = ((seconds / length) as usize).min(levels.len() - 1);
    let held = seconds - stage as f64 * length;
    match levels.get(stage + 1) {
        Some(next) if held > hold => levels[stage] + (next - levels[stage]) * (held - hold) / ramp,
        Some(_) | None => levels[stage],
    }
}

fn soak(stages: &[SoakStage], ramp: f64, seconds: f64) -> f64 {
    let mut begins = 0.0;
    for (number, stage) in stages.iter().enumerate() {
        let over = begins + stage.hold.as_seconds();
        if seconds <= over {
            return stage.level;
        }
        let next = stages.get(number + 1).map_or(IDLE_LEVEL, |next| next.level);
        if seconds < over + ramp {
            return stage.level + (next - stage.level) * (seconds - over) / ramp;
        }
        begins = over + ramp;
    }
    IDLE_LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(plan: LoadPlan, hours: u32) -> Vec<f64> {
        let mut load = Load::new(plan, Noise::new(7, "load"));
        (0..hours * 3600).map(|second| load.level(f64::from(second), f64::from(second) / 86_400.0)).collect()
    }

    #[test]
    fn training_is_mostly_a_plateau_with_dips_and_gaps() {
        let levels = follow(LoadPlan::Training, 240);
        let share = |range: std::ops::RangeInclusive<f64>| {
            levels.iter().filter(|level| range.contains(level)).count() as f64 / levels.len() as f64
        };
        assert!(share(0.75..=1.0) > 0.85, "{}", share(0.75..=1.0));
        assert!(share(0.3..=0.5) > 0.01, "checkpoint dips: {}", share(0.3..=0.5));
        assert!(share(0.15..=0.3) > 0.02, "gaps: {}", share(0.15..=0.3));
    }

    #[test]
    fn inference_follows_the_day() {
        let levels = follow(LoadPlan::Inference, 24);
        let mean = |hours: std::ops::Range<usize>| {
            levels[hours.start * 3600..hours.end * 3600].iter().sum::<f64>() / (hours.len() * 3600) as f64
        };
        assert!(mean(13..17) > mean(1..5) + 0.3, "afternoon {} night {}", mean(13..17), mean(1..5));
    }

    #[test]
    fn bursts_and_stages_come_when_they_are_planned() {
        let minutes = Microseconds::from_minutes;
        let bursts = LoadPlan::Bursts {
            base: 0.6,
            peak: 1.0,
            first: minutes(5),
            every: minutes(10),
            lasting: minutes(2),
        };
        let levels = follow(bursts, 1);
        let at: Vec<f64> = [299, 300, 419, 420, 899, 900].map(|second: usize| levels[second]).into();
        assert_eq!(at, [0.6, 1.0, 1.0, 0.6, 0.6, 1.0]);

        let staged = LoadPlan::Staged { levels: vec![0.2, 0.6, 1.0], hold: minutes(10), ramp: minutes(2) };
        let levels = follow(staged, 1);
        let at: Vec<f64> =
            [0, 599, 660, 721, 3599].map(|second: usize| (levels[second] * 100.0).round()).into();
        assert_eq!(at, [20.0, 20.0, 40.0, 60.0, 100.0]);
    }

    #[test]
    fn a_soak_goes_through_its_stages_and_idles() {
        let minutes = Microseconds::from_minutes;
        let stage = |level, hold| SoakStage { level, hold: minutes(hold) };
        let soak =
            LoadPlan::Soak { stages: vec![stage(0.2, 5), stage(0.6, 10), stage(1.0, 20)], ramp: minutes(2) };
        let levels = follow(soak, 1);
        let at: Vec<f64> = [0, 300, 360, 421, 1019, 1140, 2300, 2461, 3599]
            .map(|second: usize| (levels[second] * 100.0).round())
            .into();
        assert_eq!(at, [20.0, 20.0, 40.0, 60.0, 60.0, 100.0, 100.0, 15.0, 15.0]);
    }

    #[test]
    fn modes_change_the_plan_beneath_them_and_leave_it_as_it_was() {
        let minutes = Microseconds::from_minutes;
        let span = |mode, begins, ends| ModeSpan {
            mode,
            begins: minutes(begins),
            ramp: minutes(1),
            ends: Some(minutes(ends)),
        };
        let plan = LoadPlan::Modes {
            plan: Box::new(LoadPlan::Constant(0.8)),
            modes: vec![span(Mode::ReducedClocks(0.5), 5, 10), span(Mode::Drained, 20, 30)],
        };
        let levels = follow(plan, 1);
        let at: Vec<f64> = [299, 330, 360, 599, 630, 661, 1260, 1700, 1861]
            .map(|second: usize| (levels[second] * 1000.0).round())
            .into();
        assert_eq!(at, [800.0, 600.0, 400.0, 400.0, 600.0, 800.0, 150.0, 150.0, 800.0]);
    }

    #[test]
    fn work_that_moves_is_done_elsewhere_and_in_sum_stays_the_same() {
        let minutes = Microseconds::from_minutes;
        let to: Name = "r2".into();
        let moved = ModeSpan {
            mode: Mode::Moved { to, share: 0.5 },
            begins: minutes(60),
            ramp: minutes(5),
            ends: None,
        };
        let plan = LoadPlan::Modes { plan: Box::new(LoadPlan::Inference), modes: vec![moved.clone()] };
        let source = || Load::new(plan.clone(), Noise::new(7, "r1"));
        let mut alone = Load::new(LoadPlan::Inference, Noise::new(7, "r1"));
        let mut giver = source();
        let mut taker = Load::new(LoadPlan::Constant(0.2), Noise::new(7, "r2"));
        taker.receive(source(), moved);
        for second in 0..3 * 3600 {
            let (seconds, day) = (f64::from(second), f64::from(second) / 86_400.0);
            let (own, left, taken) =
                (alone.level(seconds, day), giver.level(seconds, day), taker.level(seconds, day));
            assert!((left + taken - own - 0.2).abs() < 1e-9, "{second}: {own} {left} {taken}");
            if 3_900 < second {
                assert!((left - own / 2.0).abs() < 1e-9);
            }
        }
    }
}
