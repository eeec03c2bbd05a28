//! What is known to come is expected; what is not known is refused; the same question has the same answer.

use advisory::{Daily, Forecast, Forecaster, Refusal, Series, Smoothing, time_to_limit};
use proptest::prelude::*;
use telemetry::{EventTime, Microseconds};

const MINUTE: Microseconds = Microseconds::from_minutes(1);
const HOUR: Microseconds = Microseconds::from_hours(1);
const LEVEL: f64 = 0.95;

/// Noise that is the same each time: a sum of four uniform numbers, standard deviation 1.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        // Constants of Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) / (4.0_f64 / 12.0).sqrt()
    }
}

fn series(step: Microseconds, values: &[f64]) -> Series {
    let values: Vec<_> = values.iter().copied().map(Some).collect();
    Series::new(EventTime::from_unix_micros(1_767_600_000_000_000), step, &values).unwrap()
}

fn expect(method: &dyn Forecaster, step: Microseconds, values: &[f64], horizon: Microseconds) -> Forecast {
    method.forecast(&series(step, values), horizon, LEVEL).unwrap()
}

/// Share of what came that was inside the interval, and the root mean square of what it was off.
fn score(forecast: &Forecast, came: &[f64]) -> (f64, f64) {
    assert_eq!(forecast.points.len(), came.len());
    let inside = forecast
        .points
        .iter()
        .zip(came)
        .filter(|(point, came)| point.lower <= **came && **came <= point.upper);
    let squares: f64 =
        forecast.points.iter().zip(came).map(|(point, came)| (point.value - came).powi(2)).sum();
    (inside.count() as f64 / came.len() as f64, (squares / came.len() as f64).sqrt())
}

/// Facility water over a day: coldest at four in the morning, warmest at four in the afternoon.
fn water(hour: usize, noise: &mut Noise) -> f64 {
    let angle = std::f64::consts::TAU * (hour as f64 - 10.0) / 24.0;
    20.0 + 3.0 * libm::sin(angle) + 0.1 * noise.next()
}

#[test]
fn a_ramp_goes_on_and_reaches_its_limit_when_it_should() {
    let mut noise = Noise(1);
    // 4 K an hour, as facility water warms when a chiller fails.
    let temperature =
        |minute: usize, noise: &mut Noise| 20.0 + minute as f64 * 4.0 / 60.0 + 0.05 * noise.next();
    let known: Vec<f64> = (0..120).map(|minute| temperature(minute, &mut noise)).collect();
    let came: Vec<f64> = (120..180).map(|minute| temperature(minute, &mut noise)).collect();
    let forecast = expect(&Smoothing, MINUTE, &known, HOUR);
    let (inside, off) = score(&forecast, &came);
    assert!(inside >= 0.9 && off < 0.3, "{inside} inside, {off} K off, by {}", forecast.model);
    assert!(forecast.model.starts_with("ETS(A,A"), "it has a trend: {}", forecast.model);
    assert_eq!(forecast.points[0].time, forecast.basis.until, "it begins where the known ends");
    // 30 °C is reached after 150 min, so in 30.
    let crossing = time_to_limit(&forecast, 30.0, false);
    let minutes = crossing.expected.unwrap().as_seconds() / 60.0;
    assert!((minutes - 30.0).abs() < 3.0, "{minutes} min");
    assert!(crossing.earliest.unwrap() <= crossing.expected.unwrap());
}

#[test]
fn noise_around_a_level_stays_there_within_its_scatter() {
    let mut noise = Noise(7);
    let mut inside = 0.0;
    for _ in 0..20 {
        let values: Vec<f64> = (0..300).map(|_| 34.0 + 0.1 * noise.next()).collect();
        let forecast = expect(&Smoothing, MINUTE, &values[..240], HOUR);
        let (share, off) = score(&forecast, &values[240..]);
        assert!(off < 0.3, "{off} K off by {}", forecast.model);
        inside += share / 20.0;
    }
    assert!((0.9..=1.0).contains(&inside), "{inside} of what came was in the interval of {LEVEL}");
}

#[test]
fn the_interval_of_a_random_walk_holds_what_it_says() {
    let mut noise = Noise(3);
    let mut inside = 0.0;
    for _ in 0..40 {
        let mut level = 30.0;
        let values: Vec<f64> = (0..300)
            .map(|_| {
                level += 0.05 * noise.next();
                level
            })
            .collect();
        let forecast = expect(&Smoothing, MINUTE, &values[..240], HOUR);
        inside += score(&forecast, &values[240..]).0 / 40.0;
    }
    assert!(inside >= 0.85, "{inside} of what came was in the interval of {LEVEL}");
}

#[test]
fn the_day_of_facility_water_comes_again() {
    let mut noise = Noise(2);
    for days in [2, 3, 7, 14] {
        let values: Vec<f64> = (0..(days + 1) * 24).map(|hour| water(hour, &mut noise)).collect();
        let known = &values[..days * 24];
        let forecast = expect(&Daily, HOUR, known, Microseconds::from_hours(24));
        let (_, off) = score(&forecast, &values[days * 24..]);
        assert!(off < 0.5, "{days} days: {off} K off by {}", forecast.model);
        // What it would be off if all stayed as it is.
        let last = known[known.len() - 1];
        let squares: f64 = values[days * 24..].iter().map(|came| (came - last).powi(2)).sum();
        let unmoved = (squares / 24.0).sqrt();
        assert!(off < unmoved / 4.0, "{days} days: knowing the day is better: {off} and {unmoved} K");
        let warmest = forecast.points.iter().max_by(|one, other| one.value.total_cmp(&other.value)).unwrap();
        let hour = (warmest.time - forecast.basis.until).get() / HOUR.get();
        assert!((14..=18).contains(&hour), "{days} days: the warmest hour is {hour}");
    }
}

#[test]
fn a_slow_rise_below_the_day_is_seen() {
    let mut noise = Noise(5);
    let values: Vec<f64> = (0..8 * 24).map(|hour| water(hour, &mut noise) + 0.02 * hour as f64).collect();
    let forecast = expect(&Daily, HOUR, &values[..7 * 24], Microseconds::from_hours(24));
    let (_, off) = score(&forecast, &values[7 * 24..]);
    assert!(off < 0.5, "{off} K off by {}", forecast.model);
}

#[test]
fn gaps_are_bridged_and_told_and_change_little() {
    let mut noise = Noise(9);
    let values: Vec<f64> = (0..180).map(|minute| 25.0 + 0.02 * minute as f64 + 0.05 * noise.next()).collect();
    let mut gappy: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    for missing in [20, 21, 22, 90, 140, 141] {
        gappy[missing] = None;
    }
    let whole = expect(&Smoothing, MINUTE, &values, HOUR);
    let start = whole.basis.from;
    let bridged = Smoothing.forecast(&Series::new(start, MINUTE, &gappy).unwrap(), HOUR, LEVEL).unwrap();
    assert_eq!((bridged.basis.known, bridged.basis.bridges.len()), (174, 3));
    assert!((bridged.basis.gap_share - 6.0 / 180.0).abs() < 1e-12);
    assert!((bridged.points[59].value - whole.points[59].value).abs() < 0.2, "{bridged:?}");
}

#[test]
fn the_same_question_has_the_same_answer_to_the_bit() {
    let mut noise = Noise(4);
    let minutes: Vec<f64> =
        (0..360).map(|minute| 30.0 + libm::sin(minute as f64 / 9.0) + noise.next()).collect();
    let hours: Vec<f64> = (0..96).map(|hour| water(hour, &mut noise)).collect();
    let ask = || {
        [
            expect(&Smoothing, MINUTE, &minutes, HOUR),
            expect(&Daily, HOUR, &hours, Microseconds::from_hours(24)),
        ]
        .map(|forecast| {
            let bits = |value: f64| value.to_bits();
            let points =
                forecast.points.iter().map(|point| [bits(point.value), bits(point.lower), bits(point.upper)]);
            (forecast.model.clone(), points.collect::<Vec<_>>())
        })
    };
    let first = ask();
    for _ in 0..5 {
        assert_eq!(ask(), first);
    }
    // Nothing is kept from one thread to the next, and none is seeded by itself.
    assert_eq!(std::thread::spawn(ask_elsewhere).join().unwrap(), ask_elsewhere());
}

fn ask_elsewhere() -> Vec<u64> {
    let mut noise = Noise(6);
    let values: Vec<f64> = (0..100).map(|_| noise.next()).collect();
    expect(&Smoothing, MINUTE, &values, HOUR).points.iter().map(|point| point.upper.to_bits()).collect()
}

#[test]
fn what_carries_no_forecast_is_refused_with_its_reason() {
    let mut noise = Noise(8);
    let values: Vec<f64> = (0..400).map(|_| 20.0 + noise.next()).collect();
    let ask = |method: &dyn Forecaster, step, values: &[f64], horizon| {
        method.forecast(&series(step, values), horizon, LEVEL).unwrap_err()
    };
    let refused = ask(&Smoothing, MINUTE, &values[..59], HOUR);
    assert!(matches!(refused, Refusal::TooLittle { known: 59, wanted: 60, .. }), "{refused}");
    let refused = ask(&Smoothing, MINUTE, &values[..100], Microseconds::from_hours(2));
    assert_eq!(
        refused.to_string(),
        "2h ahead is farther than the 100m that are known: ask of a nearer time, or of a longer window"
    );
    assert_eq!(ask(&Smoothing, MINUTE, &values, HOUR).code(), "TOO_MUCH");
    assert_eq!(ask(&Smoothing, MINUTE, &[20.0; 100], HOUR).code(), "NO_SCATTER");
    let refused = ask(&Daily, HOUR, &values[..47], HOUR);
    assert!(matches!(refused, Refusal::TooLittle { known: 47, wanted: 48, .. }), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was measured, the answer is an interval around each expectation, or a refusal: no panic, which would
    /// end the service, and no number that is none.
    #[test]
    fn any_measurement_has_an_interval_or_a_refusal(
        start in -1e9..1e9_f64,
        scale in prop_oneof![Just(0.0), Just(1e-12), 1e-6..1e6_f64, Just(1e9)],
        quantum in prop_oneof![Just(0.0), Just(1.0), Just(0.1)],
        jump in prop_oneof![Just(0.0), -1e9..1e9_f64],
        count in 48_usize..200,
        seed: u64,
    ) {
        let mut noise = Noise(seed);
        let values: Vec<Option<f64>> = (0..count)
            .map(|index| {
                let value = start + scale * noise.next() + if index > count / 2 { jump } else { 0.0 };
                let value = value.clamp(-1e9, 1e9);
                let value = if quantum > 0.0 { (value / quantum).round() * quantum } else { value };
                (noise.uniform() > 0.05).then_some(value)
            })
            .collect();
        let at = EventTime::from_unix_micros(0);
        for (method, step) in [(&Smoothing as &dyn Forecaster, MINUTE), (&Daily, HOUR)] {
            let Ok(series) = Series::new(at, step, &values) else { continue };
            if let Ok(forecast) = method.forecast(&series, Microseconds(step.get() * 30), LEVEL) {
                prop_assert_eq!(forecast.points.len(), 30);
                for point in &forecast.points {
                    prop_assert!(point.lower <= point.value && point.value <= point.upper, "{:?}", point);
                }
            }
        }
    }
}
