//! A series as a checkpoint has it: its fields in the order of format 4, which is not that of the memory.
//!
//! series → **kept** → checkpoint, and back

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use telemetry::EventTime;
use telemetry::facts::UnknownReason;

use super::points::Points;
use super::scatter::Scatter;
use super::{Latest, Series};
use crate::block::{BlockInProgress, ClosedBlock};
use crate::coverage::KnownTime;
use crate::hold::Hold;
use crate::stuck::Stuck;
use crate::trust::Standing;

#[derive(Serialize, Deserialize)]
#[serde(remote = "Series")]
struct Kept {
    points: Points,
    hold: Hold,
    first: Option<EventTime>,
    latest: Option<Latest>,
    repeats: u32,
    silent: bool,
    fault: Option<UnknownReason>,
    #[allow(clippy::box_collection, reason = "as in `Series`")]
    offsets: Option<Box<Vec<(EventTime, f64)>>>,
    standing: Option<Box<Standing>>,
    total: Option<f64>,
    /// Said by the configuration that is in force.
    #[serde(skip)]
    is_known_signal: bool,
    is_state_code: bool,
    integrated: Option<EventTime>,
    block: BlockInProgress,
    last_block: Option<ClosedBlock>,
    known: KnownTime,
    stuck: Option<Box<Stuck>>,
    scatter: Option<Box<Scatter>>,
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Kept::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Kept::deserialize(deserializer)
    }
}
