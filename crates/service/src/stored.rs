//! Rows of the history as the records they were made from, for whoever asks in SQL: one way back for each table.
//!
//! tables of the history → **stored** → `lookup`, `past` and whoever else asks

use arrow::array::RecordBatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Calibration, Sequence, VerdictRecord};
use telemetry::{EventTime, Name};

/// A text as SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of an answer.
///
/// # Errors
/// Which column is not what was asked for.
pub fn rows<T: DeserializeOwned>(batches: &[RecordBatch]) -> Result<Vec<T>, String> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(|error| error.to_string())?;
    }
    writer.finish().map_err(|error| error.to_string())?;
    let bytes = writer.into_inner();
    // The writer writes nothing at all where there are no rows.
    let bytes = if bytes.is_empty() { &b"[]"[..] } else { &bytes[..] };
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// A text that holds JSON.
fn json<'de, D: Deserializer<'de>, T: DeserializeOwned>(text: D) -> Result<T, D::Error> {
    let text = String::deserialize(text)?;
    serde_json::from_str(&text).map_err(serde::de::Error::custom)
}

/// A row of `verdicts`.
#[derive(Deserialize)]
pub struct VerdictRow {
    /// Its position in the log.
    pub seq: Sequence,
    evaluation: Name,
    policy: Name,
    policy_hash: Name,
    #[serde(deserialize_with = "json")]
    scope: Vec<Name>,
    run: Option<Name>,
    verdict: Name,
    answer: String,
    facts: String,
    watermark: i64,
    wait_until: Option<i64>,
    time: i64,
    engine: Name,
}

impl VerdictRow {
    /// What to select.
    pub const COLUMNS: &str = "seq, evaluation, policy, policy_hash, scope, run, verdict, answer, facts, \
         cast(watermark as bigint) as watermark, cast(wait_until as bigint) as wait_until, cast(time as bigint) as time, \
         engine";
}

impl From<VerdictRow> for VerdictRecord {
    fn from(row: VerdictRow) -> Self {
        Self {
            evaluation: row.evaluation,
            policy: row.policy,
            policy_hash: row.policy_hash,
            racks: row.scope,
            run: row.run,
            verdict: row.verdict,
            answer: row.answer,
            facts: row.facts,
            watermark: EventTime::from_unix_micros(row.watermark),
            wait_until: row.wait_until.map(EventTime::from_unix_micros),
            time: EventTime::from_unix_micros(row.time),
            engine: row.engine,
        }
    }
}

/// A row of `calibrations`.
#[derive(Deserialize)]
pub struct CalibrationRow {
    site: Name,
    #[serde(rename = "loop")]
    cooling_loop: Option<Name>,
    rack: Option<Name>,
    node: Option<Name>,
    device: Option<Name>,
    signal: Option<Name>,
    sensor: Option<Name>,
    time: i64,
    kind: Name,
    value: Option<f64>,
    by: String,
    why: String,
    reference: Option<String>,
    calibration: Option<Name>,
}

impl CalibrationRow {
    /// What to select.
    pub const COLUMNS: &str = "site, \"loop\", rack, node, device, signal, sensor, cast(time as bigint) as time, kind, value, \
         by, why, reference, calibration";
}

impl From<CalibrationRow> for Calibration {
    fn from(row: CalibrationRow) -> Self {
        let place = Place {
            site: row.site,
            cooling_loop: row.cooling_loop,
            rack: row.rack,
            node: row.node,
            device: row.device,
        };
        Self {
            calibration: row.calibration.unwrap_or_default(),
            identity: SeriesIdentity::new(place, row.signal.unwrap_or_default(), row.sensor),
            time: EventTime::from_unix_micros(row.time),
            kind: row.kind,
            value: row.value,
            reference: row.reference.unwrap_or_default(),
            by: row.by,
            why: row.why,
        }
    }
}
