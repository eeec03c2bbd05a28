//! Check `canary`: the rack is no worse than racks beside it, or than it was in earlier runs.
//!
//! batches of the rack, racks beside it, earlier runs → **canary** → rows

mod beside; // racks beside it: differences in differences
mod earlier; // earlier runs of the rack
mod evidence; // what a decision was made from
mod guard; // what needs no statistics
mod window; // batches before and since the run's start

use telemetry::Name;
use telemetry::facts::{BATCH, Cause, Comparison, EndedRun, Metric, Trust, UnknownReason};

use self::beside::Beside;
use self::earlier::NotAlike;
use self::evidence::evidence;
use self::window::Window;
use super::{Draft, Found, wait};
use crate::canary::{ALPHA, BATCHES_MINIMUM, Decision, Estimate, beyond_by_holm, decide};
use crate::policy::{Baseline, Canary, Check, CheckKind, NoBaseline, Undeclared};
use crate::subject::Subject;
use crate::words;

/// Steady minutes since the run's start before it is said that nothing got worse. Worse is said sooner: bad evidence
/// does not wait.
const STEADY_MINUTES_MINIMUM: u32 = 20;
/// By how much the exchanger's conductance and the pump's head may fall and the hydraulic resistance and the settling
/// time rise, as shares.
const CONDUCTANCE_FALL_MAXIMUM: f64 = 0.05;
const HEAD_FALL_MAXIMUM: f64 = 0.05;
const HYDRAULIC_RISE_MAXIMUM: f64 = 0.05;
const SETTLING_RISE_MAXIMUM: f64 = 0.10;

/// What a run is compared with.
enum Basis<'a> {
    /// Racks beside it, each with itself before the run's start too.
    Beside(Vec<Beside<'a>>),
    /// Earlier runs of the rack.
    Earlier(Vec<&'a EndedRun>),
}

/// Nothing to compare with, and why.
struct NoBasis(String);

pub fn judge(check: &Check, subject: &Subject, canary: &Canary) -> Vec<Draft> {
    let draft = Draft::new(check, Metric::ThermalResistance.name(), &subject.facts.place, "run");
    let place = words::place(&subject.facts.place);
    let Some(run) = subject.run() else {
        let said = format!("{}: a run is compared, and none is asked about on {place}: name one", check.name);
        return vec![draft.says(Found::Unknown(UnknownReason::NotComparable), said)];
    };
    let unseen = ["gpu_temperature", "coolant_supply_temperature"]
        .into_iter()
        .find(|signal| !subject.facts.coverage.iter().any(|coverage| &*coverage.signal == *signal));
    if unseen.is_some() && check.undeclared == Undeclared::WhenSeen && !subject.facts.declared {
        return Vec::new();
    }
    let window = Window::new(subject.facts, run);
    if let Some(tripped) = guard::look(check, subject, &window) {
        return vec![tripped];
    }
    let mut draft = draft.compares(None, Comparison::Lte, canary.maximum_effect, "1");
    draft.row.since = Some(run.start);
    draft.row.known_units = window.values(Metric::ThermalResistance, true).len() as u64;
    draft.row.asked_units = window.asked_batches(subject.facts.watermark);
    draft.more_at = Some(subject.clock.tick_of(subject.facts.watermark.window_start(BATCH) + BATCH));
    let head = format!("{}: {} of {place}", check.name, draft.row.signal);
    let tail = format!(
        "at most {} more is asked, window run, {}",
        words::percent(canary.maximum_effect),
        gated(window.gated_share(subject.facts.watermark))
    );
    if let Some(signal) = unseen {
        let said = format!("{head} is not measured: no {signal} was ever seen, {tail}");
        return vec![draft.says(Found::Unknown(UnknownReason::NeverSeen), said)];
    }
    let basis = match basis(subject, canary, &window) {
        Ok(basis) => basis,
        Err(none) => return vec![without_basis(draft, canary, &none, &head, &tail)],
    };
    let known = draft.row.known_units as usize;
    if known < BATCHES_MINIMUM {
        let said = format!(
            "{head}: {known} of {BATCHES_MINIMUM} batches of steady load since the run's start are there, {tail}"
        );
        return vec![draft.says(Found::Unknown(still_open(subject)), said)];
    }
    match basis.narrowed(subject, canary, &window) {
        Ok(basis) => rows(check, subject, canary, &window, &basis, draft),
        Err(NotAlike { said, is_unknown: true }) => {
            vec![without_basis(draft, canary, &NoBasis(said), &head, &tail)]
        }
        Err(NotAlike { said, is_unknown: false }) => {
            let said = format!("{head}: comparison invalid: {said}; {tail}");
            vec![draft.says(Found::Unknown(UnknownReason::NotComparable), said)]
        }
    }
}

/// The earlier runs that this check compares with, none where it compares with racks beside.
pub fn baseline_runs(check: &Check, subject: &Subject) -> Vec<Name> {
    let (CheckKind::Canary(canary), Some(run)) = (&check.kind, subject.run()) else { return Vec::new() };
    let window = Window::new(subject.facts, run);
    let basis = basis(subject, canary, &window).ok();
    match basis.and_then(|basis| basis.narrowed(subject, canary, &window).ok()) {
        Some(Basis::Earlier(runs)) => runs.into_iter().map(|run| run.run.clone()).collect(),
        Some(Basis::Beside(_)) | None => Vec::new(),
    }
}

/// Racks beside it, else earlier runs; the other way round only where these are asked for by name.
fn basis<'a>(subject: &Subject<'a>, canary: &Canary, window: &Window<'a>) -> Result<Basis<'a>, NoBasis> {
    let not_beside = match canary.baseline {
        Baseline::LastPass | Baseline::MedianOfLastN(_) => match beside::usable(subject, window) {
            Ok(beside) => return Ok(Basis::Beside(beside)),
            Err(said) => Some(said),
        },
        Baseline::Tag(_) | Baseline::Explicit(_) => None,
    };
    match earlier::comparable(subject, canary, window) {
        Ok(runs) => Ok(Basis::Earlier(runs)),
        Err(NoBasis(said)) => {
            let beside = not_beside.map_or_else(String::new, |said| format!("; racks beside it: {said}"));
            Err(NoBasis(format!("earlier runs: {said}{beside}")))
        }
    }
}

impl Basis<'_> {
    /// What of it ran under the conditions of this run, which are known only since its first batches.
    ///
    /// # Errors
    /// Says in what it differs, when a comparison would say nothing.
    fn narrowed(self, subject: &Subject, canary: &Canary, window: &Window) -> Result<Self, NotAlike> {
        match self {
            Self::Beside(beside) => match beside::moved(window, &beside) {
                Some(said) => Err(NotAlike { said, is_unknown: false }),
                None => Ok(Self::Beside(beside)),
            },
            Self::Earlier(runs) => earlier::alike(subject, canary, window, &runs).map(Self::Earlier),
        }
    }

    fn estimate(&self, window: &Window, metric: Metric) -> Option<Estimate> {
        match self {
            // What a loop settles from is the load, which the other metrics are made independent of.
            Self::Beside(_) if metric == Metric::SettlingTime && !window.has_load_as_before() => None,
            Self::Beside(beside) if metric == Metric::SettlingTime => beside::settling(window, beside),
            Self::Beside(beside) => {
                let (before, since) = beside::differences(window, beside, metric)?;
                Estimate::of_change(&before, &since)
            }
            Self::Earlier(runs) => earlier::estimate(window, runs, metric),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Beside(beside) => match beside.len() {
                1 => "one rack beside it".to_owned(),
                count => format!("{count} racks beside it"),
            },
            Self::Earlier(runs) => match runs.as_slice() {
                [only] => format!("its run {:?}", &*only.run),
                several => format!("its {} earlier runs", several.len()),
            },
        }
    }
}

fn without_basis(
    mut draft: Draft,
    canary: &Canary,
    NoBasis(none): &NoBasis,
    head: &str,
    tail: &str,
) -> Draft {
    let said = format!(
        "{head} is without a number: there is nothing to compare with, and so no confidence: {none}; {tail}"
    );
    match canary.no_baseline {
        NoBaseline::Inconclusive => draft.says(Found::Unknown(UnknownReason::NotComparable), said),
        NoBaseline::Warn => {
            draft.row.unknown_reason = Some(UnknownReason::NotComparable);
            draft.says(Found::Doubtful, said)
        }
    }
}

/// Whether a metric got worse where it rose.
const fn is_worse_higher(metric: Metric) -> bool {
    match metric {
        Metric::ThermalResistance
        | Metric::HydraulicResistance
        | Metric::HeatBalance
        | Metric::SettlingTime => true,
        Metric::ExchangerConductance | Metric::PumpHead => false,
    }
}

/// A metric that is judged.
struct Judged {
    metric: Metric,
    estimate: Estimate,
    /// Its margin as a share, positive.
    share: f64,
}

impl Judged {
    /// How much worse it got, as a logarithm.
    fn worse(&self) -> f64 {
        if is_worse_higher(self.metric) { self.estimate.mean } else { -self.estimate.mean }
    }

    /// The margin as a logarithm, positive.
    fn margin(&self) -> f64 {
        if is_worse_higher(self.metric) { libm::log1p(self.share) } else { -libm::log1p(-self.share) }
    }

    /// How the change is compared for it to be kept, and with what.
    fn limit(&self) -> (Comparison, f64) {
        match is_worse_higher(self.metric) {
            true => (Comparison::Lte, self.share),
            false => (Comparison::Gte, -self.share),
        }
    }

    /// `thermal_resistance changed by +3.05 % ± 0.82 %`.
    fn change(&self, alpha: f64) -> String {
        let width = libm::expm1(self.estimate.half_width(alpha));
        format!(
            "{} changed by {} ± {}",
            self.metric.name(),
            signed(libm::expm1(self.estimate.mean)),
            share(width)
        )
    }
}

/// Whose doing it is when a metric is worse: exchanger and pump are the loop's, and no image or driver wears them.
fn cause_of(metric: Metric) -> Cause {
    match metric {
        Metric::ExchangerConductance | Metric::PumpHead => Cause::Facility,
        Metric::ThermalResistance
        | Metric::HydraulicResistance
        | Metric::SettlingTime
        | Metric::HeatBalance => Cause::Release,
    }
}

/// A row for the thermal resistance, and one for each other metric that is surely worse.
fn rows(
    check: &Check,
    subject: &Subject,
    canary: &Canary,
    window: &Window,
    basis: &Basis,
    mut draft: Draft,
) -> Vec<Draft> {
    let place = words::place(&subject.facts.place);
    let judged: Vec<Judged> = Metric::ALL
        .into_iter()
        .filter_map(|metric| {
            let share = match metric {
                Metric::ThermalResistance => canary.maximum_effect,
                Metric::ExchangerConductance => CONDUCTANCE_FALL_MAXIMUM,
                Metric::HydraulicResistance => HYDRAULIC_RISE_MAXIMUM,
                Metric::PumpHead => HEAD_FALL_MAXIMUM,
                Metric::SettlingTime => SETTLING_RISE_MAXIMUM,
                // Shown only: a meter that drifts is no release's doing.
                Metric::HeatBalance => return None,
            };
            let estimate = basis.estimate(window, metric);
            let estimate = estimate.filter(|estimate| BATCHES_MINIMUM <= estimate.since)?;
            Some(Judged { metric, estimate, share })
        })
        .collect();
    let changes: Vec<(f64, &Estimate, f64)> =
        judged.iter().map(|one| (one.worse(), &one.estimate, one.margin())).collect();
    let levels = beyond_by_holm(&changes);
    let tail = |one: &Judged| {
        format!(
            "window run, {} batches, {}",
            one.estimate.since,
            gated(window.gated_share(subject.facts.watermark))
        )
    };
    let mut drafts = Vec::new();
    for (one, level) in judged.iter().zip(&levels) {
        let is_primary = one.metric == Metric::ThermalResistance;
        let Some(level) = level else { continue };
        let mut row = if is_primary {
            draft.clone()
        } else {
            Draft::new(check, one.metric.name(), &subject.facts.place, "run")
        };
        let (comparison, threshold) = one.limit();
        row = row.compares(Some(libm::expm1(one.estimate.mean)), comparison, threshold, "1");
        row.row.since = draft.row.since;
        row.row.known_units = one.estimate.since as u64;
        row.row.asked_units = draft.row.asked_units;
        row.cause = cause_of(one.metric);
        let said = format!(
            "{}: {} of {place} {} against {}, beyond {} by a confidence sequence of {}, {}",
            check.name,
            one.metric.name(),
            one.change(*level).replacen(one.metric.name(), "", 1).trim_start(),
            basis.words(),
            signed(threshold),
            words::percent(1.0 - level),
            tail(one)
        );
        let shown = evidence(subject, window, basis, &judged, one, *level);
        drafts.push(doubted(subject, one.metric, row.says(Found::Broken, said).shows(shown)));
    }
    let primary = judged.iter().position(|one| one.metric == Metric::ThermalResistance);
    let Some(primary) = primary else {
        let said = format!(
            "{}: {} of {place} and of {} have too few batches in common, {} are asked, window run, {}",
            check.name,
            draft.row.signal,
            basis.words(),
            BATCHES_MINIMUM,
            gated(window.gated_share(subject.facts.watermark))
        );
        drafts.push(draft.says(Found::Unknown(still_open(subject)), said));
        return drafts;
    };
    if levels[primary].is_some() {
        return drafts;
    }
    let one = &judged[primary];
    draft.row.observed = Some(libm::expm1(one.estimate.mean));
    draft.row.known_units = one.estimate.since as u64;
    let steady = window.steady_minutes();
    let decision = decide(one.worse(), one.estimate.half_width(ALPHA), one.margin());
    let (found, answer) = match decision {
        Decision::Within if STEADY_MINUTES_MINIMUM <= steady => (Found::Kept, "within".to_owned()),
        Decision::Within => (
            Found::Unknown(still_open(subject)),
            format!("{steady} of {STEADY_MINUTES_MINIMUM} steady minutes are there, so far within"),
        ),
        // Beyond at the level of one metric, and not at that of all together.
        Decision::Open | Decision::Beyond => {
            (Found::Unknown(still_open(subject)), "not yet surely on one side of".to_owned())
        }
    };
    let said = format!(
        "{}: {} of {place} {} against {}, {answer} {} by a confidence sequence of {}, {}",
        check.name,
        one.metric.name(),
        one.change(ALPHA).replacen(one.metric.name(), "", 1).trim_start(),
        basis.words(),
        signed(canary.maximum_effect),
        words::percent(1.0 - ALPHA),
        tail(one)
    );
    let shown = evidence(subject, window, basis, &judged, one, ALPHA);
    drafts.push(doubted(subject, one.metric, draft.says(found, said).shows(shown)));
    drafts
}

/// What was found, as far as the sensors can be believed: a thermometer that drifts looks like a release that does.
fn doubted(subject: &Subject, metric: Metric, mut draft: Draft) -> Draft {
    let of_metric = |trust: Trust| {
        subject
            .facts
            .sensors
            .iter()
            .filter(|_| !subject.is_over())
            .find(|sensor| sensor.trust == trust && signals(metric).contains(&&*sensor.signal))
    };
    let Some(sensor) = of_metric(Trust::Distrusted).or_else(|| of_metric(Trust::Suspect)) else {
        return draft;
    };
    // Readings from before it was found are in the comparison, so that a redundant sensor saves no more than a doubt.
    let is_lost = sensor.trust == Trust::Distrusted && !subject.has_stand_in(sensor);
    let said = format!("; {}", words::sensor(sensor));
    match draft.found {
        Found::Kept if is_lost => draft.found = Found::Unknown(UnknownReason::Distrusted),
        Found::Kept => draft.found = Found::Doubtful,
        Found::Broken => draft.found = Found::Unknown(UnknownReason::SensorFault),
        Found::Doubtful | Found::Unknown(_) => {}
    }
    draft.row.reason += &said;
    draft
}

/// The signals that a metric is made of.
const fn signals(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::ThermalResistance => &["gpu_temperature", "gpu_power", "coolant_supply_temperature"],
        Metric::ExchangerConductance => &[
            "coolant_supply_temperature",
            "coolant_return_temperature",
            "coolant_supply_flow",
            "facility_supply_temperature",
            "facility_return_temperature",
            "facility_flow",
        ],
        Metric::HydraulicResistance => &["coolant_differential_pressure", "coolant_flow"],
        Metric::PumpHead => &["pump_differential_pressure", "pump_speed"],
        Metric::SettlingTime => {
            &["coolant_supply_temperature", "coolant_return_temperature", "gpu_temperature", "rack_power"]
        }
        Metric::HeatBalance => {
            &["rack_power", "coolant_flow", "coolant_supply_temperature", "coolant_return_temperature"]
        }
    }
}

/// More batches can come while the run goes on; after it, or when nobody waits any more, these are all.
fn still_open(subject: &Subject) -> UnknownReason {
    match wait::may_wait(subject, UnknownReason::WindowIncomplete) {
        true => UnknownReason::WindowIncomplete,
        false => UnknownReason::NotEnoughEvidence,
    }
}

/// `+3.05 %`.
fn signed(change: f64) -> String {
    format!("{:+.2} %", change * 100.0)
}

/// `0.82 %`.
fn share(value: f64) -> String {
    format!("{:.2} %", value * 100.0)
}

/// How much of the run's time had steady load. Not the row's coverage: what is not steady is not missing.
fn gated(share: Option<f64>) -> String {
    share.map_or_else(
        || "no time judged yet".to_owned(),
        |share| format!("gated share {}", words::percent(share)),
    )
}
