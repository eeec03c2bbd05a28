//! How much power a rack can sustain, limit by limit, from what its sensors showed at lower loads.
//!
//! block means → **headroom** → facts, table `headroom`, `/metrics`; `gate` (check `headroom`)
//!
//! Each limit is a line or a law that is learnt from steady blocks and followed to where the limit is reached:
//!
//! | limit | what is learnt | where it is reached |
//! |---|---|---|
//! | chip | rise of each GPU above the coolant by the rack's power | the GPU's slowdown temperature |
//! | return | rise of the coolant by the rack's power | the site file's highest return temperature |
//! | cdu | conductance of the exchanger, flow of the facility's water by the valve | valve open, supply at its set point |
//! | pump | rise of the coolant, speed of the pump | highest rise at full speed, flow by the affinity law |
//! | door | rise of the air by the rack's power, effectiveness of the door by its valve | valve open, room at its set point |
//!
//! Racks of one loop share its exchanger by their nominal powers. The state has a fixed size for a given number of GPUs.

mod exchanger; // the loop: exchanger, valve, facility water
mod line; // a straight line with a prior, its scatter and when it no longer holds
mod quantiles; // what was seen, by frequency
mod rack; // a rack: chips, coolant, pump, door
mod recent; // means of the recent past
mod series; // which series tell of it

pub(crate) use exchanger::{LoopBlock, LoopHeadroom, LoopView};
pub(crate) use rack::{RackBlock, RackHeadroom, RackView, part_of};
pub(crate) use series::{LoopSeries, RackSeries};

use telemetry::Microseconds;
use telemetry::Name;
use telemetry::facts::{PowerInterval, SustainablePower, UnknownReason};

/// Rows are told this often, at multiples of it, and when another limit binds.
pub(crate) const ROWS_EVERY: Microseconds = Microseconds::from_minutes(10);
/// Blocks that must be seen before anything is said.
const BLOCKS_MINIMUM: f64 = 30.0;
/// A standard normal variable is below it with 95 %: both ends together make a 90 % interval.
const Z_95: f64 = 1.645;
/// An estimate whose interval reaches further than this to either side, as a share, is none.
const HALF_WIDTH_MAXIMUM: f64 = 0.25;
/// What was learnt counts for so long after the last block that taught it.
const LEARNT_FOR: Microseconds = Microseconds::from_hours(24);
/// What is true now was seen at most so long ago.
const NOW_FOR: Microseconds = Microseconds::from_minutes(15);

/// An estimate with its standard deviation, or why there is none.
type Estimate = Result<(f64, f64), (UnknownReason, &'static str)>;

/// Too few blocks, or all of them at one load.
const fn uncalibrated<T>(why: &'static str) -> Result<T, (UnknownReason, &'static str)> {
    Err((UnknownReason::Uncalibrated, why))
}

const FEW_BLOCKS: &str = "fewer than 30 blocks of steady load were seen";
const NARROW_LOAD: &str = "the load was seen at one level only: nothing tells how the limit is approached";
const NOT_FOLLOWED: &str = "what was seen does not follow the load";
const WIDE: &str = "what was seen scatters too much for a figure that can be relied on";
const OLD: &str = "no steady load was seen for a day";
const STALE: &str = "the readings that tell of it have stopped";

/// The interval of an estimate in kW: its own standard deviation, and the error of the model as a share.
fn interval(estimate: Estimate, model_error: f64) -> SustainablePower {
    let unknown = |reason, why: &'static str| SustainablePower::Unknown { reason, why: Name::from(why) };
    match estimate {
        Ok((kilowatts, deviation)) => {
            let of_model = model_error * kilowatts;
            let half = Z_95 * (deviation * deviation + of_model * of_model).sqrt();
            if kilowatts.is_finite() && kilowatts > 0.0 && half <= HALF_WIDTH_MAXIMUM * kilowatts {
                let (lower, upper) = (kilowatts - half, kilowatts + half);
                SustainablePower::Known(PowerInterval { kilowatts, lower, upper })
            } else {
                unknown(UnknownReason::NotEnoughEvidence, WIDE)
            }
        }
        Err((reason, why)) => unknown(reason, why),
    }
}

/// The limits that make one not applicable: signals that nobody reports, limits that nobody gave.
fn missing(needed: &[(&'static str, bool)]) -> Option<SustainablePower> {
    let missing: Vec<Name> =
        needed.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| Name::from(*name)).collect();
    (!missing.is_empty()).then_some(SustainablePower::NotApplicable { missing })
}
