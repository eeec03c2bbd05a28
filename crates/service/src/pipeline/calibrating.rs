//! Calibrations: checked against the sensors that are known, written to the log, answered once applied.

use telemetry::facts::{Coverage, RackFacts};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Body, Calibration};
use telemetry::signal::{self, SignalKind};
use telemetry::unit::{Unit, conversion};
use telemetry::{EventTime, Name, canonical_json, sha256_hex};

use super::control::{Control, ControlError, not_found, said, stream_record};

/// A calibration that somebody registers.
#[derive(Debug, Clone, Default)]
pub struct NewCalibration {
    /// Made by the caller, so that a repeat is known; may be empty.
    pub request_id: String,
    /// The rack; either this or the loop.
    pub rack: Option<Name>,
    /// The coolant loop.
    pub cooling_loop: Option<Name>,
    /// The tray or host.
    pub node: Option<Name>,
    /// The device.
    pub device: Option<Name>,
    /// The signal; asked for with an offset.
    pub signal: Option<Name>,
    /// Which of several sensors.
    pub sensor: Option<Name>,
    /// What is to be added to its readings, with the unit.
    pub offset: Option<(f64, String)>,
    /// What it was compared with.
    pub reference: String,
    /// Whether baselines are taken anew.
    pub reset_baselines: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// In force from then; now when absent.
    pub time: Option<EventTime>,
}

impl Control {
    /// Registers an offset, a reset of baselines, or both in one synced write.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn calibrate(&self, new: NewCalibration) -> Result<Vec<Calibration>, ControlError> {
        said("by", &new.by)?;
        said("why", &new.why)?;
        if new.offset.is_none() && !new.reset_baselines {
            let message = "give an offset, a reset of baselines, or both; an offset of 0 says that the sensor was found to be right".to_owned();
            return Err(ControlError::Field { field: "offset", message });
        }
        let facts = self.calibrated_place(&new)?;
        let offset = match &new.offset {
            Some((value, unit)) => {
                said("reference", &new.reference)?;
                let series = sensor_of(&facts, &new)?;
                Some((identity_of(series), offset_in_unit_of(series, *value, unit)?))
            }
            None => None,
        };
        let _turn = self.turn.lock().await;
        let progress = self.pipeline.board.progress();
        let now = progress.tick.unwrap_or(EventTime::MINIMUM);
        if let Some(time) = new.time.filter(|time| now < *time) {
            return Err(ControlError::Field {
                field: "time",
                message: format!(
                    "{time} lies ahead of the last tick, {now}: register the calibration once it was made"
                ),
            });
        }
        let time = new.time.unwrap_or(now).max(progress.watermark.unwrap_or(EventTime::MINIMUM));
        let reset = new.reset_baselines.then(|| {
            let place = Place { node: new.node.clone(), device: new.device.clone(), ..facts.place.clone() };
            (SeriesIdentity::new(place, "".into(), None), None)
        });
        let offset = offset.map(|(identity, value)| (identity, Some(value)));
        let calibrations: Vec<Calibration> = offset
            .into_iter()
            .chain(reset)
            .map(|(identity, value)| record(&new, identity, value, time))
            .collect();
        let mut answered = Vec::with_capacity(calibrations.len());
        let mut records = Vec::new();
        for calibration in calibrations {
            match self.lookup.calibration(&calibration.calibration).await? {
                Some(known) if is_same(&known, &calibration) => answered.push(known),
                Some(known) => {
                    return Err(ControlError::State {
                        subject: known.calibration.to_string(),
                        message: format!(
                            "request {:?} has registered another calibration already, of {}: a request id is used once",
                            new.request_id, known.identity
                        ),
                    });
                }
                None => {
                    records.push(stream_record(Body::Calibration(calibration.clone())));
                    answered.push(calibration);
                }
            }
        }
        if !records.is_empty() {
            self.pipeline.append_and_apply(records).await?;
        }
        Ok(answered)
    }

    fn calibrated_place(&self, new: &NewCalibration) -> Result<std::sync::Arc<RackFacts>, ControlError> {
        match (&new.rack, &new.cooling_loop) {
            (Some(rack), None) => {
                self.check_seen(std::slice::from_ref(rack))?;
                self.pipeline.board.rack(rack).ok_or_else(|| not_found("rack", rack, std::iter::empty()))
            }
            (None, Some(name)) => self.pipeline.board.cooling_loop(name).ok_or_else(|| {
                let racks = self.pipeline.board.racks();
                not_found("loop", name, racks.iter().filter_map(|facts| facts.place.cooling_loop.as_deref()))
            }),
            (Some(_), Some(_)) | (None, None) => {
                let message = "give either a rack or a loop: it says where the sensor is".to_owned();
                Err(ControlError::Field { field: "rack", message })
            }
        }
    }
}

/// The one series that is meant.
fn sensor_of<'a>(facts: &'a RackFacts, new: &NewCalibration) -> Result<&'a Coverage, ControlError> {
    let Some(signal) = &new.signal else {
        return Err(ControlError::Field {
            field: "signal",
            message: "is required with an offset".to_owned(),
        });
    };
    let here = || {
        facts.coverage.iter().filter(|series| {
            let place = &series.place;
            place.rack == facts.place.rack && place.node == new.node && place.device == new.device
        })
    };
    let of_signal: Vec<&Coverage> = here().filter(|series| series.signal == *signal).collect();
    if of_signal.is_empty() {
        return Err(not_found("signal", signal, here().map(|series| &*series.signal)));
    }
    let names = || of_signal.iter().filter_map(|series| series.sensor.as_deref());
    match &new.sensor {
        Some(sensor) => of_signal
            .iter()
            .copied()
            .find(|series| series.sensor.as_ref() == Some(sensor))
            .ok_or_else(|| not_found("sensor", sensor, names())),
        None => match of_signal[..] {
            [only] => Ok(only),
            // One of several may have no name; it is meant when none is given.
            _ => of_signal.iter().copied().find(|series| series.sensor.is_none()).ok_or_else(|| {
                ControlError::Field {
                    field: "sensor",
                    message: format!(
                        "{signal} has several sensors there: name one of {}",
                        names().collect::<Vec<_>>().join(", ")
                    ),
                }
            }),
        },
    }
}

fn identity_of(series: &Coverage) -> SeriesIdentity {
    SeriesIdentity::new(series.place.clone(), series.signal.clone(), series.sensor.clone())
}

/// An offset is a difference: of a temperature, kelvins and never a point on a scale.
fn offset_in_unit_of(series: &Coverage, value: f64, unit: &str) -> Result<f64, ControlError> {
    let refused = |field, message| Err(ControlError::Field { field, message });
    let known = signal::find(&series.signal);
    let has_offset = known.is_none_or(|known| match known.kind {
        SignalKind::Gauge => true,
        SignalKind::SetPoint
        | SignalKind::Counter
        | SignalKind::StateCode
        | SignalKind::BitMask
        | SignalKind::Feed => false,
    });
    if !has_offset {
        return refused("signal", format!("{} is no measured quantity: it has no offset", series.signal));
    }
    let Some(canonical) = Unit::parse(&series.unit).map(Unit::as_difference) else {
        return refused(
            "unit",
            format!("{} is in {:?}, in which no offset can be told", series.signal, &*series.unit),
        );
    };
    let given = Unit::parse(unit).map(Unit::as_difference);
    let Some(Ok(conversion)) = given.map(|given| conversion(given, canonical)) else {
        return refused(
            "unit",
            format!("{unit:?} does not fit {}: give the offset in {canonical}", series.signal),
        );
    };
    let offset = conversion.apply(value);
    let widest = known.map_or(f64::MAX, |known| known.span.highest - known.span.lowest);
    if !offset.is_finite() || widest < offset.abs() {
        return refused("offset", format!("{offset} {canonical} is more than {} can be off", series.signal));
    }
    Ok(offset)
}

fn record(
    new: &NewCalibration,
    identity: SeriesIdentity,
    value: Option<f64>,
    time: EventTime,
) -> Calibration {
    let kind = if value.is_some() { "offset" } else { "reset" };
    let reference = if value.is_some() { new.reference.as_str() } else { "" };
    let id = match new.request_id.as_str() {
        // A repeat that gives its time is the same calibration, whatever the watermark is by then.
        "" => {
            canonical_json(&(&identity, new.time.unwrap_or(time), kind, value, &new.by, &new.why, reference))
        }
        request => canonical_json(&(request, kind)),
    };
    Calibration {
        calibration: sha256_hex(&id)[..16].into(),
        identity,
        time,
        kind: kind.into(),
        value,
        reference: reference.to_owned(),
        by: new.by.clone(),
        why: new.why.clone(),
    }
}

/// Whether two are the same but for their time.
fn is_same(one: &Calibration, other: &Calibration) -> bool {
    *one == Calibration { time: one.time, ..other.clone() }
}
