//! What every source must do: the suite is the contract's definition.

use telemetry::record::Flag;

use super::senders::{
    Otlp, Reading, RemoteWrite1, RemoteWrite2, Source, at, declarations, front, reading, samples, supply,
    take,
};

/// Checks a source against the contract.
fn check<S: Source>() {
    keeps_every_reading::<S>();
    sets_one_bad_reading_aside::<S>();
    takes_no_part_of_a_torn_payload_for_another::<S>();
    keeps_other_labels_and_drops_those_of_replicas::<S>();
    ends_a_series_by_a_stale_marker::<S>();
    sets_the_future_aside_and_takes_the_past::<S>();
    refuses_bad_label_sets_whole::<S>();
    names_what_it_refuses_and_keeps_the_rest::<S>();
    takes_an_empty_request::<S>();
}

fn taken<S: Source>(readings: &[Reading]) -> ingest::Taken {
    take(&S::decode(S::encode(readings)).unwrap())
}

fn keeps_every_reading<S: Source>() {
    let readings: Vec<Reading> =
        (0..50).map(|index| supply(&format!("r{}", index % 7), index, 30.0 + index as f64 / 8.0)).collect();
    let taken = taken::<S>(&readings);
    let mut kept = samples(&taken.records);
    kept.sort_by(|one, other| one.1.total_cmp(&other.1));
    for (kept, sent) in kept.iter().zip(&readings) {
        let identity = format!("coolant_supply_temperature of site s1, rack {}", sent.labels[0].1);
        assert_eq!(*kept, (identity, sent.seconds as f64, sent.value, Flag::Ok), "{}", S::NAME);
    }
    assert_eq!((kept.len(), taken.report.accepted), (50, 50));
    assert_eq!(taken.latest, Some(at(49)));
    let declared = declarations(&taken.records);
    assert_eq!(declared.len(), 7, "a series is declared once");
    assert!(
        declared.iter().all(|declaration| &*declaration.source == S::NAME && &*declaration.unit == "Cel")
    );
}

fn sets_one_bad_reading_aside<S: Source>() {
    let values = [32.0, 3_200.0, f64::NAN, f64::INFINITY, 33.0];
    let readings: Vec<Reading> =
        values.iter().enumerate().map(|(at, value)| supply("r1", at as i64, *value)).collect();
    let taken = taken::<S>(&readings);
    let flags: Vec<Flag> = samples(&taken.records).iter().map(|sample| sample.3).collect();
    let expected = [Flag::Ok, Flag::Implausible, Flag::Sentinel, Flag::Implausible, Flag::Ok];
    assert_eq!(flags, expected, "one bad reading never harms its neighbours ({})", S::NAME);
    assert_eq!(taken.report.accepted, 5, "a resend cannot help, so it is accepted");
    assert_eq!(taken.report.quarantined.values().sum::<u64>(), 3);
    assert!(taken.report.refusal_text().is_empty());
}

fn takes_no_part_of_a_torn_payload_for_another<S: Source>() {
    let readings: Vec<Reading> = (0..4).map(|index| supply("r1", index, 30.0 + index as f64)).collect();
    let whole = S::encode(&readings);
    let all = samples(&taken::<S>(&readings).records);
    let mut refused = 0;
    for end in 0..whole.len() {
        match S::decode(whole[..end].to_vec()) {
            Err(_) => refused += 1,
            // Cut between two messages it is a shorter request, not a torn one.
            Ok(decoded) => {
                let Ok(taken) = front().take_in(&decoded, at(0)) else { continue };
                let kept = samples(&taken.records);
                assert_eq!(kept, all[..kept.len()], "{} cut at {end}", S::NAME);
            }
        }
    }
    assert!(
        refused > whole.len() * 9 / 10,
        "{refused} of {} cuts are refused whole ({})",
        whole.len(),
        S::NAME
    );
}

fn keeps_other_labels_and_drops_those_of_replicas<S: Source>() {
    let of = |replica: &str, seconds| {
        let labels = [("rack", "r1"), ("vendor", "ACME"), ("prometheus_replica", replica)];
        reading("coolant_flow", &labels, seconds, 50.0)
    };
    let taken = taken::<S>(&[of("a", 0), of("b", 0)]);
    let declared = declarations(&taken.records);
    assert_eq!(declared.len(), 1, "a pair of senders gives one series ({})", S::NAME);
    assert_eq!(declared[0].labels.get("vendor").map(|vendor| &**vendor), Some("ACME"));
    assert_eq!(declared[0].labels.get("prometheus_replica"), None);
    assert_eq!(samples(&taken.records).len(), 2, "that one is a duplicate is for the evaluator to say");
}

fn ends_a_series_by_a_stale_marker<S: Source>() {
    let marker = f64::from_bits(ingest::remote_write::STALE_MARKER_BITS);
    let taken = taken::<S>(&[supply("r1", 0, 31.0), supply("r1", 1, marker)]);
    let flags: Vec<Flag> = samples(&taken.records).iter().map(|sample| sample.3).collect();
    assert_eq!(flags, [Flag::Ok, Flag::Stale], "{}", S::NAME);
}

fn sets_the_future_aside_and_takes_the_past<S: Source>() {
    let day = 86_400;
    let readings = [
        supply("r1", -30 * day, 31.0),
        supply("r1", 60, 31.0),
        supply("r1", 61, 31.0),
        supply("r1", day, 31.0),
    ];
    let taken = taken::<S>(&readings);
    let flags: Vec<Flag> = samples(&taken.records).iter().map(|sample| sample.3).collect();
    assert_eq!(flags, [Flag::Ok, Flag::Ok, Flag::Future, Flag::Future], "{}", S::NAME);
    assert_eq!(taken.latest, Some(at(60)), "the future moves no clock");
    let unlimited =
        front().take_in(&S::decode(S::encode(&readings)).unwrap(), telemetry::EventTime::MINIMUM).unwrap();
    assert_eq!(unlimited.latest, Some(at(day)), "before the first tick nothing is in the future");
}

fn refuses_bad_label_sets_whole<S: Source>() {
    let good = supply("r1", 0, 31.0);
    let cases = [
        (reading("coolant_flow", &[("rack", "r1"), ("rack", "r2")], 0, 1.0), "\"rack\" occurs twice"),
        (reading("coolant_flow", &[("", "r1")], 0, 1.0), "a label has no name"),
        (reading("", &[("rack", "r1")], 0, 1.0), "the metric has no name"),
    ];
    for (bad, expected) in cases {
        let mut front = front();
        let decoded = S::decode(S::encode(&[good.clone(), bad])).unwrap();
        let message = front.take_in(&decoded, at(0)).unwrap_err().to_string();
        assert!(message.contains(expected), "{}: {message}", S::NAME);
        let next = front.take_in(&S::decode(S::encode(std::slice::from_ref(&good))).unwrap(), at(0)).unwrap();
        assert_eq!(declarations(&next.records).len(), 1, "nothing was left behind ({})", S::NAME);
        assert_eq!(declarations(&next.records)[0].id.0, 0);
    }
}

fn names_what_it_refuses_and_keeps_the_rest<S: Source>() {
    let mut wrong = reading("coolant_flow_celsius", &[("rack", "r1")], 0, 50.0);
    let taken = taken::<S>(&[wrong.clone(), supply("r1", 0, 31.0)]);
    assert_eq!((taken.report.accepted, taken.report.refused_points()), (1, 1), "{}", S::NAME);
    let text = taken.report.refusal_text();
    for part in [
        "1 of 2 points refused (unit 1), the rest is stored",
        "coolant_flow_celsius{",
        "\"Cel\"",
        "expected \"L/min\"",
    ] {
        assert!(text.contains(part), "{}: {text}", S::NAME);
    }
    wrong.metric = "coolant_flow".to_owned();
    assert_eq!(self::taken::<S>(&[wrong]).report.refused_points(), 0);
}

fn takes_an_empty_request<S: Source>() {
    let taken = taken::<S>(&[]);
    assert!(taken.records.is_empty() && taken.latest.is_none() && taken.report.accepted == 0, "{}", S::NAME);
}

#[test]
fn remote_write_1_keeps_the_contract() {
    check::<RemoteWrite1>();
}

#[test]
fn remote_write_2_keeps_the_contract() {
    check::<RemoteWrite2>();
}

#[test]
fn otlp_keeps_the_contract() {
    check::<Otlp>();
}

#[test]
fn every_source_means_the_same() {
    let readings: Vec<Reading> = (0..20)
        .flat_map(|step| {
            [
                supply("r1", step, 30.5),
                reading("rack_power_watts", &[("rack", "r1")], step, 90_000.0),
                reading(
                    "DCGM_FI_DEV_GPU_TEMP",
                    &[("Hostname", "n1"), ("gpu", "3"), ("UUID", "GPU-1")],
                    step,
                    61.0,
                ),
                reading("pump_speed_ratio", &[("loop", "cdu1"), ("pump", "2")], step, 0.8),
                reading("some_app_requests_total", &[("instance", "a:1")], step, step as f64),
            ]
        })
        .collect();
    let one = samples(&taken::<RemoteWrite1>(&readings).records);
    assert_eq!(one, samples(&taken::<RemoteWrite2>(&readings).records));
    assert_eq!(one, samples(&taken::<Otlp>(&readings).records));
    let kilowatts = one.iter().find(|sample| sample.0.starts_with("rack_power")).unwrap();
    assert_eq!(kilowatts.2, 90.0, "in the canonical unit");
}
