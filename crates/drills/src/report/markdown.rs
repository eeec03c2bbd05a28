//! Scorecards as Markdown.

use crate::scorecard::Scorecard;

/// The scorecard as Markdown.
pub fn markdown(card: &Scorecard) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let percent =
        |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let minutes = |minutes: Option<f64>| minutes.map_or("–".to_owned(), |minutes| format!("{minutes:.1}"));
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.4}"));
    let _ =
        writeln!(text, "## Drills: {}, seeds {} to {}\n", card.conditions.name, card.seeds.0, card.seeds.1);
    let _ = writeln!(text, "| figure | value |\n|---|---|");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {value} |");
    };
    row("recall", format!("{} of {} drills", percent(card.recall), card.drills));
    row("recall without stiction", percent(card.recall_without_stiction));
    row("incident precision", percent(card.precision));
    row("first attribution right", percent(card.first_attribution));
    row("drifting sensor among the suspects", percent(card.suspect_right));
    row("alarms before the fault", card.alarms_before_fault.to_string());
    if card.healthy_rack_days > 0.0 {
        row(
            "false alarms a healthy rack-day",
            format!(
                "{} ({} in {:.0}; upper 95 % bound {})",
                rate(card.false_alarm_rate),
                card.false_alarms,
                card.healthy_rack_days,
                rate(card.false_alarm_rate_upper)
            ),
        );
    }
    row(
        "drift error when found, K, p50 / p90",
        format!("{} / {}", rate(card.drift_error_p50_kelvin), rate(card.drift_error_p90_kelvin)),
    );
    for score in &card.developments {
        row(
            &format!("delay, {}, minutes, p50 / p90", score.development.name()),
            format!(
                "{} / {} ({} of {})",
                minutes(score.delay_p50_minutes),
                minutes(score.delay_p90_minutes),
                score.found,
                score.drills
            ),
        );
    }
    let _ = writeln!(
        text,
        "\n| class | found | first right | p50 min | p90 min | right incidents | others |\n|---|---|---|---|---|---|---|"
    );
    for class in &card.classes {
        let others: Vec<String> =
            class.wrong_incidents.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(
            text,
            "| {} | {}/{} | {}/{} | {} | {} | {} | {} |",
            class.class,
            class.found,
            class.drills,
            class.first_right,
            class.spoken,
            minutes(class.delay_p50_minutes),
            minutes(class.delay_p90_minutes),
            class.right_incidents,
            others.join(", ")
        );
    }
    let alarms: Vec<String> =
        card.false_alarms_by_detector.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if !alarms.is_empty() {
        let _ = writeln!(text, "\nFalse alarms by detector: {}", alarms.join(", "));
    }
    text
}
