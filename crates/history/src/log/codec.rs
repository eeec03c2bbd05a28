//! A record as bytes and back: `proto/thermogate/log/v1/log.proto`.

use std::sync::Arc;

use prost::Message;
use telemetry::drill::{DrillChange, DrillEvent};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Calibration, Configuration, Feed, MaintenanceEvent, Override, PartitionId, PlaceEvent, Record,
    RunChange, RunEvent, RunState, SeriesDeclaration, SeriesId, Temporality, VerdictRecord,
};
use telemetry::{EventTime, Labels, Microseconds, Name};
use wire::log::v1 as proto;
use wire::log::v1::record::Body as ProtoBody;

mod samples; // readings as packed columns

use samples::{samples_from, samples_to};

/// zstd level of texts: they are few and large.
const ZSTD_LEVEL: i32 = 3;

/// Bytes in the log that are not a record of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DecodeError {
    what: String,
}

impl DecodeError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// The record as protobuf.
pub fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_bytes_about(record));
    encode_into(record, &mut bytes);
    bytes
}

/// Adds the record to `bytes`.
pub(super) fn encode_into(record: &Record, bytes: &mut Vec<u8>) {
    let message = proto::Record { partition: record.partition.0, body: Some(body_to(&record.body)) };
    message.encode(bytes).expect("a Vec grows");
}

/// About how many bytes it will take.
pub(super) fn encoded_bytes_about(record: &Record) -> usize {
    match &record.body {
        Body::Samples(batch) => 32 + 13 * batch.len(),
        _ => 256,
    }
}

/// Reads a record; fields that a later version has added are skipped.
///
/// # Errors
/// When the bytes are no record, or say something that this version does not know.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let message =
        proto::Record::decode(bytes).map_err(|error| DecodeError::new(format!("not a record: {error}")))?;
    let body = message.body.ok_or_else(|| {
        DecodeError::new("a record of a kind that this version does not know: use the version that wrote it")
    })?;
    Ok(Record { partition: PartitionId(message.partition), body: body_from(body)? })
}

fn body_to(body: &Body) -> ProtoBody {
    match body {
        Body::Series(series) => ProtoBody::Series(series_to(series)),
        Body::Samples(batch) => ProtoBody::Samples(samples_to(batch)),
        Body::Tick(time) => ProtoBody::Tick(proto::Tick { time: time.unix_micros() }),
        Body::Configuration(configuration) => ProtoBody::Configuration(proto::Configuration {
            hash: configuration.hash.clone(),
            json_zstd: compress(&telemetry::canonical_json(configuration.as_ref())),
        }),
        Body::Run(event) => ProtoBody::Run(run_to(event)),
        Body::Calibration(calibration) => ProtoBody::Calibration(proto::Calibration {
            identity: Some(identity_to(&calibration.identity)),
            time: calibration.time.unix_micros(),
            kind: text(&calibration.kind),
            value: calibration.value,
            by: calibration.by.clone(),
            why: calibration.why.clone(),
            reference: calibration.reference.clone(),
            calibration: text(&calibration.calibration),
        }),
        Body::Maintenance(event) => ProtoBody::Maintenance(proto::Maintenance {
            rack: text(&event.rack),
            time: event.time.unix_micros(),
            until: event.until.map(EventTime::unix_micros),
            by: event.by.clone(),
            why: event.why.clone(),
        }),
        Body::Drill(event) => ProtoBody::Drill(proto::Drill {
            drill: text(&event.drill),
            time: event.time.unix_micros(),
            start: match &event.change {
                DrillChange::Start { rack, class, severity } => {
                    Some(proto::DrillStart { rack: text(rack), class: text(class), severity: *severity })
                }
                DrillChange::Cancel => None,
            },
            by: event.by.clone(),
            why: event.why.clone(),
        }),
        Body::Override(given) => ProtoBody::Override(proto::Override {
            evaluation: text(&given.evaluation),
            time: given.time.unix_micros(),
            checks: given.checks.iter().map(text).collect(),
            by: given.by.clone(),
            why: given.why.clone(),
            until: given.until.unix_micros(),
        }),
        Body::Verdict(verdict) => ProtoBody::Verdict(proto::Verdict {
            evaluation: text(&verdict.evaluation),
            policy: text(&verdict.policy),
            policy_hash: text(&verdict.policy_hash),
            racks: verdict.racks.iter().map(text).collect(),
            run: verdict.run.as_ref().map(text),
            verdict: text(&verdict.verdict),
            answer: verdict.answer.clone(),
            facts_zstd: compress(&verdict.facts),
            watermark: verdict.watermark.unix_micros(),
            wait_until: verdict.wait_until.map(EventTime::unix_micros),
            time: verdict.time.unix_micros(),
            engine: text(&verdict.engine),
        }),
        Body::Event(event) => ProtoBody::Event(proto::PlaceEvent {
            place: Some(place_to(&event.place)),
            time: event.time.unix_micros(),
            name: text(&event.name),
            old: text(&event.old),
            new: text(&event.new),
            source_name: text(&event.source_name),
        }),
    }
}

fn body_from(body: ProtoBody) -> Result<Body, DecodeError> {
    Ok(match body {
        ProtoBody::Series(series) => Body::Series(Arc::new(series_from(series)?)),
        ProtoBody::Samples(samples) => Body::Samples(samples_from(samples)?),
        ProtoBody::Tick(tick) => Body::Tick(time(tick.time)),
        ProtoBody::Configuration(configuration) => {
            let json = decompress(&configuration.json_zstd, "configuration")?;
            let parsed: Configuration = serde_json::from_str(&json)
                .map_err(|error| DecodeError::new(format!("a configuration of another version: {error}")))?;
            Body::Configuration(Box::new(parsed))
        }
        ProtoBody::Run(event) => Body::Run(run_from(event)?),
        ProtoBody::Calibration(calibration) => Body::Calibration(Calibration {
            identity: identity_from(there(calibration.identity, "identity")?)?,
            time: time(calibration.time),
            kind: calibration.kind.into(),
            value: calibration.value,
            by: calibration.by,
            why: calibration.why,
            reference: calibration.reference,
            calibration: calibration.calibration.into(),
        }),
        ProtoBody::Maintenance(event) => Body::Maintenance(MaintenanceEvent {
            rack: event.rack.into(),
            time: time(event.time),
            until: event.until.map(time),
            by: event.by,
            why: event.why,
        }),
        ProtoBody::Drill(event) => Body::Drill(DrillEvent {
            drill: event.drill.into(),
            time: time(event.time),
            change: event.start.map_or(DrillChange::Cancel, |start| DrillChange::Start {
                rack: start.rack.into(),
                class: start.class.into(),
                severity: start.severity,
            }),
            by: event.by,
            why: event.why,
        }),
        ProtoBody::Override(given) => Body::Override(Override {
            evaluation: given.evaluation.into(),
            time: time(given.time),
            checks: names(given.checks),
            by: given.by,
            why: given.why,
            until: time(given.until),
        }),
        ProtoBody::Verdict(verdict) => Body::Verdict(VerdictRecord {
            evaluation: verdict.evaluation.into(),
            policy: verdict.policy.into(),
            policy_hash: verdict.policy_hash.into(),
            racks: names(verdict.racks),
            run: verdict.run.map(Name::from),
            verdict: verdict.verdict.into(),
            answer: verdict.answer,
            facts: decompress(&verdict.facts_zstd, "facts of a verdict")?,
            watermark: time(verdict.watermark),
            wait_until: verdict.wait_until.map(time),
            time: time(verdict.time),
            engine: verdict.engine.into(),
        }),
        ProtoBody::Event(event) => Body::Event(PlaceEvent {
            place: place_from(there(event.place, "place")?),
            time: time(event.time),
            name: event.name.into(),
            old: event.old.into(),
            new: event.new.into(),
            source_name: event.source_name.into(),
        }),
    })
}

fn series_to(series: &SeriesDeclaration) -> proto::Series {
    let (kind, site, name) = match &series.partition {
        PartitionKey::Loop { site, name } => (proto::PartitionKind::Loop, site, text(name)),
        PartitionKey::Rack { site, name } => (proto::PartitionKind::Rack, site, text(name)),
        PartitionKey::Site { site } => (proto::PartitionKind::Site, site, String::new()),
    };
    proto::Series {
        partition_kind: kind.into(),
        partition_site: text(site),
        partition_name: name,
        id: series.id.0,
        identity: Some(identity_to(&series.identity)),
        r#loop: series.cooling_loop.as_ref().map(text),
        declared: series.declared,
        unit: text(&series.unit),
        source: text(&series.source),
        source_name: text(&series.source_name),
        source_unit: text(&series.source_unit),
        temporality: match series.temporality {
            Temporality::Gauge => proto::Temporality::Gauge,
            Temporality::Cumulative => proto::Temporality::Cumulative,
            Temporality::Delta => proto::Temporality::Delta,
        }
        .into(),
        feed: match series.feed {
            Feed::Unsaid => None,
            Feed::Periodic { interval } => Some(proto::series::Feed::Interval(interval.0)),
            Feed::OnChange { republish } => Some(proto::series::Feed::Republish(republish.0)),
        },
        labels: labels_to(&series.labels),
    }
}

fn series_from(series: proto::Series) -> Result<SeriesDeclaration, DecodeError> {
    let site: Name = series.partition_site.as_str().into();
    let name: Name = series.partition_name.as_str().into();
    let temporality = match series.temporality() {
        proto::Temporality::Gauge => Temporality::Gauge,
        proto::Temporality::Cumulative => Temporality::Cumulative,
        proto::Temporality::Delta => Temporality::Delta,
        proto::Temporality::Unspecified => return Err(unknown("temporality", series.temporality)),
    };
    Ok(SeriesDeclaration {
        partition: match series.partition_kind() {
            proto::PartitionKind::Loop => PartitionKey::Loop { site, name },
            proto::PartitionKind::Rack => PartitionKey::Rack { site, name },
            proto::PartitionKind::Site => PartitionKey::Site { site },
            proto::PartitionKind::Unspecified => {
                return Err(unknown("partition kind", series.partition_kind));
            }
        },
        id: SeriesId(series.id),
        identity: identity_from(there(series.identity, "identity")?)?,
        cooling_loop: series.r#loop.map(Name::from),
        declared: series.declared,
        unit: series.unit.into(),
        source: series.source.into(),
        source_name: series.source_name.into(),
        source_unit: series.source_unit.into(),
        temporality,
        feed: match series.feed {
            None => Feed::Unsaid,
            Some(proto::series::Feed::Interval(interval)) => {
                Feed::Periodic { interval: Microseconds(interval) }
            }
            Some(proto::series::Feed::Republish(republish)) => {
                Feed::OnChange { republish: Microseconds(republish) }
            }
        },
        labels: Arc::new(labels_from(series.labels)),
    })
}

fn run_to(event: &RunEvent) -> proto::RunEvent {
    use proto::run_event::Change;
    proto::RunEvent {
        run: text(&event.run),
        time: event.time.unix_micros(),
        change: Some(match &event.change {
            RunChange::Start { racks, stage, versions, planned } => Change::Start(proto::RunStart {
                racks: racks.iter().map(text).collect(),
                stage: text(stage),
                versions: labels_to(versions),
                planned: planned.0,
            }),
            RunChange::End { state } => Change::End(proto::RunEnd {
                state: match state {
                    RunState::Active => proto::RunState::Active,
                    RunState::Ended => proto::RunState::Ended,
                    RunState::Aborted => proto::RunState::Aborted,
                    RunState::Abandoned => proto::RunState::Abandoned,
                }
                .into(),
            }),
            RunChange::Mark { text } => Change::Mark(proto::RunMark { text: text.clone() }),
        }),
    }
}

fn run_from(event: proto::RunEvent) -> Result<RunEvent, DecodeError> {
    use proto::run_event::Change;
    let change = match there(event.change, "change of a run")? {
        Change::Start(start) => RunChange::Start {
            racks: names(start.racks),
            stage: start.stage.into(),
            versions: labels_from(start.versions),
            planned: Microseconds(start.planned),
        },
        Change::End(end) => RunChange::End {
            state: match end.state() {
                proto::RunState::Active => RunState::Active,
                proto::RunState::Ended => RunState::Ended,
                proto::RunState::Aborted => RunState::Aborted,
                proto::RunState::Abandoned => RunState::Abandoned,
                proto::RunState::Unspecified => return Err(unknown("state of a run", end.state)),
            },
        },
        Change::Mark(mark) => RunChange::Mark { text: mark.text },
    };
    Ok(RunEvent { run: event.run.into(), time: time(event.time), change })
}

fn place_to(place: &Place) -> proto::Place {
    proto::Place {
        site: text(&place.site),
        r#loop: place.cooling_loop.as_ref().map(text),
        rack: place.rack.as_ref().map(text),
        node: place.node.as_ref().map(text),
        device: place.device.as_ref().map(text),
    }
}

fn place_from(place: proto::Place) -> Place {
    Place {
        site: place.site.into(),
        cooling_loop: place.r#loop.map(Name::from),
        rack: place.rack.map(Name::from),
        node: place.node.map(Name::from),
        device: place.device.map(Name::from),
    }
}

fn identity_to(identity: &SeriesIdentity) -> proto::Identity {
    proto::Identity {
        place: Some(place_to(&identity.place)),
        signal: text(&identity.signal),
        sensor: identity.sensor.as_ref().map(text),
    }
}

fn identity_from(identity: proto::Identity) -> Result<SeriesIdentity, DecodeError> {
    Ok(SeriesIdentity {
        place: place_from(there(identity.place, "place")?),
        signal: identity.signal.into(),
        sensor: identity.sensor.map(Name::from),
    })
}

fn labels_to(labels: &Labels) -> std::collections::BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn labels_from(labels: std::collections::BTreeMap<String, String>) -> Labels {
    labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn text(name: &Name) -> String {
    name.to_string()
}

fn names(texts: Vec<String>) -> Vec<Name> {
    texts.into_iter().map(Arc::from).collect()
}

const fn time(micros: i64) -> EventTime {
    EventTime::from_unix_micros(micros)
}

fn there<T>(part: Option<T>, what: &str) -> Result<T, DecodeError> {
    part.ok_or_else(|| DecodeError::new(format!("a record without {what}")))
}

fn unknown(what: &str, number: i32) -> DecodeError {
    DecodeError::new(format!("{what} {number}, which this version does not know"))
}

fn compress(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), ZSTD_LEVEL).expect("memory to memory")
}

fn decompress(bytes: &[u8], what: &str) -> Result<String, DecodeError> {
    let torn = |error: &dyn std::fmt::Display| DecodeError::new(format!("a torn {what}: {error}"));
    let plain = zstd::decode_all(bytes).map_err(|error| torn(&error))?;
    String::from_utf8(plain).map_err(|error| torn(&error))
}
