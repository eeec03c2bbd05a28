//! What needs no statistics: a page, or a GPU that heat slows down as it did not before the run, on this rack and on
//! none beside it.

use telemetry::facts::{BurnStatus, Cause, Comparison, ObjectiveStatus};

use super::super::{Draft, Found};
use super::window::Window;
use crate::policy::Check;
use crate::subject::Subject;
use crate::verdict::Evidence;
use crate::words;

/// Throttling that sums up to less is noise, s.
const THROTTLED_MINIMUM: u32 = 1;

/// The row that fails at once, if there is reason to.
pub fn look(check: &Check, subject: &Subject, window: &Window) -> Option<Draft> {
    page(check, subject, window).or_else(|| throttling(check, subject, window))
}

fn page(check: &Check, subject: &Subject, window: &Window) -> Option<Draft> {
    if subject.controls.iter().any(|control| control.pages) {
        return None;
    }
    let (status, burn) = subject.all_statuses().find_map(|status| {
        let pages = |burn: &&BurnStatus| burn.firing && &*burn.severity == "page";
        Some((status, status.burn.iter().find(pages)?))
    })?;
    let factor = burn.factor_ppm as f64 / 1e6;
    let observed = burn.burn_long.unwrap_or(factor);
    let mut draft = Draft::of_status(check, status).compares(Some(observed), Comparison::Lt, factor, "1");
    draft.cause = match status.cause {
        Cause::Unknown => Cause::Release,
        cause => cause,
    };
    let said = format!(
        "{}: guard rail: the error budget of {} on {} burns at {}, page at {}, and on none of {}, window {}/{}, {}",
        check.name,
        status.objective,
        words::place(&status.place),
        words::number(observed),
        words::number(factor),
        beside(subject),
        burn.long,
        burn.short,
        words::coverage(draft.row.coverage)
    );
    draft.row.since = Some(window.run.start);
    let shown = evidence(subject, "guard rail", observed, status);
    Some(draft.says(Found::Broken, said).shows([shown]))
}

fn throttling(check: &Check, subject: &Subject, window: &Window) -> Option<Draft> {
    let [seconds, before] = window.throttled_seconds();
    // A rack that throttled before the run too does so at its load, whatever is released.
    if seconds < THROTTLED_MINIMUM || THROTTLED_MINIMUM <= before {
        return None;
    }
    let is_beside = subject.controls.iter().any(|control| {
        let since = control.batches.batches.iter().filter(|batch| window.run.start < batch.end());
        THROTTLED_MINIMUM <= since.map(|batch| batch.throttled_seconds).sum::<u32>()
    });
    if is_beside {
        return None;
    }
    let place = &subject.facts.place;
    let mut draft = Draft::new(check, "gpu_thermal_throttle_time", place, "run").compares(
        Some(f64::from(seconds)),
        Comparison::Lt,
        f64::from(THROTTLED_MINIMUM),
        "s",
    );
    draft.cause = Cause::Release;
    draft.row.since = Some(window.run.start);
    let said = format!(
        "{}: guard rail: heat slowed a GPU of {} down for {seconds}s since the run's start, less than \
         {THROTTLED_MINIMUM}s is asked, and none of {}, window run, confidence 100 %",
        check.name,
        words::place(place),
        beside(subject)
    );
    let query = format!(
        "SELECT time, node, device, minimum, last FROM blocks WHERE signal = 'gpu_thermal_throttle_time'{} AND time \
         >= '{}' ORDER BY time",
        words::condition(place),
        window.run.start
    );
    let shown = Evidence {
        name: "guard rail".to_owned(),
        value: Some(f64::from(seconds)),
        unit: "s".into(),
        text: format!("{seconds}s of thermal throttling"),
        place: words::labels(place),
        time: Some(subject.facts.watermark),
        query,
    };
    Some(draft.says(Found::Broken, said).shows([shown]))
}

fn beside(subject: &Subject) -> String {
    match subject.controls.len() {
        0 => "no racks beside it, as none is known".to_owned(),
        1 => "the one rack beside it".to_owned(),
        count => format!("{count} racks beside it"),
    }
}

fn evidence(subject: &Subject, name: &str, observed: f64, status: &ObjectiveStatus) -> Evidence {
    Evidence {
        name: name.to_owned(),
        value: Some(observed),
        unit: "1".into(),
        text: format!("burn of {}", status.objective),
        place: words::labels(&status.place),
        time: Some(subject.facts.watermark),
        query: format!(
            "SELECT * FROM slo_status WHERE objective = {}{} ORDER BY time DESC LIMIT 60",
            words::literal(&status.objective),
            words::condition(&status.place)
        ),
    }
}
