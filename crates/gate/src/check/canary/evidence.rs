//! What a decision was made from, as rows with the query that shows it.

use telemetry::facts::Metric;
use telemetry::{EventTime, Microseconds};

use super::window::Window;
use super::{Basis, Judged, beside, gated, share, signals, signed};
use crate::canary::{ALPHA, Estimate};
use crate::subject::Subject;
use crate::verdict::Evidence;
use crate::words;

/// All that a person needs to follow the decision.
pub fn evidence(
    subject: &Subject,
    window: &Window,
    basis: &Basis,
    judged: &[Judged],
    one: &Judged,
    alpha: f64,
) -> Vec<Evidence> {
    let place = &subject.facts.place;
    let row = |name: &str, value: Option<f64>, text: String, time: EventTime| Evidence {
        name: name.to_owned(),
        value,
        unit: "1".into(),
        text,
        place: words::labels(place),
        time: Some(time),
        query: query(one.metric, subject, window.run.start),
    };
    let Estimate { mean, deviation, lag_one, since, before, .. } = one.estimate;
    let change = format!(
        "mean {}, half width {}, n {since}, effective n {}, deviation of a batch {}, r1 {}, margin {}, α {}, {}",
        signed(libm::expm1(mean)),
        share(libm::expm1(one.estimate.half_width(alpha))),
        words::number(one.estimate.effective()),
        share(deviation),
        words::number(lag_one),
        share(one.share),
        words::number(alpha),
        gated(window.gated_share(subject.facts.watermark)),
    );
    let mut rows = vec![row("change", Some(libm::expm1(mean)), change, subject.facts.watermark)];
    let (first, minutes) = window.before_span(one.metric);
    let span = format!(
        "{} batches, {minutes} steady minutes{}",
        before,
        first.map_or_else(String::new, |first| format!(" since {}", words::moment(first)))
    );
    match basis {
        Basis::Beside(beside) => {
            rows.push(row("before", None, span, window.run.start));
            let named: Vec<&str> = beside.iter().map(|one| one.control.name()).collect();
            let left_out = beside::left_out(subject, window);
            let left_out = if left_out.is_empty() {
                String::new()
            } else {
                format!("; left out: {}", left_out.join(", "))
            };
            rows.push(row("controls", None, format!("{}{left_out}", named.join(", ")), window.run.start));
        }
        Basis::Earlier(runs) => {
            let named: Vec<String> = runs
                .iter()
                .map(|run| {
                    let mean = run.metric(one.metric).map_or_else(String::new, |metric| {
                        format!(
                            ", mean of the logarithm {}, {} batches",
                            words::number(metric.mean),
                            metric.batches
                        )
                    });
                    format!("{} until {}{mean}", run.run, words::moment(run.end))
                })
                .collect();
            rows.push(row("runs", None, named.join("; "), window.run.start));
        }
    }
    rows.push(row("conditions", None, window.conditions_told(), subject.facts.watermark));
    // What was judged beside it and is not worse, or only shown.
    let heat_balance = basis.estimate(window, Metric::HeatBalance).map(|estimate| Judged {
        metric: Metric::HeatBalance,
        estimate,
        share: 0.0,
    });
    for other in judged.iter().filter(|other| other.metric != one.metric).chain(&heat_balance) {
        let text = other.change(ALPHA);
        rows.push(row("beside", Some(libm::expm1(other.estimate.mean)), text, subject.facts.watermark));
    }
    let is_known = |metric: &Metric| judged.iter().chain(&heat_balance).any(|other| other.metric == *metric);
    let unknown: Vec<&str> =
        Metric::ALL.iter().filter(|metric| !is_known(metric)).map(|metric| metric.name()).collect();
    if !unknown.is_empty() {
        let text = format!("{}: too little is known of them, they have no part in it", unknown.join(", "));
        rows.push(row("not judged", None, text, subject.facts.watermark));
    }
    rows
}

fn query(metric: Metric, subject: &Subject, start: EventTime) -> String {
    let signals: Vec<String> = signals(metric).iter().map(|signal| words::literal(signal)).collect();
    let signals = signals.join(", ");
    format!(
        "SELECT time, node, device, signal, mean FROM blocks WHERE signal IN ({signals}){} AND time >= '{}' ORDER BY \
         time",
        words::condition(&subject.facts.place),
        start - Microseconds::from_hours(4)
    )
}
