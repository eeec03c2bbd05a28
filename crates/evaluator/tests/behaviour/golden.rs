//! Stories: what people see.

use evaluator::{Effect, Effects, Evaluator};
use insta::assert_snapshot;
use telemetry::facts::{Outcome, UnknownReason};
use telemetry::record::{Body, Document};

use crate::script::{LATENESS, at, effects_of, objective, recovery_time, replay, story};

const SLICE: &str = "slice: {length: 10s, aggregation: timeWeightedMean}";

fn supply() -> Document {
    objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.99", SLICE)
}

#[test]
fn a_valve_at_its_end_under_a_load_that_rests_is_told_until_it_has_a_reserve() {
    let told = replay(
        &[],
        "
        feed 10s
        r1 rack_power 0m..30m 90
        r1 coolant_supply_temperature 0m..30m 35
        r1 valve_position 0m..15m 97
        r1 valve_position 15m..30m 60
        until 30m
        ",
    );
    assert_snapshot!(told, @r"
    6:00 finding saturation r1 onset 0:00
    6:00 CoolingSaturated r1 inactive -> firing since 6:00
    6:00 finding saturation r1 onset 0:00 ended 20:00
    20:00 CoolingSaturated r1 firing -> resolved since 6:00
    ");
}

#[test]
fn a_feed_that_falls_silent_is_one_gap_and_its_time_is_unknown() {
    let told = replay(
        &[supply()],
        "
        feed 10s
        r1 coolant_supply_temperature 0m..10m 40
        r1 coolant_return_temperature 0m..10m 50
        r1 coolant_supply_temperature 12m..20m 40
        r1 coolant_return_temperature 12m..20m 50
        run a on r1 at 0m for 20m
        end a at 20m
        until 20m
        ",
    );
    assert_snapshot!(told, @r"
    10:20 finding gap r1 onset 9:50
    10:20 TelemetryGap r1 inactive -> firing since 10:20
    10:20 finding gap r1 onset 9:50 ended 12:00
    12:00 TelemetryGap r1 firing -> resolved since 10:20
    20:00 final supply r1 Unknown: good 1100s bad 0s unknown 100s of 20m episodes 0 longest 0s
    ");
}

/// Three reports of one sensor that were lost in a row are worth a row; nobody is called for them.
#[test]
fn a_short_silence_of_one_sensor_is_told_and_alerts_nobody() {
    let told = |resumes: &str| {
        replay(
            &[],
            &format!(
                "
                feed 10s
                r1 coolant_supply_temperature 0m..10m 40
                r1 coolant_supply_temperature {resumes}..15m 40
                r1 coolant_return_temperature 0m..15m 50
                until 15m
                "
            ),
        )
    };
    assert_snapshot!(told("640s"), @r"
    10:20 finding gap r1 coolant_supply_temperature onset 9:50
    10:20 finding gap r1 coolant_supply_temperature onset 9:50 ended 10:40
    ");
    assert_snapshot!(told("11m"), @r"
    10:20 finding gap r1 coolant_supply_temperature onset 9:50
    10:20 finding gap r1 coolant_supply_temperature onset 9:50
    10:50 TelemetryGap r1 inactive -> firing since 10:50
    10:20 finding gap r1 coolant_supply_temperature onset 9:50 ended 11:00
    11:00 TelemetryGap r1 firing -> resolved since 10:50
    ");
}

/// Nothing is expected of a series whose silence is told, and no objective reads this one: it is heard all the same.
#[test]
fn the_end_of_a_long_silence_is_told_by_the_first_tick_that_knows_of_it() {
    let story = story(
        &[],
        "
        feed 10s
        r1 coolant_supply_temperature 0m..10m 40
        r1 coolant_supply_temperature 1210s..25m 40
        r1 coolant_return_temperature 0m..25m 50
        until 25m
        ",
    );
    let mut evaluator = Evaluator::new();
    let (mut effects, mut tick, mut ended) = (Effects::default(), at(0), None);
    for (sequence, record) in (1..).zip(&story.records) {
        if let Body::Tick(time) = record.body {
            tick = time;
        }
        effects.clear();
        evaluator.apply(sequence, record, &mut effects);
        let is_end = |effect: &Effect| matches!(effect, Effect::Finding(finding) if finding.ended.is_some());
        if effects.list.iter().any(is_end) {
            assert_eq!(ended.replace(tick), None, "told once");
        }
    }
    assert_eq!(ended, Some(at(1_211) + LATENESS));
}

#[test]
fn a_hot_spell_burns_the_budget_of_a_run_and_clears_by_itself() {
    let told = replay(
        &[supply()],
        "
        feed 10s
        r1 coolant_supply_temperature 0m..30m 44
        r1 coolant_supply_temperature 30m..34m 46
        r1 coolant_supply_temperature 34m..120m 44
        run a on r1 at 0m for 4h
        end a at 120m
        until 120m
        ",
    );
    assert_snapshot!(told, @r"
    30:20 SupplyBudgetBurn r1 inactive -> firing since 30:20
    40:50 SupplyBudgetBurn r1 firing -> resolved since 30:20
    120:00 final supply r1 NotOk: good 116m bad 4m unknown 0s of 2h episodes 1 longest 4m
    ");
}

#[test]
fn a_leak_pages_on_arrival_and_stays_until_five_minutes_of_ok() {
    let leak =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("leak")).unwrap();
    let told = replay(
        &[leak],
        "
        feed 10s
        r1 leak_state 0m..10m 0
        r1 leak_state 10m..11m 2
        r1 leak_state 11m..13m 0
        r1 leak_state 14m..22m 0
        until 22m
        ",
    );
    assert_snapshot!(told, @r"
    10:00 LeakCritical r1 inactive -> firing since 10:00
    13:20 finding gap r1 leak_state onset 12:50
    13:30 LeakCritical r1 firing -> unknown_hold since 10:00
    13:20 finding gap r1 leak_state onset 12:50
    13:50 TelemetryGap r1 inactive -> firing since 13:50
    13:20 finding gap r1 leak_state onset 12:50 ended 14:00
    14:00 TelemetryGap r1 firing -> resolved since 13:50
    14:10 LeakCritical r1 unknown_hold -> firing since 10:00
    19:00 LeakCritical r1 firing -> resolved since 10:00
    ");
}

/// The alert and the gate must not contradict each other while the slice is still open.
#[test]
fn gates_hear_of_a_leak_when_its_reading_arrives() {
    let leak =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("leak")).unwrap();
    let story = story(
        &[leak],
        "
        feed 10s
        r1 leak_state 0m..10m 0
        r1 leak_state 10m..11m 2
        until 11m
        ",
    );
    let effects = effects_of(&story.records);
    let paged = effects.iter().position(|effect| matches!(effect, Effect::Alert(_))).expect("it pages");
    let facts = effects[paged..].iter().find_map(|effect| match effect {
        Effect::Publish(facts) => Some(facts),
        _ => None,
    });
    let facts = facts.expect("the facts follow the alert");
    let status = facts.objectives.iter().find(|status| &*status.objective == "leak").unwrap();
    assert_eq!(status.outcome, Outcome::NotOk);
    assert_eq!(status.time.bad.get(), 0, "no slice of it has been judged");
    assert_eq!(status.last.as_ref().map(|last| last.value), Some(2.0));
}

#[test]
fn a_pump_that_trips_is_known_at_the_second_reading() {
    let told = replay(
        &[],
        "
        feed 10s
        r1 coolant_flow 0m..10m 150
        r1 coolant_flow 10m..15m 3
        r1 coolant_flow 15m..20m 150
        until 20m
        ",
    );
    assert_snapshot!(told, @r"
    10:10 finding pump_trip r1 onset 10:00
    10:10 PumpTrip r1 inactive -> firing since 10:10
    10:10 finding pump_trip r1 onset 10:00 ended 16:00
    16:00 PumpTrip r1 firing -> resolved since 10:10
    ");
}

#[test]
fn time_under_maintenance_is_unknown_and_its_alerts_are_not_told() {
    let leak =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("leak")).unwrap();
    let told = replay(
        &[supply(), leak],
        "
        feed 10s
        r1 leak_state 0m..10m 0
        r1 leak_state 10m..12m 1
        r1 leak_state 12m..30m 0
        r1 coolant_supply_temperature 0m..30m 40
        run a on r1 at 0m for 30m
        maintenance r1 5m..20m
        end a at 30m
        until 30m
        ",
    );
    assert_snapshot!(told, @r"
    10:00 LeakCritical r1 inactive -> suppressed since 10:00
    25:00 LeakCritical r1 suppressed -> inactive since 10:00
    30:00 final leak r1 Unknown: good 15m bad 0s unknown 15m of 30m episodes 0 longest 0s
    30:00 final supply r1 Unknown: good 15m bad 0s unknown 15m of 30m episodes 0 longest 0s
    ");
}

#[test]
fn a_source_that_sends_the_same_reading_again_is_stale() {
    let mut records = story(
        &[],
        "
        feed 10s
        r1 coolant_flow 0m..2m 150
        until 2m
        ",
    );
    let last = crate::script::Sample {
        rack: "r1",
        signal: "coolant_flow".into(),
        time: crate::script::at(110),
        value: 150.0,
        flag: telemetry::record::Flag::Ok,
    };
    for second in 150..300 {
        records.samples(std::slice::from_ref(&last));
        records.tick(crate::script::at(second));
    }
    let told = crate::script::tell(&effects_of(&records.records));
    assert_snapshot!(told, @r"
    2:20 finding stale r1 coolant_flow onset 1:50
    2:20 TelemetryStale r1 inactive -> firing since 2:20
    ");
}

#[test]
fn a_run_asks_from_its_start_although_nothing_came_yet() {
    let told = replay(
        &[supply()],
        "
        feed 10s
        r1 rack_power 0m..10m 100
        r1 coolant_supply_temperature 4m..10m 40
        run a on r1 at 2m for 10m
        end a at 9m
        until 10m
        ",
    );
    assert_snapshot!(told, @"9:00 final supply r1 Unknown: good 5m bad 0s unknown 2m of 7m episodes 0 longest 0s");
}

#[test]
fn a_stuck_sensor_makes_its_objective_unknown_and_never_good() {
    let mut text = String::from("feed 10s\n");
    for minute in 0..60 {
        let value = 40.0 + f64::from(minute % 3) * 0.1;
        text += &format!("r1 coolant_supply_temperature {minute}m..{}m {value}\n", minute + 1);
    }
    text += "r1 coolant_supply_temperature 60m..80m 40.7\nuntil 80m\n";
    let effects = effects_of(&story(&[supply()], &text).records);
    let mut statuses = effects.iter().filter_map(|effect| match effect {
        Effect::Status(row) => Some(&row.status),
        _ => None,
    });
    let last = statuses.next_back().unwrap();
    assert_eq!((last.outcome, last.unknown_reason), (Outcome::Unknown, Some(UnknownReason::SensorFault)));
    assert_snapshot!(crate::script::tell(&effects), @r"
    65:00 finding stuck r1 coolant_supply_temperature onset 60:00
    65:00 SensorStuck r1 inactive -> firing since 65:00
    70:00 finding coverage_low r1 coolant_supply_temperature onset 10:00
    70:00 TelemetryCoverageLow r1 inactive -> suppressed since 70:00
    70:00 finding coverage_low r1 coolant_supply_temperature onset 10:00 ended 80:00
    80:00 TelemetryCoverageLow r1 suppressed -> inactive since 70:00
    80:00 finding coverage_low r1 coolant_supply_temperature onset 20:00
    80:00 TelemetryCoverageLow r1 inactive -> firing since 80:00
    ");
}

/// What the final status of each run says about its bursts.
fn recoveries(objective: Document, text: &str) -> Vec<String> {
    let told = effects_of(&story(&[objective], text).records);
    let finals = told.iter().filter_map(|effect| match effect {
        Effect::Status(row) if row.status.is_final => Some(&row.status),
        _ => None,
    });
    let line = |status: &telemetry::facts::ObjectiveStatus| {
        let it = status.recoveries.as_ref().unwrap();
        format!(
            "{} {:?} {:?}: within {} late {} censored {} unknown {} open {} longest {} bounds {:.3} {:.3}",
            status.run.as_ref().unwrap(),
            status.outcome,
            status.unknown_reason,
            it.within,
            it.late,
            it.censored,
            it.unknown,
            it.open,
            it.longest.map_or("-".into(), |longest| longest.to_string()),
            it.lower_share,
            it.upper_share,
        )
    };
    finals.map(line).collect()
}

/// Bursts are counted for the run that they began in, the last one not at all seen to its end.
#[test]
fn a_run_counts_the_bursts_that_began_in_it_and_its_end_censors_the_last() {
    let spec = "slice: {length: 10s}\n            transform: {kind: recoveryTime, band: {max: 40}, hold: 60s, \
                trigger: {signal: rack_power, step: 20}}";
    let told = recoveries(
        recovery_time("settle", "coolant_supply_temperature", "Cel", "lte 180", "0.95", spec),
        "
        feed 10s
        r1 rack_power 0m..5m 100
        r1 rack_power 5m..10m 30
        r1 rack_power 10m..15m 100
        r1 rack_power 15m..20m 30
        r1 rack_power 20m..25m 100
        r1 rack_power 25m..30m 30
        r1 coolant_supply_temperature 0m..6m 42
        r1 coolant_supply_temperature 6m..12m 39
        r1 coolant_supply_temperature 12m..18m 42
        r1 coolant_supply_temperature 18m..22m 39
        r1 coolant_supply_temperature 22m..30m 42
        run early on r1 at 5s for 1h
        end early at 305s
        run a on r1 at 306s for 1h
        end a at 1563s
        run b on r1 at 1564s for 1h
        end b at 29m
        until 31m
        ",
    );
    assert_snapshot!(told.join("\n"), @r"
    early Unknown Some(NotEnoughEvidence): within 0 late 0 censored 0 unknown 0 open 0 longest - bounds 0.000 1.000
    a Unknown Some(NotEnoughEvidence): within 1 late 0 censored 1 unknown 0 open 0 longest 3m bounds 0.025 1.000
    b Unknown Some(NotEnoughEvidence): within 0 late 0 censored 0 unknown 0 open 0 longest - bounds 0.000 1.000
    ");
}

/// Twenty bursts in time show 85 % and not 95 %, twenty late ones break 20 %, and one that a gap hides costs 80 %.
#[test]
fn a_share_of_recoveries_is_kept_broken_or_unknown_by_its_exact_bounds() {
    let spec = "slice: {length: 10s}\n            transform: {kind: recoveryTime, band: {max: 40}, hold: 30s, \
                trigger: {signal: rack_power, step: 20}}";
    let story = |target: &str, rest: &str| {
        let mut text = String::from("feed 10s\n");
        for burst in 0..20 {
            let minute = 4 * burst;
            text += &format!("r1 rack_power {minute}m..{}m 100\n", minute + 2);
            text += &format!("r1 rack_power {}m..{}m 30\n", minute + 2, minute + 4);
        }
        text += rest;
        text += "run a on r1 at 0m for 80m\nend a at 80m\nuntil 81m\n";
        recoveries(
            recovery_time("settle", "coolant_supply_temperature", "Cel", "lte 60", target, spec),
            &text,
        )
        .join("\n")
    };
    let cool = "r1 coolant_supply_temperature 0m..81m 39\n";
    let warm = "r1 coolant_supply_temperature 0m..81m 42\n";
    let gap = "r1 coolant_supply_temperature 0m..40m 39\nr1 coolant_supply_temperature 44m..81m 39\n";
    assert_snapshot!(story("0.85", cool), @"a Ok None: within 20 late 0 censored 0 unknown 0 open 0 longest 0s bounds 0.861 1.000");
    assert_snapshot!(story("0.95", cool), @"a Unknown Some(NotEnoughEvidence): within 20 late 0 censored 0 unknown 0 open 0 longest 0s bounds 0.861 1.000");
    assert_snapshot!(story("0.2", warm), @"a NotOk None: within 0 late 20 censored 0 unknown 0 open 0 longest 70s bounds 0.000 0.139");
    assert_snapshot!(story("0.8", gap), @"a Unknown Some(NotEnoughEvidence): within 19 late 0 censored 0 unknown 1 open 0 longest 0s bounds 0.784 1.000");
}

/// Eight episodes in the first of twelve hours, or one in each of eight hours: the same rate, and not the same evidence.
#[test]
fn throttling_in_clusters_shows_less_than_throttling_at_random() {
    let gpu =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("gpu")).unwrap();
    let of_episodes = |gap: i64| {
        let mut text = String::from("feed 60s\n");
        for episode in 0..=8 {
            let from = if episode == 0 { 0 } else { gap * episode - gap + 2 };
            let to = if episode == 8 { 720 } else { gap * episode + 2 };
            text += &format!("r1 gpu_thermal_throttle_time@gpu0 {from}m..{to}m {}\n", 2 * episode);
        }
        text += "run a on r1 at 0m for 12h\nend a at 12h\nuntil 12h\n";
        let told = effects_of(&story(std::slice::from_ref(&gpu), &text).records);
        let status = told.into_iter().rev().find_map(|effect| match effect {
            Effect::Status(row)
                if row.status.is_final && &*row.status.objective == "gpu-thermal-throttle" =>
            {
                Some(row.status)
            }
            _ => None,
        });
        status.unwrap().events.unwrap()
    };
    let (clustered, spread) = (of_episodes(7), of_episodes(85));
    assert_eq!((clustered.count, spread.count), (8, 8));
    // One hour with eight episodes: mean 2/3, variance (64 - 64/12)/11 = 5.33.
    assert!((clustered.over_dispersion().unwrap() - 8.0).abs() < 1e-12, "{clustered:?}");
    assert_eq!(spread.over_dispersion(), None, "{spread:?}");
    assert!(
        clustered.lower_per_hour < spread.lower_per_hour && spread.upper_per_hour < clustered.upper_per_hour
    );
}

/// Good, bad and unknown seconds of a run.
fn seconds_of_run(objectives: &[Document], text: &str) -> (i64, i64, i64) {
    let told = effects_of(&story(objectives, text).records);
    let status = told.iter().find_map(|effect| match effect {
        Effect::Status(row) if row.status.is_final => Some(&row.status),
        _ => None,
    });
    let time = status.unwrap().time;
    (time.good.0 / 1_000_000, time.bad.0 / 1_000_000, time.unknown.0 / 1_000_000)
}

#[test]
fn time_without_load_is_not_asked_and_time_of_unknown_load_is_unknown() {
    let spec = format!("{SLICE}\n            validity: {{load: {{signal: rack_power, min: 60, unit: kW}}}}");
    let loaded = objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.99", &spec);
    let told = seconds_of_run(
        &[loaded],
        "
        feed 10s
        r1 rack_power 0m..10m 100
        r1 rack_power 10m..20m 40
        r1 rack_power 22m..30m 100
        r1 coolant_supply_temperature 0m..5m 40
        r1 coolant_supply_temperature 5m..6m 46
        r1 coolant_supply_temperature 6m..12m 40
        r1 coolant_supply_temperature 12m..15m 46
        r1 coolant_supply_temperature 15m..30m 40
        run a on r1 at 0m for 1h
        end a at 30m
        until 31m
        ",
    );
    // 10 min without enough load are not asked, hot or not; of the 2 min without power 20 s are held from before.
    assert_eq!(told, (9 * 60 + 8 * 60, 60, 100));
}

#[test]
fn a_warm_up_is_not_asked_after_the_first_reading_and_after_each_return_of_the_load() {
    let spec = format!(
        "{SLICE}\n            validity: {{load: {{signal: rack_power, min: 60, unit: kW}}, warmup: 120s}}"
    );
    let loaded = objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.99", &spec);
    let told = seconds_of_run(
        &[loaded],
        "
        feed 10s
        r1 rack_power 0m..10m 100
        r1 rack_power 10m..20m 40
        r1 rack_power 20m..30m 100
        r1 coolant_supply_temperature 0m..2m 46
        r1 coolant_supply_temperature 2m..20m 40
        r1 coolant_supply_temperature 20m..22m 46
        r1 coolant_supply_temperature 22m..30m 40
        run a on r1 at 0m for 1h
        end a at 30m
        until 31m
        ",
    );
    assert_eq!(told, (16 * 60, 0, 0), "what is hot in the first two minutes under load is not asked for");
}

#[test]
fn a_value_is_held_no_longer_than_the_objective_allows() {
    let with = |validity: &str| {
        let spec = format!("{SLICE}{validity}");
        let objective = objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.99", &spec);
        seconds_of_run(
            &[objective],
            "
            feed 60s
            r1 coolant_supply_temperature 0m..10m 40
            run a on r1 at 0m for 1h
            end a at 10m
            until 11m
            ",
        )
    };
    assert_eq!(with(""), (600, 0, 0));
    assert_eq!(with("\n            validity: {maxStaleness: 20s}"), (200, 0, 400));
}

#[test]
fn a_rack_of_four_devices_is_as_good_as_its_roll_up_says() {
    let with = |rollup: &str, third: &str| {
        let spec = format!("{SLICE}\n            rollup: {rollup}");
        let objective = objective("gpu", "gpu_temperature", "Cel", "lte 85", "0.99", &spec);
        let text = format!(
            "
            feed 10s
            r1 gpu_temperature@gpu0 0m..10m 70
            r1 gpu_temperature@gpu1 0m..10m 70
            r1 gpu_temperature@gpu2 0m..1m 70
            r1 gpu_temperature@gpu3 0m..10m 90
            {third}
            run a on r1 at 1m for 1h
            end a at 10m
            until 11m
            "
        );
        seconds_of_run(&[objective], &text)
    };
    let known = "r1 gpu_temperature@gpu2 1m..10m 70";
    for rollup in ["worst", "all", "quantile(0.8)"] {
        assert_eq!(with(rollup, known), (0, 540, 0), "{rollup}: one of four is too hot");
    }
    assert_eq!(with("quantile(0.75)", known), (540, 0, 0), "three of four are good");
    // One device falls silent: together with the hot one it may be one too many. Readings are held for 30 s.
    assert_eq!(with("quantile(0.75)", ""), (20, 0, 520));
    assert_eq!(with("quantile(0.5)", ""), (540, 0, 0), "two of four are good whatever the silent one is");
    assert_eq!(with("worst", ""), (0, 540, 0), "broken by the hot one whatever the silent one is");
}

#[test]
fn the_spread_of_a_group_is_its_highest_less_its_lowest() {
    let with = |transform: &str, expression: &str| {
        let spec = format!("{SLICE}{transform}");
        let objective = objective("spread", expression, "K", "lte 10", "0.99", &spec);
        seconds_of_run(
            &[objective],
            "
            feed 10s
            r1 gpu_temperature@gpu0 0m..10m 70
            r1 gpu_temperature@gpu1 0m..5m 79
            r1 gpu_temperature@gpu1 5m..8m 81
            r1 gpu_temperature@gpu1 8m..9m 79
            run a on r1 at 0m for 1h
            end a at 10m
            until 11m
            ",
        )
    };
    let written = with("\n            transform: {kind: groupSpread}", "gpu_temperature");
    assert_eq!(written, (380, 180, 40), "held for 20 s more, then one of two is unknown");
    assert_eq!(written, with("", "highest(gpu_temperature) - lowest(gpu_temperature)"));
}

#[test]
fn time_above_a_threshold_counts_without_a_pause_and_a_gap_may_hide_one() {
    let spec = format!("{SLICE}\n            transform: {{kind: timeAbove, threshold: 45}}");
    let with = |text: &str| {
        let objective = objective("above", "coolant_supply_temperature", "Cel", "lte 120", "0.99", &spec);
        let text = format!("feed 10s\n{text}\nrun a on r1 at 0m for 1h\nend a at 10m\nuntil 11m\n");
        seconds_of_run(&[objective], &text)
    };
    let spells = "
        r1 coolant_supply_temperature 0m..1m 44
        r1 coolant_supply_temperature 1m..3m 46
        r1 coolant_supply_temperature 3m..4m 45
        r1 coolant_supply_temperature 4m..7m 46
        r1 coolant_supply_temperature 7m..10m 44
        ";
    assert_eq!(
        with(spells),
        (540, 60, 0),
        "two minutes are allowed, the third minute of the second spell is not"
    );
    let gap = "
        r1 coolant_supply_temperature 0m..1m 46
        r1 coolant_supply_temperature 2m..5m 46
        r1 coolant_supply_temperature 5m..10m 44
        ";
    // Held until 80 s. From 2 to 4 min the spell may be longer than two minutes; then it is.
    assert_eq!(with(gap), (80 + 300, 60, 40 + 120));
}
