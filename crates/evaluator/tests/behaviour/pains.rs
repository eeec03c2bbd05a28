//! What users of such tools complain of most, as far as the evaluator answers it; numbers as in the ranking of pains.
//! What the gate answers is in its tests of the same name.

use evaluator::Effect;
use evaluator::objective::{BudgetShareAlert, BurnPair, BurnRatePolicy, BurnScale, Tier};
use telemetry::Microseconds;
use telemetry::record::Document;

use crate::script::{effects_of, objective, replay, story};

/// The reference policy: pages and tickets of 30 days.
fn reference() -> BurnRatePolicy {
    let minutes = Microseconds::from_minutes;
    let pair = |severity, long: i64, short: i64, factor_ppm| BurnPair {
        severity,
        long: minutes(long),
        short: minutes(short),
        factor_ppm,
    };
    BurnRatePolicy {
        name: "reference".into(),
        scale: BurnScale::Window,
        pairs: vec![
            pair(Tier::Page, 60, 5, 14_400_000),
            pair(Tier::Page, 6 * 60, 30, 6_000_000),
            pair(Tier::Ticket, 24 * 60, 2 * 60, 3_000_000),
            pair(Tier::Ticket, 72 * 60, 6 * 60, 1_000_000),
        ],
        budget_share_alert: BudgetShareAlert { severity: Tier::Page, share_ppm: 50_000, burn_ppm: 2_000_000 },
        for_: Microseconds::ZERO,
        keep_firing_for: minutes(5),
        minimum_bad_units: 2,
        hold_timeout: Microseconds::from_hours(6),
    }
}

/// Pain 6, low-sample pages and rules that cannot fire: of judged units of 10 s, what is left of each pair by the length
/// of what is judged. A short window of fewer than three units decides by one reading, and is dropped.
#[test]
fn pain_6_a_pair_whose_short_window_is_too_short_is_dropped_as_tabled() {
    let unit = Microseconds::from_seconds(10);
    let told = |hours: i64| -> Vec<String> {
        let pairs = reference().pairs_for(Microseconds::from_hours(hours), unit);
        let written = |pair: &BurnPair| format!("x{}", pair.factor_ppm as f64 / 1e6);
        let kept = pairs.kept.iter().map(|pair| format!("{} {}/{}", written(pair), pair.long, pair.short));
        let dropped = pairs.dropped.iter().map(|pair| {
            let scaled = pair.scaled;
            format!("{} no: {}/{}", written(&scaled), scaled.long, scaled.short)
        });
        dropped.chain(kept).collect()
    };
    assert_eq!(told(1), ["x14.4 no: 0s/0s", "x6 no: 30s/0s", "x3 no: 2m/10s", "x1 6m/30s"]);
    assert_eq!(told(4), ["x14.4 no: 20s/0s", "x6 no: 2m/10s", "x3 8m/40s", "x1 24m/2m"]);
    assert_eq!(told(24), ["x14.4 no: 2m/10s", "x6 12m/1m", "x3 48m/4m", "x1 144m/12m"]);
    assert_eq!(told(28 * 24), ["x14.4 56m/280s", "x6 336m/28m", "x3 1344m/112m", "x1 4032m/336m"]);
}

fn supply() -> Document {
    objective(
        "supply",
        "coolant_supply_temperature",
        "Cel",
        "lte 45",
        "0.99",
        "slice: {length: 10s, aggregation: timeWeightedMean}",
    )
}

/// Pain 6 again, as it happens: one bad unit of ten seconds wakes nobody, however small the budget of a short run is.
#[test]
fn pain_6_one_bad_unit_in_a_short_run_pages_nobody() {
    let story = |bad: &str| {
        replay(
            &[supply()],
            &format!(
                "
                feed 10s
                r1 coolant_supply_temperature 0m..10m 44
                r1 coolant_supply_temperature 10m..{bad} 46
                r1 coolant_supply_temperature {bad}..60m 44
                run a on r1 at 0m for 1h
                until 60m
                "
            ),
        )
    };
    assert_eq!(story("610s"), "", "one unit is no rate");
    assert!(
        story("12m").contains("SupplyBudgetBurn r1 inactive -> firing"),
        "two minutes are: {}",
        story("12m")
    );
}

/// Episodes of throttling that a rack's counter told in an hour.
fn episodes(readings: &str) -> u64 {
    let gpu =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("gpu")).unwrap();
    let text = format!("feed 10s\n{readings}\nrun a on r1 at 0m for 1h\nend a at 60m\nuntil 60m\n");
    let told = effects_of(&story(std::slice::from_ref(&gpu), &text).records);
    let status = told.into_iter().rev().find_map(|effect| match effect {
        Effect::Status(row) if row.status.is_final && &*row.status.objective == "gpu-thermal-throttle" => {
            Some(row.status)
        }
        _ => None,
    });
    status.unwrap().events.unwrap().count
}

/// Pain 9, a violation of 0.0 s that fails a run: a counter that rests has told of nothing, whatever it stands at.
#[test]
fn pain_9_a_counter_that_rests_is_no_throttling_whatever_it_stands_at() {
    assert_eq!(episodes("r1 gpu_thermal_throttle_time@gpu0 0m..60m 0"), 0);
    assert_eq!(episodes("r1 gpu_thermal_throttle_time@gpu0 0m..60m 734.5"), 0);
    let moved =
        "r1 gpu_thermal_throttle_time@gpu0 0m..30m 734.5\nr1 gpu_thermal_throttle_time@gpu0 30m..60m 739.5";
    assert_eq!(episodes(moved), 1);
}

/// Pain 9: a blind reading neither begins an episode nor makes one of what was there before and after.
#[test]
fn pain_9_a_blind_reading_of_a_counter_changes_nothing() {
    for blind in ["broken", "flagged", "stale"] {
        let rests = format!(
            "r1 gpu_thermal_throttle_time@gpu0 0m..20m 734.5\nr1 gpu_thermal_throttle_time@gpu0 20m..22m {blind}\nr1 \
             gpu_thermal_throttle_time@gpu0 22m..60m 734.5"
        );
        assert_eq!(episodes(&rests), 0, "{blind}");
    }
}

/// Pain 9, in the physical state: blind readings at the end of a hot spell do not end its alert; known good ones do.
#[test]
fn pain_9_blind_readings_resolve_nothing() {
    let told = |after: &str| {
        replay(
            &[supply()],
            &format!(
                "
                feed 10s
                r1 coolant_supply_temperature 0m..10m 44
                r1 coolant_supply_temperature 10m..20m 46
                r1 coolant_supply_temperature 20m..60m {after}
                run a on r1 at 0m for 1h
                until 60m
                "
            ),
        )
    };
    let (blind, good) = (told("broken"), told("44"));
    assert!(
        blind.contains("SupplyBudgetBurn r1 inactive -> firing") && !blind.contains("resolved"),
        "{blind}"
    );
    assert!(good.contains("-> resolved"), "{good}");
}
