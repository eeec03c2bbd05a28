//! The tables of the history: schemas are listed once, here; Arrow, Delta, SQL and documentation follow.

use serde::{Deserialize, Serialize};

use crate::{EventTime, Labels, Name};

/// What a column holds. There are only these, so that every table reads alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or JSON.
    Text,
    /// A moment of event time: UTC, microseconds.
    EventTime,
    /// A day, UTC, as text `2026-01-05`: the only partition column.
    Date,
    /// A number in the unit that the column's meaning tells.
    Number,
    /// A count, a sequence or an id.
    Integer,
    /// True or false.
    Boolean,
    /// Names to values.
    Labels,
    /// Several names.
    Texts,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// Not known or not applicable.
    Null,
    /// For [`Kind::Text`].
    Text(Name),
    /// For [`Kind::EventTime`].
    Time(EventTime),
    /// For [`Kind::Number`].
    Number(f64),
    /// For [`Kind::Integer`].
    Integer(i64),
    /// For [`Kind::Boolean`].
    Boolean(bool),
    /// For [`Kind::Labels`].
    Labels(Labels),
    /// For [`Kind::Texts`].
    Texts(Vec<Name>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&Name> for Cell {
    fn from(text: &Name) -> Self {
        Self::Text(text.clone())
    }
}

impl From<EventTime> for Cell {
    fn from(time: EventTime) -> Self {
        Self::Time(time)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of a table: one cell a column of [`Table::columns`], without `date`, `shard` and `seq`, which the
/// history adds (`date` from the table's time column, `shard` and `seq` from the record that made the row).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which table.
    pub table: Table,
    /// The cells in the order of its columns.
    pub cells: Vec<Cell>,
}

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident $name:literal by $time:literal [$($column:ident $kind:ident $meaning:literal;)*])*) => {
        /// The tables of the history.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Table { $($(#[$doc])* $variant,)* }

        impl Table {
            /// All tables.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in SQL and in the store.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The column that `date` is made from.
            pub const fn time_column(self) -> &'static str {
                match self { $(Self::$variant => $time,)* }
            }

            /// Its own columns, without `date`, `shard` and `seq`.
            pub const fn columns(self) -> &'static [Column] {
                match self {
                    $(Self::$variant => &[$(Column { name: stringify!($column), kind: Kind::$kind, meaning: $meaning },)*],)*
                }
            }
        }
    };
}

tables! {
    /// Every reading that was taken in.
    Samples "samples" by "time" [
        site Text "site name";
        loop Text "coolant loop of the place";
        rack Text "rack name; null for signals of a loop";
        node Text "tray or host";
        device Text "GPU, pump, door, filter …";
        signal Text "what was measured: coolant_supply_temperature, coolant_flow …";
        sensor Text "which of several sensors of one signal and place";
        time EventTime "when the sensor took the reading";
        value Number "reading in the signal's canonical unit; null for a stale marker or a text state";
        flag Text "ok, unusual, late, implausible, sentinel, future, distrusted, stale";
        source_name Text "the metric's name at its source";
        source_unit Text "the unit at its source";
        labels Labels "everything else that the source said about the series";
    ]
    /// 60 s of one series, time-weighted.
    Blocks "blocks" by "time" [
        site Text "site name";
        loop Text "coolant loop of the place";
        rack Text "rack name; null for signals of a loop";
        node Text "tray or host";
        device Text "GPU, pump, door, filter …";
        signal Text "what was measured";
        sensor Text "which of several sensors of one signal and place";
        time EventTime "start of the block";
        mean Number "time-weighted mean over the known time, canonical unit";
        minimum Number "smallest held value";
        maximum Number "largest held value";
        last Number "value held at the end";
        known_seconds Number "known time, s";
        count Integer "readings that were judged";
    ]
    /// State of an objective in a group: at each change, every 60 s, and `final` at a run's end.
    SloStatus "slo_status" by "time" [
        objective Text "objective name";
        group Text "the group as JSON: {\"rack\":\"r1\"}";
        loop Text "loop of the group";
        rack Text "rack of the group";
        scope Text "rolling or run";
        run Text "run id, when scope is run";
        time EventTime "event time of the status";
        window Text "28d, or run";
        good_seconds Number "judged good time, s";
        bad_seconds Number "judged bad time, s";
        unknown_seconds Number "unknown time, s";
        asked_seconds Number "asked time, s";
        sli_known Number "good / (good + bad)";
        sli_lower Number "good / asked";
        sli_upper Number "(good + unknown) / asked";
        coverage Number "known / asked";
        burn_rates Text "burn by window pair as JSON: {\"1h/5m\":0.0}";
        budget_left Number "share of the error budget that is left; negative when overspent";
        episodes Integer "maximal spans of bad time";
        longest_episode_seconds Number "the longest of them, s";
        state Text "PASS, FAIL, INCONCLUSIVE";
        since EventTime "where the window begins";
        final Boolean "whether the run has ended and all its data was awaited";
        configuration Text "hash of the configuration in force";
    ]
    /// Anomalies: a row at detection and one at the end.
    Findings "findings" by "detected" [
        finding Text "id: 16 hex digits";
        detector Text "which detector";
        site Text "site name";
        loop Text "loop";
        rack Text "rack";
        node Text "tray or host";
        device Text "device";
        signal Text "signal it is about";
        sensor Text "sensor it is about";
        severity Text "info, warning, critical";
        onset EventTime "when it began";
        detected EventTime "when it was known";
        ended EventTime "when it ended; null while it lasts";
        cause Text "id of the finding that explains this one";
        residual Number "what was observed";
        baseline Number "what was expected";
        threshold Number "what the difference was compared with";
        unit Text "unit of the three";
        confidence Number "0 to 1";
        suggestion Text "which component to look at";
        evidence Text "what a person needs to check it, as JSON";
    ]
    /// Changes of alerts.
    Alerts "alerts" by "time" [
        alertname Text "CamelCase of objective or detector";
        labels Labels "the alert's identity";
        loop Text "loop";
        rack Text "rack";
        severity Text "page or ticket";
        state Text "inactive, pending, firing, unknown_hold, resolved, suppressed";
        previous Text "the state before";
        since EventTime "since when it has been firing";
        time EventTime "when it changed";
        reason Text "one sentence";
    ]
    /// Verdicts with the facts they were made from.
    Verdicts "verdicts" by "time" [
        evaluation Text "16 hex digits";
        policy Text "policy name";
        policy_hash Text "SHA-256 of the policy";
        scope Text "racks as JSON";
        run Text "run id";
        verdict Text "PASS, WARN, FAIL, INCONCLUSIVE, PENDING";
        answer Text "the whole answer with its checks, JSON";
        facts Text "policy and facts it was made from, JSON";
        watermark EventTime "up to where event time was final";
        wait_until EventTime "when a PENDING answer can change";
        time EventTime "event time of the request";
        engine Text "engine version";
    ]
    /// Changes of runs: the latest row of a run is its state.
    Runs "runs" by "time" [
        run Text "id, unique for ever";
        time EventTime "when this row became true";
        racks Texts "racks";
        stage Text "smoke, canary, rehearsal, soak …";
        versions Labels "image, CUDA, driver, firmware …";
        start EventTime "when it took effect";
        planned_end EventTime "start plus planned length";
        end EventTime "when it ended";
        state Text "active, ended, aborted, abandoned";
        marker Text "what happened, for a mark";
        baselines Text "baselines at its start, JSON";
    ]
    /// Workload labels, attributes of places and trust in sensors, when they change.
    Events "events" by "time" [
        site Text "site name";
        loop Text "loop";
        rack Text "rack";
        node Text "tray or host";
        device Text "device";
        time EventTime "when";
        name Text "which label; trust/SIGNAL or trust/SIGNAL/SENSOR for trust in a sensor";
        old Text "before";
        new Text "now";
        source_name Text "who said so";
    ]
    /// Responsibility taken in spite of a verdict.
    Overrides "overrides" by "time" [
        evaluation Text "the evaluation meant";
        time EventTime "when";
        checks Texts "checks meant; all when empty";
        by Text "who";
        why Text "why";
        until EventTime "it expires then";
    ]
    /// Calibrations and resets of baselines.
    Calibrations "calibrations" by "time" [
        site Text "site name";
        loop Text "loop";
        rack Text "rack";
        node Text "tray or host";
        device Text "device";
        signal Text "signal";
        sensor Text "sensor";
        time EventTime "in force from";
        kind Text "offset or reset";
        value Number "the offset in the signal's unit";
        by Text "who";
        why Text "why";
        reference Text "what the sensor was compared with";
        calibration Text "id: 16 hex digits";
    ]
    /// Work on racks: a row at the start and one at the end.
    Maintenance "maintenance" by "time" [
        rack Text "rack";
        time EventTime "when it started, or ended";
        until EventTime "planned end";
        by Text "who";
        why Text "why";
        ended Boolean "true in the row of its end";
    ]
    /// Drills of the running environment: a row when one begins, and at each step up to its result.
    Drills "drills" by "time" [
        drill Text "id: 16 hex digits";
        class Text "class of fault: pump_trip, leak, gap …";
        site Text "site name";
        loop Text "loop";
        rack Text "rack; null where the fault is the loop's";
        time EventTime "when this row became true";
        severity Number "how grave, in the unit of the class";
        detectors Texts "detectors that name it rightly";
        started EventTime "since when the fault was laid over the telemetry";
        until EventTime "when its time is over";
        ended EventTime "when it was decided; null while it runs";
        detector Text "the right detector that found it";
        detected EventTime "when that one knew it";
        alert_fired EventTime "when its alert fired";
        delay_seconds Number "from started to detected, s";
        result Text "running, passed, failed, cancelled, refused";
        missing Text "what was missing, or why it was refused or broken off";
        by Text "who";
        why Text "why";
    ]
    /// What was said in drills: their findings and alerts, which are in no other table.
    DrillEvents "drill_events" by "time" [
        drill Text "id of the drill";
        time EventTime "when it was said";
        kind Text "finding or alert";
        name Text "detector, or name of the alert";
        site Text "site name";
        loop Text "loop";
        rack Text "rack";
        node Text "tray or host";
        device Text "device";
        severity Text "info, warning, critical; of an alert page or ticket";
        state Text "of a finding begun or ended; of an alert pending, firing, unknown_hold, resolved, suppressed";
        since EventTime "when it began";
        text Text "of a finding its evidence as JSON; of an alert one sentence";
    ]
    /// Sustainable power by rack, limit by limit. A limit that is known has three rows: its estimate and both ends of
    /// its 90 % interval.
    Headroom "headroom" by "time" [
        rack Text "rack";
        time EventTime "when";
        limit Text "ambient and limit: now/chip, design/cdu … (now, design; chip, return, cdu, pump, door)";
        value Number "electrical power that the rack can sustain; null where that is not known";
        unit Text "its unit: kW";
        confidence Number "that the limit is at least that: 0.95, 0.5, 0.05; 0 where it is unknown, null where it is none of this rack's";
    ]
    /// What became of bursts of load, as recovery-time objectives see them. One that is late has a second row once it settles.
    Recoveries "recoveries" by "time" [
        objective Text "objective name";
        loop Text "loop of the group";
        rack Text "rack of the group";
        time EventTime "when that was known";
        burst EventTime "where its time begins to run: start or end of the burst, as the objective says";
        outcome Text "within, late (still out after the limit), late_settled, censored (another step of load came first), unknown (readings were missing)";
        seconds Number "until the signal was back in its band, s; of late how long it had been out; else null";
    ]
    /// The log itself, but for samples: ticks run-length coded, configuration, runs, operators' acts.
    Log "log" by "time" [
        kind Text "tick, configuration, run, calibration, maintenance, drill, override, series";
        time EventTime "event time: last tick at this position";
        body Text "the record as JSON; of ticks {\"first\":…,\"last\":…,\"step\":…}";
    ]
}

impl Table {
    /// The table of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.name() == name)
    }
}

/// 60 s of one series: the compact form of a row of [`Table::Blocks`], whose identity columns the history adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// The partition of the series.
    pub partition: crate::record::PartitionId,
    /// The series.
    pub series: crate::record::SeriesId,
    /// Start of the block.
    pub time: EventTime,
    /// Time-weighted mean over the known time.
    pub mean: f64,
    /// Smallest held value.
    pub minimum: f64,
    /// Largest held value.
    pub maximum: f64,
    /// Value held at the end.
    pub last: f64,
    /// Known time.
    pub known: crate::Microseconds,
    /// Readings judged.
    pub count: u32,
}
