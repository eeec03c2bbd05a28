//! One that cools badly is told from those that only differ; quantised readings are no outliers.

use advisory::{Comparison, Measure, Opinion, Peer, Peers, Scale, log_resistance};
use proptest::prelude::*;
use telemetry::{EventTime, Microseconds};

/// A sum of four uniform numbers, standard deviation 1; the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        }
        (sum - 2.0) / (4.0_f64 / 12.0).sqrt()
    }
}

fn compare(peers: Vec<Vec<Option<f64>>>, measure: Measure) -> Result<Comparison, advisory::Refusal> {
    let peers = peers
        .into_iter()
        .enumerate()
        .map(|(index, values)| Peer { name: format!("gpu{index:02}"), values })
        .collect();
    let start = EventTime::from_unix_micros(1_767_600_000_000_000);
    Peers { start, step: Microseconds::from_minutes(1), measure, peers }.compare()
}

/// ln of resistances: units that differ by 3 %, noise of 1 %, and a load that all share.
fn resistances(count: usize, steps: usize, noise: &mut Noise) -> Vec<Vec<Option<f64>>> {
    let shared: Vec<f64> = (0..steps).map(|step| 0.2 * libm::sin(step as f64 / 7.0)).collect();
    (0..count)
        .map(|_| {
            let unit = -3.0 + 0.03 * noise.next();
            shared.iter().map(|shared| Some(unit + shared + 0.01 * noise.next())).collect()
        })
        .collect()
}

fn opinion(comparison: &Comparison, name: &str) -> Opinion {
    comparison.peers.iter().find(|peer| peer.name == name).unwrap().opinion
}

#[test]
fn one_that_cools_badly_is_named_by_both_and_no_other() {
    for (count, seed) in [(18, 1), (72, 2), (72, 3), (18, 4)] {
        let mut peers = resistances(count, 60, &mut Noise(seed));
        // A quarter more: a cold plate that is partly blocked.
        peers[5].iter_mut().flatten().for_each(|value| *value += libm::log(1.25));
        let comparison = compare(peers, Measure::LogThermalResistance).unwrap();
        assert_eq!(comparison.scale, Scale::MedianAbsoluteDeviation);
        let worst = &comparison.peers[0];
        assert_eq!((worst.name.as_str(), worst.opinion), ("gpu05", Opinion::Both), "{worst:?}");
        assert!((worst.deviation.unwrap() - libm::log(1.25)).abs() < 0.1, "{worst:?}");
        let others: Vec<_> =
            comparison.peers[1..].iter().filter(|peer| peer.opinion != Opinion::Neither).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

#[test]
fn peers_that_only_differ_as_units_do_are_seldom_called_outliers() {
    let mut noise = Noise(11);
    let (mut both, mut any, mut all) = (0, 0, 0);
    for _ in 0..60 {
        let comparison = compare(resistances(18, 60, &mut noise), Measure::LogThermalResistance).unwrap();
        all += comparison.peers.len();
        both += comparison.peers.iter().filter(|peer| peer.opinion == Opinion::Both).count();
        any += comparison.peers.iter().filter(|peer| peer.opinion != Opinion::Neither).count();
    }
    assert!(both * 500 <= all, "{both} of {all} by both");
    assert!(any * 100 <= all, "{any} of {all} by either");
}

#[test]
fn quantised_temperatures_fall_back_and_one_step_is_no_outlier() {
    // Whole degrees: most are equal, some a degree off, one four degrees.
    let peers: Vec<Vec<Option<f64>>> = (0..18)
        .map(|peer: usize| {
            (0..60)
                .map(|step: usize| {
                    let off = match peer {
                        4 => 4.0,
                        7 => 1.0,
                        9 => -1.0,
                        _ => f64::from(u8::from((peer + step) % 9 == 0)),
                    };
                    Some(70.0 + off)
                })
                .collect()
        })
        .collect();
    let comparison = compare(peers, Measure::Temperature).unwrap();
    assert!(
        matches!(&comparison.scale, Scale::Fallback { standard_deviation, .. } if *standard_deviation >= 0.5),
        "{comparison:?}"
    );
    assert_eq!(opinion(&comparison, "gpu04"), Opinion::Both, "{comparison:?}");
    for name in ["gpu07", "gpu09", "gpu00"] {
        assert_eq!(opinion(&comparison, name), Opinion::Neither, "{name}: {comparison:?}");
    }
}

#[test]
fn equal_peers_are_no_outliers() {
    let comparison = compare(vec![vec![Some(70.0); 60]; 18], Measure::Temperature).unwrap();
    assert!(matches!(comparison.scale, Scale::Fallback { .. }));
    assert!(comparison.peers.iter().all(|peer| peer.opinion == Opinion::Neither), "{comparison:?}");
}

#[test]
fn a_peer_that_is_silent_is_unknown_and_too_few_are_refused() {
    let mut peers = resistances(18, 60, &mut Noise(21));
    peers[3].iter_mut().take(40).for_each(|value| *value = None);
    let comparison = compare(peers, Measure::LogThermalResistance).unwrap();
    assert_eq!(opinion(&comparison, "gpu03"), Opinion::Unknown);
    let refused = compare(resistances(4, 60, &mut Noise(22)), Measure::Temperature).unwrap_err();
    assert_eq!(refused.to_string(), "too few peers: 4 are known well enough, 5 are needed for a comparison");
    assert_eq!(
        compare(resistances(18, 9, &mut Noise(23)), Measure::Temperature).unwrap_err().code(),
        "TOO_LITTLE"
    );
    assert_eq!(
        compare(resistances(18, 241, &mut Noise(24)), Measure::Temperature).unwrap_err().code(),
        "TOO_MUCH"
    );
    assert_eq!(
        compare(resistances(289, 10, &mut Noise(25)), Measure::Temperature).unwrap_err().code(),
        "TOO_MUCH"
    );
    let mut broken = resistances(18, 60, &mut Noise(26));
    broken[2][5] = Some(f64::NAN);
    assert_eq!(compare(broken, Measure::Temperature).unwrap_err().code(), "NOT_MEASURED");
}

#[test]
fn halves_that_part_have_no_outliers() {
    // Nine at 60 °C and nine at 80 °C: neither half is normal.
    let mut noise = Noise(31);
    let peers = (0..18)
        .map(|peer| {
            (0..60).map(|_| Some(if peer % 2 == 0 { 60.0 } else { 80.0 } + 0.1 * noise.next())).collect()
        })
        .collect();
    let comparison = compare(peers, Measure::Temperature).unwrap();
    assert!(comparison.peers.iter().all(|peer| peer.opinion == Opinion::Neither), "{comparison:?}");
}

#[test]
fn a_resistance_wants_power_and_a_rise() {
    let resistance = log_resistance(70.0, 35.0, 1000.0).unwrap();
    assert!((libm::exp(resistance) - 0.035).abs() < 1e-12);
    assert!(log_resistance(70.0, 35.0, 20.0).is_none() && log_resistance(35.5, 35.0, 1000.0).is_none());
    assert!(log_resistance(f64::NAN, 35.0, 1000.0).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever was measured: an answer or a refusal, no panic; the same again; and no peer is judged that is unknown.
    #[test]
    fn any_peers_have_an_answer_or_a_refusal(
        count in 2_usize..40,
        steps in 5_usize..60,
        scale in prop_oneof![Just(0.0), Just(1e-300), 1e-9..1e6_f64, Just(1e300)],
        quantum in prop_oneof![Just(0.0), Just(1.0)],
        gaps in 0.0..0.7_f64,
        seed: u64,
    ) {
        let mut noise = Noise(seed);
        let peers: Vec<Vec<Option<f64>>> = (0..count)
            .map(|_| (0..steps)
                .map(|_| {
                    let value = scale * noise.next();
                    let value = if quantum > 0.0 { (value / quantum).round() * quantum } else { value };
                    (noise.next() / 4.0 + 0.5 > gaps).then_some(value)
                })
                .collect())
            .collect();
        let one = compare(peers.clone(), Measure::Temperature);
        prop_assert_eq!(&one, &compare(peers, Measure::Temperature));
        if let Ok(comparison) = one {
            for peer in comparison.peers {
                prop_assert_eq!(peer.known < 0.5, peer.opinion == Opinion::Unknown, "{:?}", peer);
            }
        }
    }
}
