//! Simulated loops and racks with faults: what is found, when, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use drills::Player;
use evaluator::Effect;
use simulator::{Scenario, Simulation};
use telemetry::facts::{Finding, ObjectiveStatus, Outcome, RackFacts, Trust, UnknownReason};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Body, Calibration, Document, PartitionId};
use telemetry::{EventTime, Microseconds};

/// A scenario that has been played to its end.
struct Played {
    effects: Vec<Effect>,
    facts: BTreeMap<String, RackFacts>,
    truth: Vec<simulator::TruthLabel>,
}

impl Played {
    /// All findings as they were when they were detected, whatever was told of them later.
    fn findings(&self) -> Vec<&Finding> {
        let mut told = BTreeSet::new();
        let findings = self.effects.iter().filter_map(|effect| match effect {
            Effect::Finding(finding) if finding.ended.is_none() => Some(&**finding),
            _ => None,
        });
        findings.filter(|finding| told.insert(&finding.finding)).collect()
    }

    /// Detectors that spoke, each once, sorted.
    fn detectors(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.findings().iter().map(|finding| &*finding.detector).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn finding(&self, detector: &str) -> &Finding {
        let found = self.findings().into_iter().find(|finding| &*finding.detector == detector);
        found.unwrap_or_else(|| panic!("no finding of {detector}, only {:?}", self.detectors()))
    }

    /// Delay of a finding after the fault began, s.
    fn delay(&self, detector: &str) -> f64 {
        (self.finding(detector).detected - self.truth[0].onset).as_seconds()
    }

    fn outcome(&self, rack: &str, objective: &str) -> (Outcome, Option<UnknownReason>) {
        let is_meant = |status: &&ObjectiveStatus| {
            &*status.objective == objective && status.place.rack.as_deref() == Some(rack)
        };
        let status = self.facts[rack].objectives.iter().find(is_meant);
        let status = status.unwrap_or_else(|| panic!("{objective} is not judged on {rack}"));
        (status.outcome, status.unknown_reason)
    }

    /// Names of alerts that fired.
    fn fired(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Alert(alert) if alert.to.is_active() => Some(&*alert.alertname),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Sends a scenario through the evaluator.
fn play(scenario: &Scenario) -> Played {
    play_with(scenario, evaluator::default_documents())
}

/// The same with these objectives in force.
fn play_with(scenario: &Scenario, objectives: Vec<Document>) -> Played {
    let mut player = Player::new(scenario.start, objectives, None);
    let mut effects = Vec::new();
    let truth = player.play(scenario, |_, told| effects.extend_from_slice(told)).truth;
    let facts = player.evaluator().rack_facts().into_iter().map(|facts| {
        let name = facts.place.rack.as_ref().or(facts.place.cooling_loop.as_ref());
        (name.expect("a rack or a loop").to_string(), (*facts).clone())
    });
    Played { effects, facts: facts.collect(), truth }
}

fn fixture(name: &str) -> Scenario {
    let path = format!("{}/../../fixtures/scenarios/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Scenario::read(&Document { name: path, text }).unwrap_or_else(|error| panic!("{error}"))
}

/// What was found, for the message of a test that fails.
fn story(played: &Played) -> String {
    let origin = played.truth.first().map_or(EventTime::MINIMUM, |label| label.onset);
    let told = played.findings().into_iter().map(|finding| {
        let after = (finding.detected - origin).as_seconds() / 60.0;
        format!(
            "{after:8.1} min {} {} {:?} {:?}",
            finding.detector, finding.place, finding.signal, finding.evidence
        )
    });
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_is_found_on_a_healthy_loop() {
    let played = play(&fixture("healthy"));
    assert!(played.findings().is_empty(), "{}", story(&played));
    assert!(played.fired().is_empty(), "{:?}", played.fired());
    for facts in played.facts.values() {
        for status in &facts.objectives {
            assert_ne!(status.outcome, Outcome::NotOk, "{status:?}");
        }
    }
}

/// A pump's bearings, a meter's noise: what nothing else notices.
#[test]
fn worn_bearings_are_found_by_the_power_that_the_pump_takes_and_by_nothing_else() {
    let played = play(&fixture("bearing_wear"));
    assert_eq!(played.detectors(), ["pump_efficiency"], "{}", story(&played));
    assert!(played.delay("pump_efficiency") < 30.0 * 60.0, "{}", story(&played));
}

#[test]
fn a_meter_that_becomes_noisy_is_found_and_suspected_and_nothing_else_is() {
    let played = play(&fixture("noisy_sensor"));
    assert_eq!(played.detectors(), ["noise_growth"], "{}", story(&played));
    assert!(played.delay("noise_growth") < 15.0 * 60.0, "{}", story(&played));
    let found = played.finding("noise_growth");
    assert_eq!((found.place.rack.as_deref(), found.signal.as_deref()), (Some("a1"), Some("coolant_flow")));
    assert!(found.residual > found.threshold, "{found:?}");
    assert_eq!(doubts(&played.facts["a1"], Trust::Suspect), [("coolant_flow", None)]);
    assert_eq!(doubts(&played.facts["a2"], Trust::Suspect), []);
    assert_eq!(played.outcome("a1", "coolant-dt").0, Outcome::Ok, "a suspect is judged");
}

#[test]
fn changes_of_mode_are_no_findings() {
    for name in ["mode_changes", "soak"] {
        for seed in [21, 22, 23] {
            let played = play(&Scenario { seed, ..fixture(name) });
            assert!(played.findings().is_empty(), "{name} {seed}:\n{}", story(&played));
        }
    }
}

/// A week of one rack whose sensors report every half a minute: the least that proves a steady load. One of two supply
/// thermometers drifts by .05 K an hour from the second day on.
#[test]
fn a_drift_of_a_twentieth_of_a_kelvin_an_hour_is_found_within_a_week_and_its_size_is_told() {
    let text = "{name: week, seed: 31, site: demo, start: 2026-01-05T00:00:00Z, duration: 168h, sample_every: 30s, \
                redundant_supply_sensors: true, gpus: {nodes: 0, gpus_per_node: 0, every: 30s}, \
                loops: [{name: loop-a, racks: [{name: a1, load: training, faults: [{kind: drift, begins: 24h, \
                severity: 0.05, signal: coolant_supply_temperature, sensor: b}]}]}]}";
    let scenario = Scenario::read(&Document { name: "week.yaml".into(), text: text.into() })
        .unwrap_or_else(|error| panic!("{error}"));
    let played = play(&scenario);
    // The rack's balance reads the mean of both thermometers, and so sees half of what one has drifted.
    for (detector, share, limit) in [("redund", 1.0, 12.0), ("hb", 0.5, 24.0)] {
        let found = played.finding(detector);
        let hours = played.delay(detector) / 3_600.0;
        let drifted = share * 0.05 * hours;
        let shift: f64 = found.evidence["shift"].parse().unwrap();
        println!("{detector} after {hours:.1} h, drifted by {drifted:.2} K, told {shift:.2} K");
        assert!(0.0 < hours && hours < limit, "{detector} after {hours} h");
        assert!((shift.abs() - drifted).abs() < 0.1, "{detector}: {shift} K told, {drifted} K true");
    }
    let first = played.findings().into_iter().min_by_key(|finding| finding.detected).unwrap();
    assert_eq!(&*first.detector, "redund", "{}", story(&played));
    assert!(
        doubts(&played.facts["a1"], Trust::Distrusted).contains(&("coolant_supply_temperature", Some("b")))
    );
}

/// Up and down between −1 and 1, a hundred times in ten thousand seconds.
fn swing(seconds: f64) -> f64 {
    4.0 * (seconds / 100.0 % 1.0 - 0.5).abs() - 1.0
}

/// A healthy loop, but that its valve swings by 10 % of stroke in a hundred seconds, and its supply temperature with it
/// by 1 K: what a limit cycle of .01 Hz looks like.
#[test]
fn a_valve_that_hunts_at_a_hundredth_of_a_hertz_is_found_with_its_period() {
    let text = "{name: hunts, seed: 32, site: demo, start: 2026-01-05T08:00:00Z, duration: 2h, \
                loops: [{name: loop-a, racks: [{name: a1, load: {constant: 0.8}}, {name: a2, load: training}]}]}";
    let scenario = Scenario::read(&Document { name: "hunts.yaml".into(), text: text.into() })
        .unwrap_or_else(|error| panic!("{error}"));
    let begins = scenario.start + Microseconds::from_minutes(90);
    let mut player = Player::new(scenario.start, evaluator::default_documents(), None);
    let mut simulation = Simulation::new(&scenario);
    let (mut readings, mut found) = (Vec::new(), Vec::new());
    while let Some(instant) = simulation.step(&mut readings) {
        player.tick_until(instant);
        for reading in readings.iter_mut().filter(|reading| reading.place.rack.is_none() && begins <= instant)
        {
            let seconds = (instant - begins).as_seconds();
            match &*reading.signal {
                "valve_position" => reading.value += 10.0 * swing(seconds),
                // Some seconds later: sensor and hold-up.
                "coolant_supply_temperature" => reading.value += swing(seconds + 85.0),
                _ => {}
            }
        }
        player.send(&readings);
        found.extend(player.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::Finding(finding) => Some(*finding),
            _ => None,
        }));
    }
    let first = found.first().expect("a finding");
    assert_eq!(&*first.detector, "hunting", "{found:?}");
    let after = first.detected - begins;
    assert!(Microseconds::ZERO < after && after <= Microseconds::from_minutes(12), "{after}");
    let period: Microseconds = first.evidence["period"].parse().unwrap_or_else(|error| panic!("{error}"));
    assert!((period.as_seconds() - 100.0).abs() <= 10.0, "{period}");
}

/// The pump's curve as its data sheet has it, of two reference racks: 76 kPa at 300 L/min.
fn site(pump_curve: &str) -> Document {
    let text = format!(
        "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {{name: demo}}\n\
         loops:\n  - {{name: loop-a{pump_curve}}}\n\
         racks:\n  - {{name: a1, loop: loop-a}}\n  - {{name: a2, loop: loop-a}}\n"
    );
    Document { name: "site.yaml".into(), text }
}

/// Hoses that were tight are made free after two hours: the pump moves more at less speed, and is as good as before. Only
/// its curve tells that from a loss of head.
#[test]
fn with_the_pumps_curve_in_the_site_file_another_operating_point_is_no_loss_of_head() {
    let text = "{name: hoses, seed: 33, site: demo, start: 2026-01-05T08:00:00Z, duration: 4h, \
                loops: [{name: loop-a, racks: [\
                {name: a1, load: {constant: 0.5}, faults: [{kind: branch_restriction, begins: 0s, ends: 2h, severity: 4}]}, \
                {name: a2, load: {constant: 0.5}, faults: [{kind: branch_restriction, begins: 0s, ends: 2h, severity: 4}]}]}]}";
    let scenario = Scenario::read(&Document { name: "hoses.yaml".into(), text: text.into() })
        .unwrap_or_else(|error| panic!("{error}"));
    let found = |pump_curve: &str| {
        let mut player = Player::new(scenario.start, evaluator::default_documents(), Some(site(pump_curve)));
        let findings = player.play(&scenario, |_, _| {}).findings;
        findings.iter().filter(|finding| &*finding.detector == "pump").count()
    };
    assert_eq!(found(""), 1, "a false alarm without the curve");
    assert_eq!(found(", pumpCurve: {innerLoss: 76 kPa, atFlow: 300 L/min}"), 0);
    let worn = fixture("pump_head_loss");
    let mut player = Player::new(
        worn.start,
        evaluator::default_documents(),
        Some(site(", pumpCurve: {innerLoss: 76 kPa, atFlow: 300 L/min}")),
    );
    let findings = player.play(&worn, |_, _| {}).findings;
    assert_eq!(&*findings[0].detector, "pump", "a loss of head is found with it as well: {findings:?}");
}

/// The loop of the documentation goes from 30 % to full load and is back within half a kelvin after some 341 s.
#[test]
fn a_healthy_loop_recovers_from_each_burst_of_load_within_ten_minutes() {
    let scenario = "name: bursts\nseed: 5\nsite: demo\nstart: 2026-01-05T08:00:00Z\nduration: 4h\nloops:\n  \
                    - name: loop-a\n    racks:\n      - name: a1\n        \
                    load: { bursts: { base: 0.3, peak: 1.0, first: 20m, every: 60m, lasting: 30m } }\n";
    let document = |name: &str, text: &str| Document { name: name.to_owned(), text: text.to_owned() };
    let scenario =
        Scenario::read(&document("bursts.yaml", scenario)).unwrap_or_else(|error| panic!("{error}"));
    let shipped = include_str!("../../../slo/recovery.yaml");
    for (limit, within, late) in [("value: 600", 4, 0), ("value: 120", 0, 4)] {
        let text = shipped.replace("value: 600", limit);
        let played = play_with(&scenario, vec![document("slo/recovery.yaml", &text)]);
        let [status] = &played.facts["a1"].objectives[..] else { panic!("the loop has no power of its own") };
        let recoveries = status.recoveries.as_ref().unwrap();
        assert_eq!((recoveries.within, recoveries.late), (within, late), "{recoveries:?}");
        assert_eq!((recoveries.censored, recoveries.unknown, recoveries.open), (0, 0, 0), "{recoveries:?}");
        let longest = recoveries.longest.unwrap().as_seconds();
        println!("longest recovery {longest} s");
        assert!((300.0..=400.0).contains(&longest), "{longest} s");
        let expected = if late > 0 { Outcome::NotOk } else { Outcome::Unknown };
        assert_eq!(played.outcome("a1", "coolant-supply-recovery").0, expected, "four bursts show no 95 %");
    }
}

#[test]
fn a_pump_that_loses_its_head_is_found_by_its_head_before_anything_is_too_warm() {
    let played = play(&fixture("pump_head_loss"));
    println!("{}", story(&played));
    assert!(played.delay("pump") < 20.0 * 60.0, "{}", story(&played));
    assert_eq!(played.findings()[0].detector.as_ref(), "pump", "{}", story(&played));
}

#[test]
fn a_pump_that_trips_is_found_within_two_readings() {
    let played = play(&fixture("pump_trip"));
    assert!(played.delay("pump_trip") <= 30.0, "{}", story(&played));
    assert!(played.fired().contains(&"PumpTrip"));
}

#[test]
fn stuck_sensors_are_found_and_their_objectives_become_unknown() {
    let played = play(&fixture("stuck_sensor"));
    let stuck = played.findings().into_iter().filter(|finding| &*finding.detector == "stuck");
    let mut found: Vec<(&str, &str)> = stuck
        .map(|finding| {
            assert!((finding.detected - finding.onset).as_seconds() <= 10.0 * 60.0, "{}", story(&played));
            (finding.place.rack.as_deref().unwrap_or_default(), finding.signal.as_deref().unwrap_or_default())
        })
        .collect();
    found.sort_unstable();
    let expected = [("a1", "coolant_supply_temperature"), ("a2", "coolant_flow"), ("a3", "rack_power")];
    assert_eq!(found, expected, "{}", story(&played));
    let others: Vec<&str> =
        played.detectors().into_iter().filter(|name| !["stuck", "coverage_low"].contains(name)).collect();
    assert!(others.is_empty(), "{}", story(&played));
    let is_distrusted = played.facts["a1"]
        .sensors
        .iter()
        .any(|sensor| &*sensor.signal == "coolant_supply_temperature" && sensor.trust == Trust::Distrusted);
    assert!(is_distrusted);
    assert_eq!(played.outcome("a1", "coolant-dt"), (Outcome::Unknown, Some(UnknownReason::SensorFault)));
}

#[test]
fn a_rack_that_falls_silent_is_one_gap_and_its_objectives_are_unknown() {
    // Of rack a1 nothing comes, of a2 the flow is missing, a3 sends its last reading again and again.
    let played = play(&fixture("silent_feed"));
    let of_feeds = played.findings().into_iter().filter(|finding| &*finding.detector != "coverage_low");
    let found: Vec<(&str, &str, Option<&str>)> = of_feeds
        .map(|finding| {
            let rack = finding.place.rack.as_deref().unwrap_or_default();
            (&*finding.detector, rack, finding.signal.as_deref())
        })
        .collect();
    let expected = [("gap", "a1", None), ("stale", "a3", None), ("gap", "a2", Some("coolant_flow"))];
    assert_eq!(found, expected, "{}", story(&played));
    for rack in ["a1", "a3"] {
        let unknown = (Outcome::Unknown, Some(UnknownReason::Stale));
        assert_eq!(played.outcome(rack, "coolant-supply-temperature"), unknown, "{rack}");
    }
}

/// Feeds of which it is not known yet how often they report.
#[test]
fn a_lost_report_among_the_first_of_a_slow_feed_is_no_gap_and_a_feed_that_stays_away_is_one() {
    let scenario = |more: &str| {
        let text = format!(
            "{{name: slow, seed: 41, site: demo, start: 2026-01-05T08:00:00Z, duration: 30m, sample_every: 60s, \
             gpus: {{nodes: 18, gpus_per_node: 1, every: 60s}}, {more}"
        );
        Scenario::read(&Document { name: "slow.yaml".into(), text }).unwrap_or_else(|error| panic!("{error}"))
    };
    let lossy = "lost_share: 0.02, loops: [{name: loop-a, racks: [{name: a1, load: {constant: 0.8}}]}]}";
    let played = play(&scenario(lossy));
    assert!(played.findings().is_empty(), "{}", story(&played));
    let silent = "loops: [{name: loop-a, racks: [{name: a1, load: {constant: 0.8}, faults: [{kind: gap, begins: 4m}]}]}]}";
    let played = play(&scenario(silent));
    let gaps = played.findings().into_iter().filter(|finding| &*finding.detector == "gap").count();
    assert_eq!(gaps, 1, "{}", story(&played));
    assert!(played.delay("gap") <= 6.0 * 60.0, "{}", story(&played));
}

#[test]
fn a_leak_pages_and_loses_coolant() {
    let played = play(&fixture("leak"));
    assert!(played.fired().contains(&"LeakCritical"), "{:?}", played.fired());
    assert!(played.delay("leak") < 15.0 * 60.0, "{}", story(&played));
}

#[test]
fn a_sensor_that_drifts_is_found_by_the_heat_balance() {
    let played = play(&fixture("sensor_drift"));
    assert!(played.detectors().contains(&"hb"), "{}", story(&played));
}

/// The sensors of a rack that are not simply trusted.
fn doubts(facts: &RackFacts, trust: Trust) -> Vec<(&str, Option<&str>)> {
    let sensors = facts.sensors.iter().filter(|sensor| sensor.trust == trust);
    sensors.map(|sensor| (&*sensor.signal, sensor.sensor.as_deref())).collect()
}

/// Of a1 one of two supply thermometers drifts: the signs of pair and heat balance tell which. Of a2 the power meter is
/// off, which return thermometer and power meter explain equally well.
#[test]
fn a_thermometer_that_drifts_is_left_out_for_its_twin_and_what_cannot_be_told_apart_is_judged() {
    let played = play(&fixture("sensor_drift"));
    let story = story(&played);
    assert_eq!(
        doubts(&played.facts["a1"], Trust::Distrusted),
        [("coolant_supply_temperature", Some("b"))],
        "{story}"
    );
    let supply = |rack: &str| {
        let statuses = &played.facts[rack].objectives;
        let is_meant = |status: &&ObjectiveStatus| {
            &*status.objective == "coolant-supply-temperature" && status.place.rack.as_deref() == Some(rack)
        };
        statuses.iter().find(is_meant).unwrap()
    };
    let [doubt] = &supply("a1").doubts[..] else { panic!("{:?}", supply("a1").doubts) };
    assert_eq!(doubt.instead.len(), 1, "{doubt:?}");
    assert_eq!(supply("a1").time.unknown, Microseconds::ZERO, "the twin stands in: {:?}", supply("a1"));
    // The set point is 35 °C; the thermometer that drifts says 36.4 °C by now.
    let last = supply("a1").last.as_ref().unwrap().value;
    assert!(last < 35.3, "{last}");
    assert_eq!(doubts(&played.facts["a2"], Trust::Distrusted), [], "{story}");
    let suspects = doubts(&played.facts["a2"], Trust::Suspect);
    assert!(
        suspects.contains(&("rack_power", None)) && suspects.len() > 1,
        "{suspects:?} {:?} {story}",
        played.facts["a2"].findings
    );
    assert!(supply("a2").time.unknown == Microseconds::ZERO && supply("a2").outcome == Outcome::Ok);
}

/// Sends a scenario and, at a moment of it, what somebody registers.
fn play_with_act(scenario: &Scenario, at: Microseconds, act: Body) -> (Vec<Effect>, RackFacts) {
    let mut player = Player::new(scenario.start, evaluator::default_documents(), None);
    let mut simulation = Simulation::new(scenario);
    let (mut readings, mut act) = (Vec::new(), Some(act));
    while let Some(instant) = simulation.step(&mut readings) {
        player.tick_until(instant);
        if scenario.start + at <= instant
            && let Some(act) = act.take()
        {
            player.apply(PartitionId::STREAM, act);
        }
        player.send(&readings);
    }
    player.tick_until(scenario.start + scenario.duration + Microseconds::from_seconds(31));
    let facts = player.evaluator().rack_facts();
    let facts = facts.iter().find(|facts| facts.place.rack.as_deref() == Some("a1")).unwrap();
    (player.take_effects(), (**facts).clone())
}

fn calibration(scenario: &Scenario, at: Microseconds, offset: Option<f64>) -> Body {
    let place = Place { site: scenario.site.clone(), rack: Some("a1".into()), ..Place::default() };
    let (signal, sensor) = match offset {
        Some(_) => ("coolant_supply_temperature", Some("b".into())),
        None => ("", None),
    };
    Body::Calibration(Calibration {
        calibration: "0000000000000001".into(),
        identity: SeriesIdentity::new(place, signal.into(), sensor),
        time: scenario.start + at,
        kind: if offset.is_some() { "offset".into() } else { "reset".into() },
        value: offset,
        reference: "bath 12".to_owned(),
        by: "ann".to_owned(),
        why: "it drifts".to_owned(),
    })
}

/// The drift of one thermometer stops after an hour, at half a kelvin.
fn drift_that_rests() -> Scenario {
    let text = "{name: rests, seed: 9, site: demo, start: 2026-01-05T08:00:00Z, duration: 5h, redundant_supply_sensors: true, \
                loops: [{name: loop-a, racks: [{name: a1, load: {constant: 0.8}, faults: [{kind: offset, begins: 75m, ramp: 60m, \
                severity: 1.0, signal: coolant_supply_temperature, sensor: b}]}]}]}";
    Scenario::read(&Document { name: "rests.yaml".into(), text: text.into() })
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_offset_that_makes_up_for_a_drift_ends_what_was_found_and_the_sensor_is_trusted_again() {
    let scenario = drift_that_rests();
    let at = Microseconds::from_hours(3);
    let (effects, facts) = play_with_act(&scenario, at, calibration(&scenario, at, Some(-1.0)));
    let ends = |name: &str| {
        effects.iter().find_map(|effect| match effect {
            Effect::Finding(finding) if &*finding.detector == name => finding.ended,
            _ => None,
        })
    };
    for name in ["redund", "hb"] {
        let ended = ends(name).unwrap_or_else(|| panic!("{name} has not ended"));
        assert!(
            scenario.start + at < ended && ended < scenario.start + at + Microseconds::from_minutes(30),
            "{ended}"
        );
    }
    assert_eq!(facts.sensors, [], "trusted again");
}

#[test]
fn a_reset_takes_baselines_anew_and_ends_what_was_found_against_the_old_ones() {
    let scenario = drift_that_rests();
    let at = Microseconds::from_hours(3);
    let (effects, facts) = play_with_act(&scenario, at, calibration(&scenario, at, None));
    let reset = scenario.start + at;
    let after: Vec<&Finding> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Finding(finding) if ["redund", "hb"].contains(&&*finding.detector) => Some(&**finding),
            _ => None,
        })
        .collect();
    assert!(after.iter().any(|finding| finding.ended.is_none() && finding.detected < reset), "{after:?}");
    let ended: Vec<EventTime> = after.iter().filter_map(|finding| finding.ended).collect();
    assert!(!ended.is_empty() && ended.iter().all(|ended| *ended == reset), "{ended:?}");
    assert!(
        facts.findings.is_empty() && facts.sensors.is_empty(),
        "the error is the new usual: {:?}",
        facts.findings
    );
}

#[test]
fn throttling_is_counted_in_episodes() {
    let played = play(&fixture("throttling"));
    for rack in ["a1", "b1"] {
        let statuses = &played.facts[rack].objectives;
        let status = statuses.iter().find(|status| &*status.objective == "gpu-thermal-throttle").unwrap();
        let events = status.events.as_ref().unwrap();
        assert!(events.count >= 1 && events.duration > Microseconds::ZERO, "{rack}: {events:?}");
    }
}

#[test]
fn the_demonstration_shows_what_it_promises() {
    let played = play(&Scenario::demo(1));
    println!("{}", story(&played));
    println!("{:?}", played.fired());
    for objective in &played.facts["a1"].objectives {
        if objective.place.rack.as_deref() == Some("a1") && &*objective.objective != "gpu-thermal-throttle" {
            assert_eq!(objective.outcome, Outcome::Ok, "{objective:?}");
        }
    }
    assert_eq!(played.outcome("a2", "coolant-dt").0, Outcome::Unknown);
    assert_eq!(played.outcome("a3", "coolant-dt").0, Outcome::Unknown);
    for rack in ["b1", "b2", "b3"] {
        assert_eq!(played.outcome(rack, "coolant-dt").0, Outcome::NotOk);
    }
    assert!(played.findings().iter().any(|finding| &*finding.detector == "pump"));
}

#[test]
fn a_block_of_a_slow_feed_is_seen_once_however_long_it_stays_in_force() {
    // GPUs tell their temperature once a minute, so that their blocks are two minutes long: sixty take two hours, less the
    // few that are shorter because the interval is not known yet.
    let scenario = "{name: slow, seed: 1, site: dc1, start: 2026-01-05T08:00:00Z, duration: 170m, \
         gpus: {nodes: 6, gpus_per_node: 1, every: 60s}, \
         loops: [{name: loop-a, racks: [{name: r1, load: {constant: 0.9}}]}]}";
    let scenario = Scenario::read(&Document { name: "slow.yaml".into(), text: scenario.into() })
        .unwrap_or_else(|error| panic!("{error}"));
    let mut taken = None;
    drills::play(&scenario, |player, effects| {
        let minute = effects.iter().find_map(|effect| match effect {
            Effect::Block(block) => Some((block.time - scenario.start).as_seconds() / 60.0),
            _ => None,
        });
        let is_taken =
            || player.evaluator().residuals().any(|it| it.detector == "rth" && it.baseline.is_some());
        if let Some(minute) = minute.filter(|_| taken.is_none() && is_taken()) {
            taken = Some(minute);
        }
    });
    assert!(taken.is_some_and(|minute| (110.0..150.0).contains(&minute)), "{taken:?}");
}
