//! What a rack's own parts can take: chips, coolant, pump and rear door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::facts::{
    Ambient, Constraint, Headroom, PowerInterval, Sustainable, SustainablePower, UnknownReason,
};
use telemetry::{EventTime, Microseconds};

use super::exchanger::held_supply;
use super::line::{Fit, Line, Prior};
use super::quantiles::Quantiles;
use super::recent::Recent;
use super::series::Gpu;
use super::{
    Estimate, LEARNT_FOR, NARROW_LOAD, NOT_FOLLOWED, NOW_FOR, RackSeries, STALE, interval, missing,
    uncalibrated,
};
use crate::block::BLOCK;

/// Where a GPU slows down when neither it nor the site file says so, °C: below what makers' GPUs report.
const GPU_LIMIT_DEFAULT: f64 = 85.0;
/// The highest rise of the coolant when the site file gives no limit of `coolant_delta_t`, K: that of the compiled-in
/// objective `coolant-dt`.
const RISE_LIMIT_DEFAULT: f64 = 12.0;
/// Powers must have varied by this share of the nominal one (standard deviation) for a line to be followed beyond them.
const SPREAD_MINIMUM: f64 = 0.03;
/// GPUs whose line must be known, in per cent: the hottest may be among the others.
const GPUS_KNOWN_MINIMUM: usize = 90;
/// Lines of GPUs that are kept for a rack.
const GPUS_MAXIMUM: usize = 1_024;
/// A flow that differs from the one that lines were learnt at by more than this share, for so many blocks, makes them
/// void: resistances go with the flow.
const FLOW_OFF: f64 = 0.05;
const FLOW_OFF_BLOCKS: u32 = 5;
const FLOW_BLOCKS: u32 = 60;
const NOW_BLOCKS: u32 = 15;
/// An opening of the door's valve, %, and a difference between its air and water, K, below which it tells nothing.
const DOOR_VALVE_MINIMUM: f64 = 5.0;
const DOOR_DIFFERENCE_MINIMUM: f64 = 2.0;
/// Beyond this effectiveness the temperature at the door's ceiling cannot be told.
const EFFECTIVENESS_MAXIMUM: f64 = 0.97;
/// Coverage is looked at over so many blocks: an hour.
const COVERAGE_BLOCKS: u32 = 60;

/// Why nothing is said while a sensor is doubted.
pub(super) const DOUBTED: &str = "a sensor that tells of it is doubted: see the findings";

/// Rise of a GPU above the coolant, K. The offset is that of thermometers and of what the rack draws at idle.
const CHIP: Prior =
    Prior { offset: (0.0, 2.0), slope: (0.0, f64::INFINITY), scatter_floor: 0.3, off: (0.06, 1.0) };
/// Rise of the coolant, K: offsets of two thermometers.
const RISE: Prior =
    Prior { offset: (0.0, 0.3), slope: (0.0, f64::INFINITY), scatter_floor: 0.05, off: (0.06, 0.4) };
/// Rise of the air, K.
const AIR: Prior =
    Prior { offset: (0.0, 0.3), slope: (0.0, f64::INFINITY), scatter_floor: 0.08, off: (0.06, 0.5) };
/// ln of the door's effectiveness by ln of its valve's opening.
const DOOR: Prior =
    Prior { offset: (0.0, f64::INFINITY), slope: (1.0, 0.5), scatter_floor: 0.01, off: (0.0, 0.1) };
/// Standard deviations of what lines and laws leave out, sensors' errors among it, as shares: from the same model that
/// the method was tried on.
const CHIP_ERROR: f64 = 0.015;
const RISE_ERROR: f64 = 0.015;
const DOOR_ERROR: f64 = 0.03;

/// A block of the rack: what is known of it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct RackBlock<'a> {
    /// Whether lines may be learnt from it: its load rests, nobody works on it, no sensor is doubted, no GPU is slowed
    /// down by heat.
    pub is_telling: bool,
    pub power: Option<f64>,
    pub supply: Option<f64>,
    pub setpoint: Option<f64>,
    pub warm: Option<f64>,
    pub flow: Option<f64>,
    pub pump_speed: Option<f64>,
    pub inlet: Option<f64>,
    pub exhaust: Option<f64>,
    pub door_outlet: Option<f64>,
    pub door_water: Option<f64>,
    pub door_valve: Option<f64>,
    pub room_setpoint: Option<f64>,
    /// Temperature and, where it is told, limit of each GPU, in order of their names.
    pub gpus: Vec<(&'a Gpu, Option<f64>, Option<f64>)>,
}

/// What is learnt of a GPU.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Chip {
    line: Line,
    limit: Option<f64>,
}

/// What is learnt of a rack.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RackHeadroom {
    chips: BTreeMap<Gpu, Chip>,
    rise: Line,
    air: Line,
    door: Line,
    /// The flow that chips and rise were learnt at, and for how many blocks another one was seen.
    flow: Recent,
    flow_off_blocks: u32,
    supply: Recent,
    setpoint: Recent,
    pump_speed: Recent,
    inlet: Recent,
    room_setpoint: Recent,
    door_water: Recent,
    door_water_seen: Quantiles,
    /// A bit a block, the newest lowest: whether power and supply were known; and how many count.
    known_blocks: u64,
    asked_blocks: u32,
    /// As it was last found.
    pub latest: Option<Headroom>,
}

/// What else decides of a rack's limits.
#[derive(Debug, Clone)]
pub(crate) struct RackView {
    pub now: EventTime,
    /// kW.
    pub nominal: Option<f64>,
    /// Limits of the site file: GPU, coolant return, rise of the coolant, exhaust air; °C and K.
    pub gpu_limit: Option<f64>,
    pub return_limit: Option<f64>,
    pub rise_limit: Option<f64>,
    pub exhaust_limit: Option<f64>,
    /// A sensor of the rack, or of its loop, is doubted.
    pub is_doubted: bool,
    pub is_loop_doubted: bool,
    /// What the loop's exchanger leaves to this rack, as it is now and at design ambient.
    pub cdu: [SustainablePower; 2],
    /// °C.
    pub design_water: Option<f64>,
}

/// What is known of each of some GPUs. Both are in order of their names, so that none has to be looked for.
fn side_by_side<'a, Known>(
    chips: impl Iterator<Item = (&'a Gpu, Known)>,
    gpus: impl Iterator<Item = &'a Gpu>,
) -> impl Iterator<Item = Option<Known>> {
    let mut chips = chips.peekable();
    gpus.map(move |gpu| {
        let same = chips.next_if(|(known, _)| *known == gpu);
        let known = same.or_else(|| {
            while chips.next_if(|(known, _)| *known < gpu).is_some() {}
            chips.next_if(|(known, _)| *known == gpu)
        });
        known.map(|(_, chip)| chip)
    })
}

impl RackHeadroom {
    /// Forgets what it has learnt: parts were changed.
    pub(crate) fn forget(&mut self) {
        let Self { known_blocks, asked_blocks, .. } = *self;
        *self = Self { known_blocks, asked_blocks, ..Self::default() };
    }

    /// Takes the block that ends at `end`.
    pub(crate) fn observe(&mut self, end: EventTime, block: &RackBlock<'_>) {
        let is_known = block.power.is_some() && block.supply.is_some();
        self.known_blocks = (self.known_blocks << 1) | u64::from(is_known);
        self.asked_blocks = (self.asked_blocks + 1).min(COVERAGE_BLOCKS);
        let note = |recent: &mut Recent, value: Option<f64>, memory: u32| {
            if let Some(value) = value {
                recent.add(end, value, memory);
            }
        };
        note(&mut self.supply, block.supply, NOW_BLOCKS);
        note(&mut self.setpoint, block.setpoint, 1);
        note(&mut self.pump_speed, block.pump_speed, NOW_BLOCKS);
        note(&mut self.inlet, block.inlet, NOW_BLOCKS);
        note(&mut self.room_setpoint, block.room_setpoint, 1);
        note(&mut self.door_water, block.door_water, NOW_BLOCKS);
        if let Some(water) = block.door_water {
            self.door_water_seen.add(end, water);
        }
        self.follow_flow(end, block.flow);
        let known = side_by_side(self.chips.iter_mut(), block.gpus.iter().map(|(gpu, ..)| *gpu));
        for (chip, (_, _, limit)) in known.zip(&block.gpus) {
            if let Some(chip) = chip {
                chip.limit = limit.or(chip.limit);
            }
        }
        if block.is_telling {
            self.learn(end, block);
        }
    }

    /// Lines of another flow are void.
    fn follow_flow(&mut self, end: EventTime, flow: Option<f64>) {
        let Some(flow) = flow.filter(|flow| *flow > 0.0) else { return };
        let learnt_at = self.flow.mean(end, Microseconds(i64::MAX));
        let is_off = learnt_at.is_some_and(|learnt_at| (flow - learnt_at).abs() > FLOW_OFF * learnt_at);
        self.flow_off_blocks = if is_off { self.flow_off_blocks + 1 } else { 0 };
        if FLOW_OFF_BLOCKS <= self.flow_off_blocks {
            self.flow_off_blocks = 0;
            self.flow = Recent::default();
            self.rise.forget();
            self.chips.values_mut().for_each(|chip| chip.line.forget());
        }
        if !is_off || self.flow_off_blocks == 0 {
            self.flow.add(end, flow, FLOW_BLOCKS);
        }
    }

    fn learn(&mut self, end: EventTime, block: &RackBlock<'_>) {
        let Some(power) = block.power.filter(|power| *power > 0.0) else { return };
        if let Some(supply) = block.supply {
            let mut new = Vec::new();
            let known = side_by_side(self.chips.iter_mut(), block.gpus.iter().map(|(gpu, ..)| *gpu));
            for (chip, (gpu, temperature, limit)) in known.zip(&block.gpus) {
                let Some(temperature) = temperature else { continue };
                let mut first = Chip { line: Line::default(), limit: *limit };
                let is_new = chip.is_none();
                chip.unwrap_or(&mut first).line.add(&CHIP, end, power, temperature - supply);
                if is_new {
                    new.push((Gpu::clone(gpu), first));
                }
            }
            let room = GPUS_MAXIMUM.saturating_sub(self.chips.len());
            self.chips.extend(new.into_iter().take(room));
            if let Some(warm) = block.warm {
                self.rise.add(&RISE, end, power, warm - supply);
            }
        }
        let Some((inlet, exhaust)) = block.inlet.zip(block.exhaust) else { return };
        self.air.add(&AIR, end, power, exhaust - inlet);
        let door = block.door_outlet.zip(block.door_water).zip(block.door_valve);
        let Some(((outlet, water), valve)) = door else { return };
        let (taken, most) = (exhaust - outlet, exhaust - water);
        if valve >= DOOR_VALVE_MINIMUM && most > DOOR_DIFFERENCE_MINIMUM && taken > 0.0 && taken < most {
            self.door.add(&DOOR, end, libm::log(valve / 100.0), libm::log(taken / most));
        }
    }

    /// The limits as they follow from all that was seen; also kept as [`Self::latest`].
    pub(crate) fn find(&mut self, series: &RackSeries, view: &RackView) -> &Headroom {
        let limits = |ambient: Ambient| -> Vec<Sustainable> {
            Constraint::ALL
                .into_iter()
                .map(|constraint| Sustainable {
                    constraint,
                    power: self.limit(constraint, ambient, series, view),
                })
                .collect()
        };
        let counted = self.known_blocks & mask(self.asked_blocks);
        let minutes = |blocks: u32| Microseconds(i64::from(blocks) * BLOCK.0);
        let headroom = Headroom {
            time: view.now,
            nominal_kilowatts: view.nominal,
            known: minutes(counted.count_ones()),
            asked: minutes(self.asked_blocks),
            design_water_celsius: view.design_water,
            now: limits(Ambient::Now),
            design: limits(Ambient::Design),
        };
        self.latest.insert(headroom)
    }

    fn limit(
        &self,
        constraint: Constraint,
        ambient: Ambient,
        series: &RackSeries,
        view: &RackView,
    ) -> SustainablePower {
        let has = |series: &[u32]| !series.is_empty();
        let power = ("rack_power", has(&series.power));
        let supply = ("coolant_supply_temperature", has(&series.supply));
        let warm = ("coolant_return_temperature", has(&series.warm));
        let judged = |needed: &[(&'static str, bool)], doubted: bool, error, find: &dyn Fn() -> Estimate| {
            missing(needed).unwrap_or_else(|| {
                interval(if doubted { Err((UnknownReason::Distrusted, DOUBTED)) } else { find() }, error)
            })
        };
        match constraint {
            Constraint::Chip => {
                let needed = [power, supply, ("gpu_temperature", !series.gpus.is_empty())];
                judged(&needed, view.is_doubted, CHIP_ERROR, &|| self.chip(ambient, series, view))
            }
            Constraint::Return => {
                let limit = ("limits.coolant_return_temperature", view.return_limit.is_some());
                let needed = [power, supply, warm, limit];
                judged(&needed, view.is_doubted, RISE_ERROR, &|| self.coolant_return(ambient, view))
            }
            Constraint::Cdu => match ambient {
                Ambient::Now => view.cdu[0].clone(),
                Ambient::Design => view.cdu[1].clone(),
            },
            Constraint::Pump => {
                let needed = [power, supply, warm, ("pump_speed", has(&series.pump_speed))];
                let is_doubted = view.is_doubted || view.is_loop_doubted;
                judged(&needed, is_doubted, RISE_ERROR, &|| self.pump(view))
            }
            Constraint::Door => {
                let needed = [
                    power,
                    ("air_inlet_temperature", has(&series.inlet)),
                    ("air_exhaust_temperature", has(&series.exhaust)),
                    ("door_air_outlet_temperature", has(&series.door_outlet)),
                    ("door_water_supply_temperature", has(&series.door_water)),
                    ("door_valve_position", has(&series.door_valve)),
                ];
                judged(&needed, view.is_doubted, DOOR_ERROR, &|| self.door(ambient, view))
            }
        }
    }

    /// Coolant at the rack, °C.
    fn supply_at(&self, ambient: Ambient, view: &RackView) -> Result<f64, (UnknownReason, &'static str)> {
        let supply = match ambient {
            Ambient::Now => self.supply.mean(view.now, NOW_FOR),
            Ambient::Design => held_supply(&self.supply, &self.setpoint, view.now),
        };
        supply.ok_or((UnknownReason::Stale, STALE))
    }

    /// The GPU that reaches its limit first.
    fn chip(&self, ambient: Ambient, series: &RackSeries, view: &RackView) -> Estimate {
        let supply = self.supply_at(ambient, view)?;
        let mut lowest: Option<(f64, f64)> = None;
        let mut known = 0;
        let mut why = uncalibrated(super::FEW_BLOCKS);
        let chips = side_by_side(self.chips.iter(), series.gpus.iter().map(|gpu| &gpu.gpu));
        for chip in chips.flatten() {
            let limit = match (chip.limit, view.gpu_limit) {
                (Some(own), Some(given)) => own.min(given),
                (Some(limit), None) | (None, Some(limit)) => limit,
                (None, None) => GPU_LIMIT_DEFAULT,
            };
            match followed(&chip.line, &CHIP, view).and_then(|fit| reached(&fit, limit - supply)) {
                Ok(power) => {
                    known += 1;
                    if lowest.is_none_or(|(lowest, _)| power.0 < lowest) {
                        lowest = Some(power);
                    }
                }
                Err(reason) => why = Err(reason),
            }
        }
        match lowest {
            Some(power) if series.gpus.len() * GPUS_KNOWN_MINIMUM <= known * 100 => Ok(power),
            Some(_) | None => why,
        }
    }

    fn coolant_return(&self, ambient: Ambient, view: &RackView) -> Estimate {
        let supply = self.supply_at(ambient, view)?;
        let limit = view.return_limit.unwrap_or(f64::NAN);
        reached(&followed(&self.rise, &RISE, view)?, limit - supply)
    }

    /// At full speed the flow is greater by the affinity law, V ~ s, and the rise smaller.
    fn pump(&self, view: &RackView) -> Estimate {
        let speed = self.pump_speed.mean(view.now, NOW_FOR).ok_or((UnknownReason::Stale, STALE))? / 100.0;
        if speed <= 0.0 {
            return Err((UnknownReason::NotEnoughEvidence, "the pump stands still"));
        }
        let limit = view.rise_limit.unwrap_or(RISE_LIMIT_DEFAULT);
        reached(&followed(&self.rise, &RISE, view)?, limit / speed.min(1.0))
    }

    /// With its valve open the door holds the room at its set point up to an exhaust temperature of
    /// (T_room − ε T_water) / (1 − ε); the site's highest exhaust temperature may be below.
    fn door(&self, ambient: Ambient, view: &RackView) -> Estimate {
        let air = followed(&self.air, &AIR, view)?;
        self.door.is_learnt(view.now, LEARNT_FOR)?;
        let Some(fit) = self.door.fit(&DOOR) else { return uncalibrated(NOT_FOLLOWED) };
        let (logarithm, of_logarithm) = fit.at_zero();
        let effectiveness = libm::exp(logarithm);
        if effectiveness > EFFECTIVENESS_MAXIMUM {
            return Err((UnknownReason::NotEnoughEvidence, super::WIDE));
        }
        let stale = (UnknownReason::Stale, STALE);
        let inlet = self.inlet.mean(view.now, NOW_FOR).ok_or(stale)?;
        let room = self.room_setpoint.mean(view.now, LEARNT_FOR).unwrap_or(inlet);
        let water_now = self.door_water.mean(view.now, NOW_FOR).ok_or(stale)?;
        let water = match ambient {
            Ambient::Now => water_now,
            Ambient::Design => self.door_water_seen.quantile(99).unwrap_or(water_now),
        };
        let left = 1.0 - effectiveness;
        let ceiling = (room - effectiveness * water) / left;
        let of_ceiling = effectiveness * of_logarithm * (room - water) / (left * left);
        let (highest, of_highest) = match view.exhaust_limit {
            Some(limit) if limit < ceiling => (limit, 0.0),
            Some(_) | None => (ceiling, of_ceiling),
        };
        let (power, deviation) = reached(&air, highest - room)?;
        let of_door = of_highest / air.slope;
        Ok((power, (deviation * deviation + of_door * of_door).sqrt()))
    }
}

/// The lowest bits.
const fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// A line that may be followed beyond the loads that were seen.
fn followed(line: &Line, prior: &Prior, view: &RackView) -> Result<Fit, (UnknownReason, &'static str)> {
    line.is_learnt(view.now, LEARNT_FOR)?;
    let Some(nominal) = view.nominal else {
        return uncalibrated("the rack's nominal power is not known yet");
    };
    if line.spread() < SPREAD_MINIMUM * nominal {
        return uncalibrated(NARROW_LOAD);
    }
    line.fit(prior).ok_or((UnknownReason::Uncalibrated, NOT_FOLLOWED))
}

fn reached(fit: &Fit, value: f64) -> Estimate {
    fit.reaches(value).ok_or((UnknownReason::NotEnoughEvidence, NOT_FOLLOWED))
}

/// What a loop's limit leaves to a rack: its part by nominal power.
pub(crate) fn part_of(whole: &SustainablePower, share: Option<f64>) -> SustainablePower {
    match (whole, share) {
        (SustainablePower::Known(interval), Some(share)) => SustainablePower::Known(PowerInterval {
            kilowatts: share * interval.kilowatts,
            lower: share * interval.lower,
            upper: share * interval.upper,
        }),
        (SustainablePower::Known(_), None) => SustainablePower::Unknown {
            reason: UnknownReason::Uncalibrated,
            why: "the nominal power of a rack of the loop is not known yet".into(),
        },
        (SustainablePower::Unknown { .. } | SustainablePower::NotApplicable { .. }, _) => whole.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_gpus_is_found_beside_them_whichever_are_missing() {
        let all: Vec<Gpu> = (0..9).map(|number| (None, Some(number.to_string().into()))).collect();
        let of = |mask: usize| (0..9_usize).filter(move |number| mask >> number & 1 == 1);
        for known in 0..512 {
            let asked = known * 37 % 512;
            let found: Vec<Option<usize>> = side_by_side(
                of(known).map(|number| (&all[number], number)),
                of(asked).map(|number| &all[number]),
            )
            .collect();
            let expected: Vec<Option<usize>> =
                of(asked).map(|number| (known >> number & 1 == 1).then_some(number)).collect();
            assert_eq!(found, expected, "{known:b} known, {asked:b} asked");
        }
    }
}
