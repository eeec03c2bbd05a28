//! Blocks: 60 s of one series (a multiple for slow feeds) as time-weighted means, which the detectors run on.
//!
//! settled readings → **block** → history, detectors, trends

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

/// The length of a block; slow feeds take a multiple of it.
pub(crate) const BLOCK: Microseconds = Microseconds::from_seconds(60);

/// Sums of the held values while time goes on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockInProgress {
    /// Sum of value × µs.
    weighted: f64,
    known: Microseconds,
    minimum: f64,
    maximum: f64,
    last: f64,
    count: u32,
}

/// A closed block of one series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClosedBlock {
    /// When it began.
    pub start: EventTime,
    /// How long it is.
    pub length: Microseconds,
    /// Time-weighted mean over the known time.
    pub mean: f64,
    /// Smallest held value.
    pub minimum: f64,
    /// Largest held value.
    pub maximum: f64,
    /// The last held value.
    pub last: f64,
    /// Known time.
    pub known: Microseconds,
    /// Readings.
    pub count: u32,
}

impl ClosedBlock {
    /// When it ended.
    pub(crate) fn end(&self) -> EventTime {
        self.start + self.length
    }

    /// Whether at least half of it is known: less says nothing.
    pub(crate) fn is_valid(&self) -> bool {
        self.length.0 <= 2 * self.known.0
    }
}

impl BlockInProgress {
    /// Adds a value that was held for `length`.
    pub(crate) fn add(&mut self, value: f64, length: Microseconds, is_new: bool) {
        self.count += u32::from(is_new);
        if length <= Microseconds::ZERO {
            return;
        }
        let is_first = self.known == Microseconds::ZERO;
        self.minimum = if is_first { value } else { self.minimum.min(value) };
        self.maximum = if is_first { value } else { self.maximum.max(value) };
        self.weighted += value * length.0 as f64;
        self.known += length;
        self.last = value;
    }

    /// The block, with its mean kept between its extremes so that a constant stays that constant.
    pub(crate) fn close(self, start: EventTime, length: Microseconds) -> ClosedBlock {
        let mean = match self.known.0 {
            0 => 0.0,
            known => (self.weighted / known as f64).max(self.minimum).min(self.maximum),
        };
        ClosedBlock {
            start,
            length,
            mean,
            minimum: self.minimum,
            maximum: self.maximum,
            last: self.last,
            known: self.known,
            count: self.count,
        }
    }
}
