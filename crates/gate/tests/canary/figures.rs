//! Pairs of drills, alike but for a fault, judged every five minutes as a pipeline would.

use std::fmt;
use std::sync::Arc;

use gate::policy_document::read;
use gate::{Policy, Question, Verdict, VerdictKind, controls, judge_beside};
use simulator::LoadPlan::{Inference, Training};
use telemetry::facts::{BATCH, Batch, Metric, RackBatches, RackFacts};
use telemetry::record::Document;
use telemetry::{EventTime, Microseconds};

use crate::bound::{median_at_most, quantile, share_at_most};
use crate::drive::{Cooling, Drill, LATENESS, Played, RUN, play};

/// Cold plates that resist so much more raise the whole resistance by 3 %.
pub const FOULING: f64 = 1.061;

/// The drill of a seed: four kinds of load, two of cooling.
pub fn pair_of_seed(seed: u64) -> Drill {
    let loads = match seed % 4 {
        0 => vec![Training, Training, Training],
        1 => vec![Inference, Inference, Inference],
        2 => vec![Training, Inference, Training],
        _ => vec![Inference, Training, Inference],
    };
    let cooling = if (seed / 4).is_multiple_of(2) { Cooling::Shared } else { Cooling::Separate };
    Drill { seed, cooling, loads, fouling: None, pump_head_loss: None, earlier: 0 }
}

/// The drill of a seed with nothing beside: a rack alone, that had five runs before.
pub fn alone_of_seed(seed: u64) -> Drill {
    let load = if seed.is_multiple_of(2) { Training } else { Inference };
    Drill {
        seed,
        cooling: Cooling::Separate,
        loads: vec![load],
        fouling: None,
        pump_head_loss: None,
        earlier: 5,
    }
}

/// One drill without a fault and with it.
pub struct Pair {
    pub healthy: Played,
    pub faulty: Played,
}

impl Pair {
    pub fn play(drill: &Drill, run: Microseconds) -> Self {
        let faulty = Drill { fouling: Some(FOULING), ..drill.clone() };
        Self { healthy: play(drill, run), faulty: play(&faulty, run) }
    }

    /// Mean change of the resistance by the fault, everything else alike.
    pub fn true_change(&self) -> f64 {
        let values = |played: &Played| -> std::collections::BTreeMap<i64, f64> {
            let batches = &played.facts[0].batches.as_ref().expect("batches").batches;
            let since = batches.iter().filter(|batch| played.start <= batch.start());
            since
                .filter_map(|batch| Some((batch.number, batch.logarithm(Metric::ThermalResistance)?)))
                .collect()
        };
        let (healthy, faulty) = (values(&self.healthy), values(&self.faulty));
        let changes: Vec<f64> =
            faulty.iter().filter_map(|(number, value)| Some(value - healthy.get(number)?)).collect();
        libm::expm1(changes.iter().sum::<f64>() / changes.len() as f64)
    }
}

/// What a rack is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Against {
    name: &'static str,
    /// Racks beside it.
    beside: usize,
    /// The fields of the check.
    check: &'static str,
}

pub const TWO_BESIDE: Against = Against { name: "two beside", beside: 2, check: "{}" };
const ONE_BESIDE: Against = Against { name: "one beside", beside: 1, check: "{}" };
const ALIKE: Against = Against { name: "earlier runs under like conditions", beside: 0, check: "{}" };
const EARLIER: Against = Against {
    name: "earlier runs at any load and ambient",
    beside: 0,
    check: "{matchOn: [sku, coolant_setpoint, cooling_path]}",
};

fn policy(check: &str) -> Policy {
    let text = format!(
        "apiVersion: thermogate.dev/v1alpha1\nkind: GatePolicy\nmetadata: {{name: drill}}\nspec:\n  scope: {{of: \
         run}}\n  checks:\n    - {{canary: {check}}}\n  waitFor: {{deadline: 4h}}\n"
    );
    read(&[Document { name: "drill.yaml".into(), text }]).expect("a policy").remove(0)
}

/// Whether a rack that throttles alone fails at once, or statistics alone decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardRail {
    On,
    Off,
}

/// The verdict on `a1` from what was known at a moment.
pub fn judge_at(played: &Played, watermark: EventTime, against: Against, guard_rail: GuardRail) -> Verdict {
    let known = |batch: &Batch| {
        let throttled_seconds = if guard_rail == GuardRail::On { batch.throttled_seconds } else { 0 };
        (batch.end() <= watermark).then(|| Batch { throttled_seconds, ..batch.clone() })
    };
    let cut = |facts: &Arc<RackFacts>| {
        let batches = facts.batches.as_ref().map(|batches| RackBatches {
            batches: batches.batches.iter().filter_map(known).collect(),
            ..batches.clone()
        });
        Arc::new(RackFacts { watermark, batches, ..(**facts).clone() })
    };
    let all: Vec<Arc<RackFacts>> = played.facts.iter().take(against.beside + 1).map(cut).collect();
    let policy = policy(against.check);
    let question = Question {
        racks: vec!["a1".into()],
        run: Some("next".into()),
        request_id: String::new(),
        asked_at: watermark + LATENESS,
        waiting_since: None,
        not_before: None,
        overrides: Vec::new(),
    };
    let chosen = controls(&policy, &question, &all[..1], &all);
    judge_beside(&policy, &question, &all[..1], &chosen)
}

/// The first verdict that is not PENDING, and minutes from the run's start until it can be given.
fn decided(played: &Played, against: Against, guard_rail: GuardRail) -> (VerdictKind, f64) {
    let mut watermark = played.start.window_start(BATCH) + BATCH;
    loop {
        let verdict = judge_at(played, watermark, against, guard_rail);
        let minutes = (watermark + LATENESS - played.start).as_seconds() / 60.0;
        if verdict.verdict != VerdictKind::Pending || played.start + RUN <= watermark {
            return (verdict.verdict, minutes);
        }
        watermark = watermark + BATCH;
    }
}

/// Whether any of the answers of a whole run is FAIL by statistics, and whether settling times were compared at its end.
fn to_the_end(played: &Played, against: Against) -> (bool, bool) {
    let mut watermark = played.start.window_start(BATCH) + BATCH;
    let (mut failed, mut settling) = (false, false);
    while watermark <= played.start + RUN {
        let verdict = judge_at(played, watermark, against, GuardRail::Off);
        failed |= verdict.verdict == VerdictKind::Fail;
        settling = verdict
            .checks
            .iter()
            .flat_map(|row| &row.evidence)
            .any(|shown| shown.name == "beside" && shown.text.starts_with(Metric::SettlingTime.name()));
        watermark = watermark + BATCH;
    }
    (failed, settling)
}

/// What one pair came to.
struct Outcome {
    seed: u64,
    against: Against,
    healthy: (VerdictKind, f64),
    faulty: (VerdictKind, f64),
    /// What the healthy one would have been told with the guard rail.
    guarded: VerdictKind,
    /// Whether the healthy one would ever have been told FAIL, had it been asked until the run's end, and whether its
    /// settling times were compared then.
    to_the_end: (bool, bool),
}

/// What all pairs came to.
pub struct Figures {
    outcomes: Vec<Outcome>,
    changes: Vec<f64>,
}

impl Figures {
    pub fn of(drills: impl Iterator<Item = Drill>) -> Self {
        let (mut outcomes, mut changes) = (Vec::new(), Vec::new());
        for drill in drills {
            let pair = Pair::play(&drill, RUN);
            changes.push(pair.true_change());
            let is_alone = drill.loads.len() == 1;
            for against in if is_alone { [ALIKE, EARLIER] } else { [TWO_BESIDE, ONE_BESIDE] } {
                outcomes.push(Outcome {
                    seed: drill.seed,
                    against,
                    healthy: decided(&pair.healthy, against, GuardRail::Off),
                    faulty: decided(&pair.faulty, against, GuardRail::Off),
                    guarded: decided(&pair.healthy, against, GuardRail::On).0,
                    to_the_end: to_the_end(&pair.healthy, against),
                });
            }
        }
        Self { outcomes, changes }
    }

    /// Mean change by the fault, everything else alike.
    pub fn true_change(&self) -> f64 {
        self.changes.iter().sum::<f64>() / self.changes.len() as f64
    }

    /// Those that count: against two racks beside, or against any earlier runs.
    fn counting(&self) -> impl Iterator<Item = &Outcome> + Clone {
        self.outcomes.iter().filter(|outcome| [TWO_BESIDE, EARLIER].contains(&outcome.against))
    }

    /// Healthy pairs that failed, and faulty ones that passed, where the comparison is the best there is.
    pub fn wrong(&self) -> (usize, usize) {
        let failed = self.counting().filter(|outcome| outcome.healthy.0 == VerdictKind::Fail);
        let passed = self.counting().filter(|outcome| outcome.faulty.0 == VerdictKind::Pass);
        (failed.count(), passed.count())
    }

    /// Whether all healthy pairs passed and all faulty ones failed within so many minutes, where the comparison is the best there is.
    pub fn all_right_within(&self, minutes: f64) -> bool {
        self.counting().all(|outcome| {
            let right = |(verdict, after): (VerdictKind, f64), wanted| verdict == wanted && after <= minutes;
            right(outcome.healthy, VerdictKind::Pass) && right(outcome.faulty, VerdictKind::Fail)
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.changes.len() as f64;
        let mean = self.true_change();
        let (least, most) = self
            .changes
            .iter()
            .fold((f64::MAX, f64::MIN), |(least, most), change| (least.min(*change), most.max(*change)));
        writeln!(
            f,
            "{count} pairs; true change by the fault {:.2} % ({:.2} to {:.2} %)",
            mean * 100.0,
            least * 100.0,
            most * 100.0
        )?;
        let guarded = self.counting().filter(|outcome| outcome.guarded == VerdictKind::Fail).count();
        writeln!(
            f,
            "guard rail on, nothing changed: {guarded} FAIL; all below without it, by statistics alone"
        )?;
        let ended = self.counting().map(|outcome| outcome.to_the_end);
        writeln!(
            f,
            "asked every five minutes to the end of four hours, nothing changed: {} of {} ever FAIL (at most {:.2} %); \
             settling times compared in {}",
            ended.clone().filter(|(failed, _)| *failed).count(),
            ended.clone().count(),
            100.0 * share_at_most(ended.clone().filter(|(failed, _)| *failed).count(), ended.clone().count()),
            ended.filter(|(_, settling)| *settling).count(),
        )?;
        let all = |_: &Outcome| true;
        for against in [ALIKE, EARLIER] {
            part(f, against.name, &self.outcomes, against, all)?;
            part(f, "  training", &self.outcomes, against, |outcome| outcome.seed.is_multiple_of(2))?;
            part(f, "  inference", &self.outcomes, against, |outcome| !outcome.seed.is_multiple_of(2))?;
        }
        part(f, TWO_BESIDE.name, &self.outcomes, TWO_BESIDE, all)?;
        for (name, kind) in [
            ("  training", 0),
            ("  inference", 1),
            ("  training, beside inference and training", 2),
            ("  inference, beside training and inference", 3),
        ] {
            part(f, name, &self.outcomes, TWO_BESIDE, |outcome| outcome.seed % 4 == kind)?;
        }
        let is_shared = |outcome: &Outcome| (outcome.seed / 4).is_multiple_of(2);
        part(f, "  one loop", &self.outcomes, TWO_BESIDE, is_shared)?;
        part(f, "  a loop each", &self.outcomes, TWO_BESIDE, |outcome| !is_shared(outcome))?;
        part(f, ONE_BESIDE.name, &self.outcomes, ONE_BESIDE, all)
    }
}

fn part(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    outcomes: &[Outcome],
    against: Against,
    is_meant: impl Fn(&Outcome) -> bool,
) -> fmt::Result {
    let meant: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.against == against && is_meant(outcome)).collect();
    if meant.is_empty() {
        return Ok(());
    }
    let told = |f: &mut fmt::Formatter<'_>, what: &str, found: Vec<(VerdictKind, f64)>, right, wrong| {
        let of = |kind| found.iter().filter(|(verdict, _)| *verdict == kind).count();
        let mut minutes: Vec<f64> = found
            .iter()
            .map(|(verdict, minutes)| if *verdict == right { *minutes } else { f64::INFINITY })
            .collect();
        minutes.sort_by(f64::total_cmp);
        writeln!(
            f,
            "{name}, {what}: {} {right}, {} {wrong} (at most {:.2} %), {} others of {}; minutes to {right}: median {:.1} \
             (at most {:.1}), p90 {:.1}, last {:.1}",
            of(right),
            of(wrong),
            100.0 * share_at_most(of(wrong), found.len()),
            found.len() - of(right) - of(wrong),
            found.len(),
            quantile(&minutes, 0.5),
            median_at_most(&minutes),
            quantile(&minutes, 0.9),
            minutes[minutes.len() - 1],
        )
    };
    let (pass, fail) = (VerdictKind::Pass, VerdictKind::Fail);
    told(f, "nothing changed", meant.iter().map(|outcome| outcome.healthy).collect(), pass, fail)?;
    told(f, "+3 %", meant.iter().map(|outcome| outcome.faulty).collect(), fail, pass)
}
