//! Readings as packed columns: about 11 bytes each before compression.

use telemetry::EventTime;
use telemetry::record::{Flag, SampleBatch, SeriesId};
use wire::log::v1 as proto;

use super::DecodeError;

pub(super) fn samples_to(batch: &SampleBatch) -> proto::Samples {
    let mut before = 0_i64;
    let time_delta = batch.time.iter().map(|time| {
        // Wrapping on both sides: every pair of times reads back.
        let delta = time.unix_micros().wrapping_sub(before);
        before = time.unix_micros();
        delta
    });
    proto::Samples {
        time_delta: time_delta.collect(),
        series: batch.series.iter().map(|series| series.0).collect(),
        value: batch.value.iter().map(|value| value.to_bits()).collect(),
        flag: batch.flag.iter().map(|flag| flag_number(*flag)).collect(),
    }
}

pub(super) fn samples_from(samples: proto::Samples) -> Result<SampleBatch, DecodeError> {
    let length = samples.series.len();
    let columns = [samples.time_delta.len(), samples.value.len()];
    if columns != [length; 2] || !(samples.flag.is_empty() || samples.flag.len() == length) {
        return Err(DecodeError::new(format!(
            "samples with columns of unequal length: {length} series, {} times, {} values, {} flags",
            columns[0],
            columns[1],
            samples.flag.len()
        )));
    }
    let mut now = 0_i64;
    let time = samples.time_delta.into_iter().map(|delta| {
        now = now.wrapping_add(delta);
        EventTime::from_unix_micros(now)
    });
    Ok(SampleBatch {
        time: time.collect(),
        series: samples.series.into_iter().map(SeriesId).collect(),
        value: samples.value.into_iter().map(f64::from_bits).collect(),
        flag: samples.flag.into_iter().map(flag_of_number).collect::<Result<_, _>>()?,
    })
}

/// A flag's number is its position in [`Flag::ALL`]; a test holds this to the protobuf file's words.
fn flag_number(flag: Flag) -> u32 {
    Flag::ALL.iter().position(|known| *known == flag).expect("all flags are in Flag::ALL") as u32
}

fn flag_of_number(number: u32) -> Result<Flag, DecodeError> {
    let unknown = || DecodeError::new(format!("flag {number}, which this version does not know"));
    Flag::ALL.get(number as usize).copied().ok_or_else(unknown)
}
