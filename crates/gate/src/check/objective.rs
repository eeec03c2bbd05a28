//! Check `objective`: a promise is kept, by the evaluator's own verdict rule; or a count cap, or zero tolerance.

mod recoveries; // bursts of load and the way back from them

use telemetry::facts::{
    BurnStatus, Comparison, Doubt, ObjectiveKind, ObjectiveStatus, Observation, Outcome, Severity, Trust,
    UnknownReason,
};
use telemetry::{Microseconds, Name};

use self::recoveries::{late_cap, recovery_words, share_bounds};
use super::{Draft, Found};
use crate::policy::{Check, Undeclared};
use crate::subject::{Subject, contains, reaches, time_to_reach};
use crate::verdict::Evidence;
use crate::words;

pub fn judge(
    check: &Check,
    subject: &Subject,
    objective: &Name,
    at_most: Option<u64>,
    noise_floor: Microseconds,
) -> Vec<Draft> {
    let drafts: Vec<Draft> = subject
        .statuses(objective)
        .map(|status| match at_most {
            Some(at_most) if status.recoveries.is_some() => late_cap(check, subject, status, at_most),
            Some(at_most) => count_cap(check, subject, status, at_most, noise_floor),
            None => promise(check, subject, status, noise_floor),
        })
        .collect();
    if drafts.is_empty() { missing(check, subject, objective).into_iter().collect() } else { drafts }
}

/// The row of an objective without a status; none where it is not asked.
pub fn missing(check: &Check, subject: &Subject, objective: &Name) -> Option<Draft> {
    let (reason, said) = subject.missing_status(objective);
    if reason == UnknownReason::NeverSeen
        && check.undeclared == Undeclared::WhenSeen
        && !subject.facts.declared
    {
        return None;
    }
    let place = &subject.facts.place;
    let of_run = subject.run().map(|_| Name::from("run"));
    let unseen = subject.facts.unseen.iter().find(|unseen| unseen.objective == *objective);
    let Some(unseen) = unseen.filter(|_| reason == UnknownReason::NeverSeen) else {
        let window = of_run.unwrap_or_else(|| "rolling".into());
        let said = format!("{said}, on {}", words::place(place));
        return Some(Draft::new(check, objective.clone(), place, window).says(Found::Unknown(reason), said));
    };
    let said = format!(
        "{objective}: {} was never seen on {} (misspelt, renamed or not exported), {} {} is asked",
        unseen.signal,
        words::place(place),
        unseen.comparison.sign(),
        words::quantity(unseen.threshold, &unseen.unit)
    );
    let window = of_run.unwrap_or_else(|| unseen.window.clone());
    let draft = Draft::new(check, unseen.signal.clone(), place, window)
        .compares(None, unseen.comparison, unseen.threshold, &unseen.unit)
        .says(Found::Unknown(reason), said);
    Some(draft)
}

/// The objective's own promise.
fn promise(check: &Check, subject: &Subject, status: &ObjectiveStatus, noise_floor: Microseconds) -> Draft {
    let observed = observed(status);
    let draft = Draft::of_status(check, status)
        .compares(observed, status.comparison, status.threshold, &status.unit)
        .shows(evidence(status));
    let hard = check.hard && status.bad_units > 0 && noise_floor <= status.time.bad;
    let found = match status.outcome {
        _ if hard => Found::Broken,
        Outcome::NotOk => Found::Broken,
        Outcome::Unknown => Found::Unknown(status.unknown_reason.unwrap_or(UnknownReason::LowCoverage)),
        Outcome::Ok => Found::Kept,
    };
    match found {
        Found::Broken => {
            let said = sentence(check, status, observed, false) + &left_out(subject, status);
            draft.says(Found::Broken, said)
        }
        Found::Unknown(reason) => unknown(check, subject, status, draft, reason),
        Found::Kept | Found::Doubtful => kept(check, subject, status, draft),
    }
}

/// At most so many episodes, whatever rate the objective promises: what a short run can show.
fn count_cap(
    check: &Check,
    subject: &Subject,
    status: &ObjectiveStatus,
    at_most: u64,
    noise_floor: Microseconds,
) -> Draft {
    let (count, duration) = match &status.events {
        Some(events) => (events.count, events.duration),
        None => (status.episodes, status.time.bad),
    };
    let counted = if duration < noise_floor { 0 } else { count };
    let mut draft = Draft::of_status(check, status)
        .compares(Some(counted as f64), Comparison::Lte, at_most as f64, "1")
        .shows(evidence(status));
    draft.row.budget_left = None;
    let bounds =
        status.events.as_ref().and_then(|events| Some((events.lower_per_hour?, events.upper_per_hour?)));
    let rate = bounds.map_or_else(String::new, |(lower, upper)| {
        format!(
            ", 90 % bounds {} to {} an hour{}",
            words::number(lower),
            words::number(upper),
            clusters(status)
        )
    });
    let noise = if counted < count {
        format!(" ({count} below the noise floor of {noise_floor})")
    } else {
        String::new()
    };
    let said = format!(
        "{}: {counted} episodes{noise} of {}, {} allowed, on {}, lasting {}{rate}, window {}, {}",
        check.name,
        status.signal,
        at_most,
        words::place(&status.place),
        words::span(duration),
        status.window,
        words::coverage(draft.row.coverage)
    );
    if at_most < counted {
        return draft.says(Found::Broken, said);
    }
    match too_little(subject, status) {
        Some((reason, why)) => {
            more_later(subject, status, draft.says(Found::Unknown(reason), format!("{said}: {why}")))
        }
        None => draft.says(Found::Kept, said),
    }
}

/// Kept by the evaluator's rule; the gate asks for coverage of its own, and for recent data.
fn kept(check: &Check, subject: &Subject, status: &ObjectiveStatus, draft: Draft) -> Draft {
    if let Some((reason, _)) = too_little(subject, status) {
        return unknown(check, subject, status, draft, reason);
    }
    let said = sentence(check, status, draft.row.observed, true) + &left_out(subject, status);
    let little = status.budget_left.filter(|left| *left < subject.policy.warn_budget_left);
    let burning = status.burn.iter().find(|burn| burn.firing);
    let finding = subject.active_findings().find(|finding| {
        finding.severity >= Severity::Warning
            && finding
                .signal
                .as_ref()
                .is_some_and(|signal| words::signals(&status.signal).contains(&&**signal))
            && contains(&status.place, &finding.place)
    });
    let suspect = subject
        .doubted_sensor(status, Trust::Suspect)
        .or_else(|| subject.doubted_sensor(status, Trust::Uncalibrated));
    let doubt = if little.is_some() {
        format!("less than {} of the budget is left", words::percent(subject.policy.warn_budget_left))
    } else if let Some(burn) = burning {
        format!("{} burn fires: {}", burn.severity, burn_words(burn))
    } else if let Some(finding) = finding {
        format!("finding {} on {}", finding.detector, words::place(&finding.place))
    } else if let Some(sensor) = suspect {
        words::sensor(sensor)
    } else {
        return draft.says(Found::Kept, said);
    };
    draft.says(Found::Doubtful, format!("{said}: {doubt}"))
}

fn unknown(
    check: &Check,
    subject: &Subject,
    status: &ObjectiveStatus,
    draft: Draft,
    reason: UnknownReason,
) -> Draft {
    let mut why = too_little(subject, status).map_or_else(String::new, |(_, why)| format!(": {why}"));
    if let Some(sensor) = subject.doubted_sensor(status, Trust::Distrusted).map(words::sensor)
        && !why.contains(&sensor)
    {
        why = format!("{why}: {sensor}");
    }
    let last = match &status.last {
        Some(last) => format!(
            "last known {} at {}",
            words::quantity(last.value, &status.unit),
            words::moment(last.time)
        ),
        None => "no value is known".into(),
    };
    if status.recoveries.is_some() {
        let said = format!(
            "{}: whether {} of bursts settle in time on {} is unknown ({}){why}; {}; {}, window {}, {}",
            check.name,
            words::percent(f64::from(status.target_ppm) / 1e6),
            words::place(&status.place),
            reason.name(),
            recovery_words(status),
            share_bounds(status),
            status.window,
            words::coverage(draft.row.coverage)
        );
        return more_later(subject, status, draft.says(Found::Unknown(reason), said));
    }
    let said = format!(
        "{}: {} on {} is unknown ({}){why}; {last}, asked {} {}, window {}, {}",
        check.name,
        status.signal,
        words::place(&status.place),
        reason.name(),
        status.comparison.sign(),
        words::quantity(status.threshold, &status.unit),
        status.window,
        words::coverage(draft.row.coverage)
    );
    more_later(subject, status, draft.says(Found::Unknown(reason), said))
}

/// Sensors that are left out because a redundant one is trusted, each with a semicolon before it.
fn left_out(subject: &Subject, status: &ObjectiveStatus) -> String {
    // Of a run that is over nobody asks how its sensors are now.
    let doubts = status.doubts.iter().filter(|_| !subject.is_over());
    let replaced = doubts.filter(|doubt| !doubt.instead.is_empty());
    replaced.map(|doubt| format!("; {}", words::doubt(doubt))).collect()
}

/// Why a status is not enough for a gate although nothing in it is broken.
pub fn too_little(subject: &Subject, status: &ObjectiveStatus) -> Option<(UnknownReason, String)> {
    let minimum = subject.policy.minimum_coverage_ppm;
    let asked = status.time.asked();
    if asked.0 <= 0 {
        return Some((UnknownReason::WindowIncomplete, "no time was asked for yet".into()));
    }
    if !reaches(status.time.known(), asked, minimum) {
        let reason = status.unknown_reason.unwrap_or(UnknownReason::LowCoverage);
        return Some((reason, format!("{} is asked", words::percent(f64::from(minimum) / 1e6))));
    }
    if let Some(sensor) = subject.doubted_sensor(status, Trust::Distrusted) {
        let found = subject.active_findings().any(|finding| finding.signal.as_ref() == Some(&sensor.signal));
        let reason = if found { UnknownReason::SensorFault } else { UnknownReason::Distrusted };
        return Some((reason, words::sensor(sensor)));
    }
    let stale = subject.staleness(status)?;
    let why = format!(
        "{} on {}: {} of the last {} known, {} is asked",
        stale.coverage.signal,
        words::place(&stale.coverage.place),
        stale.share().map_or_else(|| "nothing".into(), words::percent),
        words::span(stale.asked),
        words::percent(f64::from(minimum) / 1e6)
    );
    Some((UnknownReason::Stale, why))
}

/// The tick at which coverage can be enough, if everything is known from now on.
fn more_later(subject: &Subject, status: &ObjectiveStatus, mut draft: Draft) -> Draft {
    let minimum = subject.policy.minimum_coverage_ppm;
    draft.more_at = time_to_reach(status.time.known(), status.time.asked(), minimum)
        .filter(|left| left.0 > 0)
        .map(|left| subject.clock.asked_at + left);
    draft
}

/// The value that the sentence starts with: the worst of the window, for a rate the rate.
fn observed(status: &ObjectiveStatus) -> Option<f64> {
    let value = |seen: &Option<Observation>| seen.as_ref().map(|seen| seen.value);
    match status.kind {
        ObjectiveKind::TimeInBounds | ObjectiveKind::HardLimit | ObjectiveKind::RecoveryTime => {
            value(&status.worst).or(value(&status.last))
        }
        ObjectiveKind::Trend => status.trend.as_ref().map(|trend| trend.level).or(value(&status.last)),
        ObjectiveKind::EventRate => status
            .events
            .as_ref()
            .filter(|events| events.exposure.0 > 0)
            .map(|events| events.count as f64 / (events.exposure.as_seconds() / 3_600.0)),
    }
}

/// Observed, threshold, place, how long, budget, window, coverage; the time to the threshold where it is near.
fn sentence(check: &Check, status: &ObjectiveStatus, observed: Option<f64>, is_kept: bool) -> String {
    let subject = if *check.name == *status.signal || check.name.starts_with(&*status.signal) {
        check.name.to_string()
    } else {
        format!("{}: {}", check.name, status.signal)
    };
    let sign = if observed.is_some_and(|value| !status.comparison.holds(value, status.threshold)) {
        broken_sign(status.comparison)
    } else {
        status.comparison.sign()
    };
    let mut said = match observed {
        Some(value) => format!(
            "{subject} {} {sign} {}",
            words::quantity(value, &status.unit),
            words::quantity(status.threshold, &status.unit)
        ),
        None => format!("{subject} {} without a number", words::outcome(status.outcome)),
    };
    said += &format!(" on {}", words::place(&status.place));
    if status.recoveries.is_some() {
        said += &format!(
            ", {}, {} asked; {}, {}",
            recovery_words(status),
            words::percent(f64::from(status.target_ppm) / 1e6),
            share_bounds(status),
            words::coverage(status.time.coverage())
        );
        return said;
    }
    if let (Some(worst), Some(last)) = (&status.worst, &status.last)
        && !is_kept
    {
        said += &format!(
            " (worst at {}, now {})",
            words::moment(worst.time),
            words::quantity(last.value, &status.unit)
        );
    }
    said += &clusters(status);
    if status.time.bad.0 > 0 {
        said += &format!(", bad {} of {}", words::span(status.time.bad), words::span(status.time.known()));
    }
    if let Some(left) = status.budget_left {
        said += &format!(", {}", words::budget(left));
    }
    said += &format!(", window {}, {}", status.window, words::coverage(status.time.coverage()));
    if !is_kept && let Some(left) = time_to_threshold(status) {
        said += &format!("; time to threshold {}", words::span(left));
    }
    said
}

/// Episodes that come in clusters show less than as many that do not.
fn clusters(status: &ObjectiveStatus) -> String {
    let factor = status.events.as_ref().and_then(telemetry::facts::EventRateStatus::over_dispersion);
    factor.map_or_else(String::new, |factor| {
        format!(", in clusters (Fano factor {}), which widens the bounds", words::number(factor))
    })
}

/// None left once a value of the window has passed the threshold; else by the trend, where there is one.
fn time_to_threshold(status: &ObjectiveStatus) -> Option<Microseconds> {
    let passed = [&status.last, &status.worst]
        .into_iter()
        .flatten()
        .any(|seen| !status.comparison.holds(seen.value, status.threshold));
    match status.kind {
        ObjectiveKind::TimeInBounds | ObjectiveKind::Trend if passed => Some(Microseconds::ZERO),
        ObjectiveKind::TimeInBounds
        | ObjectiveKind::Trend
        | ObjectiveKind::HardLimit
        | ObjectiveKind::EventRate
        | ObjectiveKind::RecoveryTime => {
            status.trend.as_ref().filter(|trend| trend.significant)?.time_to_threshold
        }
    }
}

const fn broken_sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Lte => ">",
        Comparison::Gte => "<",
        Comparison::Lt => ">=",
        Comparison::Gt => "<=",
        Comparison::Equal => "is not",
    }
}

/// `6h/30m at 7.2, limit 6`.
pub fn burn_words(burn: &BurnStatus) -> String {
    let rate = burn.burn_long.map_or_else(|| "unknown".into(), words::number);
    format!("{}/{} at {rate}, limit {}", burn.long, burn.short, words::number(burn.factor_ppm as f64 / 1e6))
}

/// A sensor that is not simply trusted, and what stands in for it.
fn doubted(doubt: &Doubt) -> Evidence {
    let sensor = &doubt.sensor;
    let name = match &sensor.sensor {
        Some(name) => format!("trust/{}/{name}", sensor.signal),
        None => format!("trust/{}", sensor.signal),
    };
    Evidence {
        name: "sensor".into(),
        value: None,
        unit: "".into(),
        text: words::doubt(doubt),
        place: words::labels(&sensor.place),
        time: sensor.since,
        query: format!(
            "SELECT time, old, new FROM events WHERE name = {}{} ORDER BY time DESC LIMIT 60",
            words::literal(&name),
            words::condition(&sensor.place)
        ),
    }
}

/// The worst and the latest value, the status itself, and sensors that are not simply trusted.
pub fn evidence(status: &ObjectiveStatus) -> Vec<Evidence> {
    let seen = |name: &str, seen: &Option<Observation>| {
        let seen = seen.as_ref()?;
        let around = Microseconds::from_minutes(5);
        let signals: Vec<String> = words::signals(&status.signal).into_iter().map(words::literal).collect();
        Some(Evidence {
            name: name.into(),
            value: Some(seen.value),
            unit: status.unit.clone(),
            text: words::quantity(seen.value, &status.unit),
            place: words::labels(&seen.place),
            time: Some(seen.time),
            query: format!(
                "SELECT time, signal, node, device, value FROM samples WHERE signal IN ({}){} AND time BETWEEN '{}' \
                 AND '{}' ORDER BY time",
                signals.join(", "),
                words::condition(&seen.place),
                seen.time - around,
                seen.time + around
            ),
        })
    };
    let group = match (&status.place.rack, &status.place.cooling_loop) {
        (Some(rack), _) => format!(" AND rack = {}", words::literal(rack)),
        (None, Some(cooling_loop)) => {
            format!(" AND loop = {} AND rack IS NULL", words::literal(cooling_loop))
        }
        (None, None) => String::new(),
    };
    let run =
        status.run.as_ref().map_or_else(String::new, |run| format!(" AND run = {}", words::literal(run)));
    let history = Evidence {
        name: "status".into(),
        value: status.budget_left,
        unit: "1".into(),
        text: format!("{} since {}", words::outcome(status.outcome), words::moment(status.since)),
        place: words::labels(&status.place),
        time: None,
        query: format!(
            "SELECT time, state, sli_known, coverage, budget_left, burn_rates FROM slo_status WHERE objective = \
             {}{group}{run} ORDER BY time DESC LIMIT 60",
            words::literal(&status.objective)
        ),
    };
    let shown = [seen("worst", &status.worst), seen("last", &status.last), Some(history)];
    shown.into_iter().flatten().chain(status.doubts.iter().map(doubted)).collect()
}
