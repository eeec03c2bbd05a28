//! Stuck sensors: a value that stays the same for much longer than it ever did.
//!
//! settled readings → **stuck** → finding `stuck`, unknown time

use serde::{Deserialize, Serialize};
use telemetry::record::{Feed, SeriesDeclaration};
use telemetry::{EventTime, Microseconds};

use crate::series::SeriesEvent;

/// A run this many times as long as the longest that was seen is a stuck sensor.
const FACTOR: i64 = 3;
/// No shorter run is one.
const RUN_MINIMUM: Microseconds = Microseconds::from_minutes(5);
/// The sensor is watched for this long, and this often, before anything is said.
const CALIBRATION: (Microseconds, u32) = (Microseconds::from_minutes(30), 100);
/// A sensor that repeats itself by chance (a coarse one, or one that reports seldom) shows so long a run less than once in
/// so many readings: repeats that do not depend on each other make runs of geometric length.
const BY_CHANCE: f64 = 1e-9;
/// A run so many times as long as the longest needs no such proof: gateways that poll more slowly than they report make runs
/// of one length, which do not come by chance.
const FACTOR_BEYOND_CHANCE: i64 = 5;
/// A channel of which more than this share of readings repeat the one before may rest for ever.
const REPEATS_MAXIMUM_PERCENT: u64 = 98;

/// Signals whose sensors have noise above their resolution: coolant, water, air, pressures, flows, power. Set points,
/// commands, speeds, codes, counters and whole-degree GPU readings may well rest.
const SIGNALS: &[&str] = &[
    "coolant_supply_temperature",
    "coolant_return_temperature",
    "coolant_flow",
    "coolant_supply_flow",
    "coolant_return_flow",
    "coolant_pressure",
    "coolant_differential_pressure",
    "pump_differential_pressure",
    "cdu_differential_pressure",
    "filter_differential_pressure",
    "facility_supply_temperature",
    "facility_return_temperature",
    "facility_flow",
    "air_inlet_temperature",
    "air_exhaust_temperature",
    "door_air_outlet_temperature",
    "door_water_supply_temperature",
    "rack_power",
];

/// Runs of equal values of one series.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stuck {
    /// The value of the present run, when it began, and its repeats.
    run: Option<(f64, EventTime, u32)>,
    /// The longest run that ended.
    pub longest: Microseconds,
    /// Known time that was watched before the present run.
    watched: Microseconds,
    /// Readings that followed another, and those that repeated it, before the present run.
    followed: u32,
    repeated: u32,
    alarm: bool,
}

impl Stuck {
    /// Whether a series of this kind is watched. A feed that reports on change says nothing by repeating itself.
    pub(crate) fn applies(declaration: &SeriesDeclaration) -> bool {
        let is_periodic = !matches!(declaration.feed, Feed::OnChange { .. });
        is_periodic && SIGNALS.contains(&&*declaration.identity.signal)
    }

    /// Share of readings that repeated the one before, of all before the present run; percent.
    pub(crate) fn repeats_percent(&self) -> u64 {
        u64::from(self.repeated) * 100 / u64::from(self.followed.max(1))
    }

    /// The length that a run must reach to be an alarm; `None` while the sensor is not known well enough, and for
    /// one that may rest.
    pub(crate) fn limit(&self) -> Option<Microseconds> {
        let calibrated = CALIBRATION.0 <= self.watched && CALIBRATION.1 <= self.followed;
        (calibrated && self.repeats_percent() <= REPEATS_MAXIMUM_PERCENT)
            .then(|| Microseconds(self.longest.0 * FACTOR).max(RUN_MINIMUM))
    }

    /// The repeats that a run must have to be an alarm, by the share of readings that repeat the one before.
    fn repeats_minimum(&self) -> u32 {
        // Laplace's rule of succession: a share that was not seen once is not none.
        let share = (f64::from(self.repeated) + 1.0) / (f64::from(self.followed) + 2.0);
        libm::ceil(libm::log(BY_CHANCE) / libm::log(share)) as u32
    }

    /// Looks at the next reading. A gap before it begins a new run.
    pub(crate) fn observe(&mut self, time: EventTime, value: f64, gap: bool) -> Option<SeriesEvent> {
        match self.run {
            Some((known, since, repeats)) if known == value && !gap => {
                self.run = Some((known, since, repeats + 1));
                let length = time - since;
                let is_stuck = self.limit().is_some_and(|limit| limit <= length)
                    && (FACTOR_BEYOND_CHANCE * self.longest.0 <= length.0
                        || self.repeats_minimum() <= repeats + 1);
                (is_stuck && !std::mem::replace(&mut self.alarm, is_stuck))
                    .then_some(SeriesEvent::Stuck { since, at: time })
            }
            Some((known, since, repeats)) => {
                let was_alarm = std::mem::take(&mut self.alarm);
                self.run = Some((value, time, 0));
                if !was_alarm && !gap {
                    self.longest = self.longest.max(time - since);
                    self.watched += time - since;
                    self.followed = self.followed.saturating_add(repeats + 1);
                    self.repeated = self.repeated.saturating_add(repeats);
                }
                // After a gap the same value is no proof that the sensor moves.
                let moved = was_alarm && known != value;
                self.alarm = was_alarm && !moved;
                moved.then_some(SeriesEvent::Moved { at: time })
            }
            None => {
                self.run = Some((value, time, 0));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    /// Readings every 5 s: each value three times, for `seconds`.
    fn lively(stuck: &mut Stuck, seconds: i64) {
        for step in 0..seconds / 5 {
            assert_eq!(stuck.observe(at(step * 5), (step / 3) as f64, false), None);
        }
    }

    #[test]
    fn a_value_that_rests_three_times_longer_than_ever_is_an_alarm_once() {
        let mut stuck = Stuck::default();
        lively(&mut stuck, 3_600);
        let events: Vec<_> = (720..800).filter_map(|step| stuck.observe(at(step * 5), 7.0, false)).collect();
        assert_eq!(events, [SeriesEvent::Stuck { since: at(3_600), at: at(3_900) }], "five minutes at least");
        assert_eq!(stuck.observe(at(4_000), 7.1, false), Some(SeriesEvent::Moved { at: at(4_000) }));
    }

    #[test]
    fn a_coarse_sensor_that_reports_seldom_must_rest_for_longer_than_chance_makes_it() {
        let mut stuck = Stuck::default();
        // A reading a minute of which every third repeats the one before, and once three in a row.
        let value = |minute: i64| if (300..304).contains(&minute) { -7.0 } else { (minute * 2 / 3) as f64 };
        assert!((0..600).all(|minute| stuck.observe(at(minute * 60), value(minute), false).is_none()));
        assert_eq!(stuck.limit(), Some(Microseconds::from_minutes(12)), "three times the longest run");
        let events: Vec<_> =
            (600..640).filter_map(|minute| stuck.observe(at(minute * 60), -1.0, false)).collect();
        // ln 10⁻⁹ / ln ⅓ = 18.9 repeats.
        assert_eq!(events, [SeriesEvent::Stuck { since: at(600 * 60), at: at(619 * 60) }]);
    }

    #[test]
    fn nothing_is_said_of_a_sensor_that_always_rests() {
        let mut stuck = Stuck::default();
        for step in 0..10_000 {
            // One change in 200 readings.
            assert_eq!(stuck.observe(at(step * 5), (step / 200) as f64, false), None);
        }
        assert!((0..10_000).all(|step| stuck.observe(at(50_000 + step * 5), 1.0, false).is_none()));
    }
}
