//! What can go wrong: a table of kinds of fault, each a change of the physics, of one sensor, or of the feed.

use serde::{Deserialize, Serialize};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::scenario::{length, length_or_none};

/// A fault of a loop or rack, as a scenario plans it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// When it starts, from the start of the scenario.
    #[serde(with = "length")]
    pub begins: Microseconds,
    /// How long it takes to its full severity; sudden by default.
    #[serde(with = "length", default, skip_serializing_if = "is_zero")]
    pub ramp: Microseconds,
    /// When it is over; by default it stays.
    #[serde(with = "length_or_none", default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Microseconds>,
    /// How bad it is, as the table of kinds says; the kind's usual severity by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<f64>,
    /// The signal it befalls, for faults of sensors and feeds; a feed's default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Name>,
    /// Only this one of several sensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<Name>,
    /// Only this tray, such as `tray-07`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
}

fn is_zero(length: &Microseconds) -> bool {
    *length == Microseconds::ZERO
}

/// What a fault acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The physics of a loop.
    Loop,
    /// The physics of a rack.
    Rack,
    /// One signal of a loop or rack.
    Sensor,
    /// All that a loop or rack reports, or one signal of it.
    Feed,
}

/// The range of a kind's severity, and from where on it matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Severity {
    /// What the number means, with its unit.
    pub meaning: &'static str,
    /// The value that is no fault at all.
    pub none: f64,
    /// Used when a scenario gives none.
    pub usual: f64,
    /// Smallest allowed.
    pub lowest: f64,
    /// Largest allowed.
    pub highest: f64,
    /// Distance from `none` at which the fault is large enough to matter.
    pub relevant: f64,
    /// Whether it is a rate per hour, so that the effect grows with time.
    pub per_hour: bool,
}

macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal on $target:ident,
        $meaning:literal: $none:literal to $usual:literal in $lowest:literal..=$highest:literal, relevant $relevant:literal $($hour:ident)?;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The word in scenarios and labels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it acts on.
            pub const fn target(self) -> Target {
                match self { $(Self::$kind => Target::$target,)* }
            }

            /// What its severity means.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity {
                        meaning: $meaning, none: $none, usual: $usual, lowest: $lowest, highest: $highest,
                        relevant: $relevant, per_hour: 0 $(+ fault_kinds!(@one $hour))? != 0,
                    },)*
                }
            }
        }
    };
    (@one $hour:ident) => { 1 };
}

// Usual severities: the drill suite's. Relevance: the smallest shift that a detector of the field may report.
fault_kinds! {
    /// The pump gives less head than its curve says.
    PumpHeadLoss "pump_head_loss" on Loop, "share of head lost": 0.0 to 0.3 in 0.0..=1.0, relevant 0.04;
    /// The pump's bearings wear: it takes more power for the same flow and head.
    BearingWear "bearing_wear" on Loop, "power of the pump as a multiple": 1.0 to 1.25 in 1.0..=3.0, relevant 0.05;
    /// The pump stops; what is left is inertia and convection.
    PumpTrip "pump_trip" on Loop, "share of speed lost": 0.0 to 0.98 in 0.5..=1.0, relevant 0.5;
    /// The filter clogs.
    FilterClogging "filter_clogging" on Loop, "resistance of the filter as a multiple": 1.0 to 2.5 in 1.0..=50.0, relevant 0.25;
    /// The distribution unit's exchanger fouls.
    ExchangerFouling "exchanger_fouling" on Loop, "share of conductance lost": 0.0 to 0.4 in 0.0..=0.95, relevant 0.2;
    /// The valve's controller is set too sharp and hunts: gain as given, integral time halved.
    ValveHunting "valve_hunting" on Loop, "gain as a multiple": 1.0 to 20.0 in 1.0..=50.0, relevant 7.0;
    /// The valve does not follow small changes.
    ValveDeadband "valve_deadband" on Loop, "change that is not followed, share of stroke": 0.0 to 0.04 in 0.0..=0.5, relevant 0.02;
    /// The valve follows slowly.
    ValveSlow "valve_slow" on Loop, "speed of the valve as a share": 1.0 to 0.02 in 0.001..=1.0, relevant 0.5;
    /// The valve stays where it is told.
    ValveStuck "valve_stuck" on Loop, "position, share of stroke": 0.0 to 0.27 in 0.0..=1.0, relevant 0.0;
    /// Facility water warms.
    FacilityWarming "facility_warming" on Loop, "K per hour": 0.0 to 6.0 in -20.0..=20.0, relevant 0.5 per_hour;

    /// A tray's branch (or, without a node, every branch) is kinked or clogged.
    BranchRestriction "branch_restriction" on Rack, "resistance of the branch as a multiple": 1.0 to 2.5 in 1.0..=100.0, relevant 0.2;
    /// Cold plates foul.
    ColdPlateFouling "cold_plate_fouling" on Rack, "resistance from plate to coolant as a multiple": 1.0 to 1.2 in 1.0..=3.0, relevant 0.072;
    /// Coolant is lost in the rack.
    Leak "leak" on Rack, "L/min": 0.0 to 3.0 in 0.0..=20.0, relevant 1.0;
    /// The rear door fouls, and its water is 3 K too warm at full severity.
    DoorFouling "door_fouling" on Rack, "share of conductance lost": 0.0 to 0.65 in 0.0..=0.95, relevant 0.2;
    /// GPUs throttle although they are cool enough, on one tray or on all.
    Throttling "throttling" on Rack, "share of each minute": 0.0 to 1.0 in 0.0..=1.0, relevant 0.0;

    /// A sensor keeps reporting its last value.
    Stuck "stuck" on Sensor, "not used": 0.0 to 1.0 in 1.0..=1.0, relevant 0.0;
    /// A sensor drifts.
    Drift "drift" on Sensor, "unit of the signal per hour": 0.0 to 0.5 in -100.0..=100.0, relevant 0.25 per_hour;
    /// A sensor is off by a constant.
    Offset "offset" on Sensor, "unit of the signal": 0.0 to 1.0 in -100.0..=100.0, relevant 0.25;
    /// A sensor's scale is wrong.
    Gain "gain" on Sensor, "factor": 1.0 to 1.05 in 0.0..=10.0, relevant 0.02;
    /// A sensor's readings scatter more; without effect on signals that are reported exactly or by a drive.
    Noise "noise" on Sensor, "noise of the sensor as a multiple": 1.0 to 5.0 in 0.0..=50.0, relevant 1.0;
    /// A sensor reports in coarser steps.
    Coarse "coarse" on Sensor, "step in the unit of the signal": 0.0 to 1.0 in 0.001..=100.0, relevant 0.0;

    /// Nothing is reported.
    Gap "gap" on Feed, "not used": 0.0 to 1.0 in 1.0..=1.0, relevant 0.0;
    /// The last report is sent again and again, with its old time.
    Stale "stale" on Feed, "not used": 0.0 to 1.0 in 1.0..=1.0, relevant 0.0;
    /// The reporter's clock is wrong.
    Skew "skew" on Feed, "seconds ahead": 0.0 to 5.0 in -3600.0..=3600.0, relevant 2.0;
    /// Reports arrive late, and so out of order with others.
    Late "late" on Feed, "seconds": 0.0 to 20.0 in 0.0..=3600.0, relevant 0.0;
    /// Every report arrives twice.
    Duplicate "duplicate" on Feed, "not used": 0.0 to 1.0 in 1.0..=1.0, relevant 0.0;
}

impl Fault {
    /// A fault of the kind's usual severity.
    pub fn new(kind: FaultKind, begins: Microseconds) -> Self {
        Self {
            kind,
            begins,
            ramp: Microseconds::ZERO,
            ends: None,
            severity: None,
            signal: None,
            sensor: None,
            node: None,
        }
    }

    /// Severity when fully developed.
    pub fn full_severity(&self) -> f64 {
        self.severity.unwrap_or(self.kind.severity().usual)
    }

    /// Whether it is there at this time from the start, s.
    pub(crate) fn is_active(&self, seconds: f64) -> bool {
        self.begins.as_seconds() <= seconds && self.ends.is_none_or(|ends| seconds < ends.as_seconds())
    }

    /// How bad it is at this time from the start, s; for a rate, what has come together so far.
    pub fn severity_at(&self, seconds: f64) -> f64 {
        let scale = self.kind.severity();
        if !self.is_active(seconds) {
            return scale.none;
        }
        let since = seconds - self.begins.as_seconds();
        let ramp = self.ramp.as_seconds();
        let developed = if since < ramp { since / ramp } else { 1.0 };
        match scale.per_hour {
            // A rate that itself grows over the ramp has added up to half of it by then.
            true if since < ramp => self.full_severity() * developed * since / 2.0 / 3600.0,
            true => self.full_severity() * (since - ramp / 2.0) / 3600.0,
            false => scale.none + developed * (self.full_severity() - scale.none),
        }
    }

    /// When it is large enough to matter, from the start; `None` when it never is.
    fn first_observable(&self) -> Option<Microseconds> {
        let scale = self.kind.severity();
        let distance = (self.full_severity() - scale.none).abs();
        if distance < scale.relevant || (scale.per_hour && distance == 0.0) {
            return None;
        }
        let share = if distance == 0.0 { 0.0 } else { scale.relevant / distance };
        let ramp = self.ramp.as_seconds();
        let seconds = match scale.per_hour {
            true if share * 3600.0 < ramp / 2.0 => (2.0 * share * 3600.0 * ramp).sqrt(),
            true => share * 3600.0 + ramp / 2.0,
            false => share * ramp,
        };
        let at = self.begins + Microseconds((seconds * 1e6).ceil() as i64);
        self.ends.is_none_or(|ends| at < ends).then_some(at)
    }

    /// The truth about it.
    pub(crate) fn label(&self, place: &Place, start: EventTime) -> TruthLabel {
        TruthLabel {
            fault: self.kind,
            place: Place { node: self.node.clone(), ..place.clone() },
            signal: self.signal.clone(),
            sensor: self.sensor.clone(),
            onset: start + self.begins,
            first_observable: self.first_observable().map(|after| start + after),
            end: self.ends.map(|after| start + after),
            severity: self.full_severity(),
        }
    }
}

/// What really happened: the yardstick for findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthLabel {
    /// What went wrong.
    pub fault: FaultKind,
    /// Where.
    pub place: Place,
    /// Which signal, for faults of sensors and feeds.
    pub signal: Option<Name>,
    /// Which of several sensors.
    pub sensor: Option<Name>,
    /// When it started.
    pub onset: EventTime,
    /// When it was first large enough to matter; `None` when it never was.
    pub first_observable: Option<EventTime>,
    /// When it was over; `None` when it stayed.
    pub end: Option<EventTime>,
    /// How bad it was when fully developed.
    pub severity: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: i64) -> Microseconds {
        Microseconds::from_minutes(minutes)
    }

    #[test]
    fn a_ramp_develops_evenly_and_ends_at_once() {
        let mut fault = Fault {
            ramp: minutes(20),
            severity: Some(0.6),
            ..Fault::new(FaultKind::PumpHeadLoss, minutes(60))
        };
        fault.ends = Some(minutes(100));
        let at = |minute: f64| (fault.severity_at(minute * 60.0) * 1e6).round() / 1e6;
        assert_eq!(
            [at(59.9), at(60.0), at(70.0), at(80.0), at(99.9), at(100.0)],
            [0.0, 0.0, 0.3, 0.6, 0.6, 0.0]
        );
        assert_eq!(
            fault.first_observable(),
            Some(minutes(60) + Microseconds::from_seconds(80)),
            ".04 of .6 in 20 min"
        );
    }

    #[test]
    fn a_drift_adds_up_and_becomes_observable_at_its_relevance() {
        let fault = Fault { severity: Some(-0.5), ..Fault::new(FaultKind::Drift, minutes(60)) };
        assert_eq!(fault.severity_at(2.0 * 3600.0), -0.5);
        assert_eq!(fault.severity_at(3.0 * 3600.0), -1.0);
        assert_eq!(fault.first_observable(), Some(minutes(90)));

        let slow = Fault { ramp: minutes(60), ..fault };
        let observable = slow.first_observable().unwrap();
        assert!((slow.severity_at(observable.as_seconds()) + 0.25).abs() < 1e-9, "{observable}");
    }

    #[test]
    fn a_fault_below_relevance_is_never_observable() {
        let fault = Fault { severity: Some(0.5), ..Fault::new(FaultKind::Leak, minutes(60)) };
        assert_eq!(fault.first_observable(), None);
    }

    #[test]
    fn names_are_those_of_the_documents() {
        for kind in FaultKind::ALL {
            let Ok(read) = telemetry::document::read_yaml::<FaultKind>(&telemetry::record::Document {
                name: "kind".into(),
                text: kind.name().into(),
            }) else {
                panic!("{} is not read", kind.name())
            };
            assert_eq!(read, [*kind]);
            let severity = kind.severity();
            assert!((severity.lowest..=severity.highest).contains(&severity.usual), "{}", kind.name());
        }
    }
}
