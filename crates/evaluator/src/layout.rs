//! Where everything is in a partition: made anew from declarations and plan, never kept in snapshots.
//!
//! declared series, plan → **layout** → partition

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telemetry::facts::Measured;
use telemetry::place::Place;
use telemetry::record::SeriesDeclaration;
use telemetry::{Microseconds, Name};

use crate::block::BLOCK;
use crate::configuration::InForce;
use crate::detectors::oscillation::FAST;
use crate::detectors::{DETECTORS, ONLY_WITH_PUMP_CURVE, Rule, Source};
use crate::group::Group;
use crate::headroom;
use crate::objective::Promise;
use crate::plan::{PlannedMember, PlannedOperand, SeriesIndex};
use crate::recovery::{CHANNELS, is_of_loop};
use crate::trust::CalibrationRule;

/// Bits of [`Layout::watched`].
pub(crate) const WATCHED_BY_LIMIT: u8 = 1;
/// A flow that tells of a pump trip.
pub(crate) const WATCHED_AS_FLOW: u8 = 2;

/// Signals whose collapse tells of a pump trip.
const FLOWS: [&str; 2] = ["coolant_flow", "coolant_supply_flow"];

/// Groups whose slices have one length.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    /// That length.
    pub length: Microseconds,
    /// Numbers of the groups.
    pub groups: Vec<usize>,
    /// The series that they read.
    pub series: Vec<u32>,
}

/// The series of one source at one place and below: when most of them fall silent, that is one gap.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    /// A rack, a loop, or a node of a rack.
    pub place: Place,
    /// Who sends them.
    pub source: Name,
    /// The series.
    pub series: Vec<u32>,
}

/// A residual at one place.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// Number of the detector.
    pub detector: usize,
    /// Where.
    pub place: Place,
    /// For each input the series that measure it.
    pub inputs: Vec<Vec<u32>>,
    /// What the pump loses inside itself, kPa/(L/min)², where the residual takes that into account and it is known.
    pub pump_curve: Option<f64>,
}

/// Temperature and, where it is told, power of a GPU.
pub(crate) type GpuSeries = (u32, Option<u32>);

/// What the thermal resistances of a rack's GPUs are made of.
#[derive(Debug, Clone)]
pub(crate) struct Resistances {
    /// The rack.
    pub place: Place,
    /// Supply temperature.
    pub supply: Vec<u32>,
    /// Power of the rack, where GPUs tell none of their own.
    pub power: Vec<u32>,
    /// By tray: temperature and, where it is told, power of each GPU.
    pub trays: Vec<(Place, Vec<GpuSeries>)>,
}

/// A control loop: what it controls, at what, with what.
#[derive(Debug, Clone)]
pub(crate) struct ControlLoop {
    /// The coolant loop; of a rack without one, the rack.
    pub place: Place,
    /// Supply temperature.
    pub supply: Vec<u32>,
    /// Its set point.
    pub set_point: Vec<u32>,
    /// Position of the valve.
    pub valve: Vec<u32>,
    /// Speed of the pump.
    pub pump: Vec<u32>,
    /// Temperature of the facility's water.
    pub water: Vec<u32>,
}

/// The series that a rack's own states need.
#[derive(Debug, Clone)]
pub(crate) struct RackSeries {
    /// Every series of the rack.
    pub all: Vec<u32>,
    /// Those of the rack and of its loop, in order of (signal, place, sensor).
    pub with_loop: Vec<u32>,
    /// Its power.
    pub power: PlannedMember,
    /// Those of each recovery channel.
    pub recovery: [Vec<u32>; CHANNELS.len()],
    /// Those that releases are told apart by.
    pub compared: ComparedSeries,
    /// Those that tell how much power it can sustain.
    pub headroom: headroom::RackSeries,
    /// Supply and return, of which the channel `coolant_delta_t` is made where nobody measures it.
    pub supply_and_return: [Vec<u32>; 2],
}

/// The series that releases are told apart by on a rack; empty where nothing measures it.
#[derive(Debug, Clone)]
pub(crate) struct ComparedSeries {
    /// Its electrical power.
    pub power: Vec<u32>,
    /// Coolant in; its loop's where the rack has no own.
    pub supply: Vec<u32>,
    /// Coolant out.
    pub warm: Vec<u32>,
    /// Coolant through the rack.
    pub flow: Vec<u32>,
    /// Pressure difference over the rack.
    pub differential_pressure: Vec<u32>,
    /// Set point of its coolant.
    pub setpoint: Vec<u32>,
    /// Facility water, else the air at its inlet.
    pub ambient: Vec<u32>,
    /// Temperature and power of each GPU; of all the rack's power where no GPU has its own.
    pub gpus: Vec<(Vec<u32>, Vec<u32>)>,
    /// Counters of thermal throttling.
    pub throttle: Vec<u32>,
}

/// Everything that follows from declarations and plan.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layout {
    /// By length.
    pub slices: Vec<Slices>,
    /// All boundaries are multiples of it.
    pub step: Microseconds,
    /// Reports are kept for the longest slice.
    pub longest_slice: Microseconds,
    /// By series: whether single readings are looked at once they are judged. Of all others only blocks are.
    pub looked_back: Vec<bool>,
    /// By series: whether its readings are looked at as they arrive.
    pub watched: Vec<u8>,
    /// By series: hard limits that it can break, as (group, place in it).
    pub limits: BTreeMap<u32, Vec<(usize, u32)>>,
    /// Racks and loops first, then nodes.
    pub feeds: Vec<Feed>,
    /// By series: its feeds in that order.
    pub feeds_of: Vec<Vec<usize>>,
    /// Residuals of signals that can be told.
    pub components: Vec<Component>,
    /// Racks whose GPUs tell their temperature.
    pub resistances: Vec<Resistances>,
    /// Control loops.
    pub controls: Vec<ControlLoop>,
    /// By series: what it measures, its place with the loop filled in.
    pub measured: Vec<Arc<Measured>>,
    /// By name of the rack.
    pub racks: BTreeMap<Name, RackSeries>,
    /// Series of no rack, in order of (signal, place, sensor).
    pub of_loop: Vec<u32>,
    /// Flows of the loop, else those of its racks.
    pub flows: Vec<u32>,
    /// Valve positions of the loop.
    pub valves: Vec<u32>,
    /// By series: when it is due to be calibrated. Empty where the site file says nothing of that.
    pub calibrations: Vec<Option<CalibrationRule>>,
    /// Of the loop's exchanger: coolant supply, return and flow, facility supply, return and flow.
    pub exchanger: [Vec<u32>; 6],
    /// Groups of signals without physics, at the places that have one of their signals.
    pub watches: Vec<WatchedGroup>,
    /// Of the loop's pump, where it has one: head and speed.
    pub pump: [Vec<u32>; 2],
    /// What tells how much heat the loop can take.
    pub headroom: headroom::LoopSeries,
}

/// A group of signals without physics at a rack, or at a loop.
#[derive(Debug, Clone)]
pub(crate) struct WatchedGroup {
    /// Number of the group in the configuration.
    pub group: usize,
    /// Where.
    pub place: Place,
    /// Series of each of its signals, in its order.
    pub members: Vec<Vec<u32>>,
}

impl Layout {
    /// The places of all series, in order of their numbers.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.measured.iter().map(|measured| &measured.place)
    }

    pub(crate) fn new(
        declarations: &[Arc<SeriesDeclaration>],
        gone: &BTreeSet<u32>,
        index: &SeriesIndex<'_>,
        groups: &[Group],
        in_force: &InForce,
    ) -> Self {
        let count = declarations.len();
        let mut layout = Self {
            step: BLOCK,
            longest_slice: BLOCK,
            watched: vec![0; count],
            feeds_of: vec![Vec::new(); count],
            measured: declarations.iter().map(|declaration| measured(declaration)).map(Arc::new).collect(),
            ..Self::default()
        };
        layout.place_groups(groups, in_force);
        layout.place_feeds(declarations, gone);
        layout.place_components(index, in_force);
        layout.place_resistances(index);
        layout.place_controls(index);
        layout.place_racks(index);
        layout.place_flows(declarations, index);
        layout.place_pump(index);
        layout.place_watches(declarations, gone, in_force);
        layout.place_calibrations(declarations, in_force);
        layout.headroom = headroom::LoopSeries::new(index);
        layout.note_looked_back(count);
        layout.shrink();
        layout
    }

    /// A layout stays for long, and no list in it grows any more.
    fn shrink(&mut self) {
        self.feeds_of.iter_mut().for_each(Vec::shrink_to_fit);
        self.feeds.iter_mut().for_each(|feed| feed.series.shrink_to_fit());
        self.slices.iter_mut().for_each(|slices| slices.series.shrink_to_fit());
        for rack in self.racks.values_mut() {
            rack.all.shrink_to_fit();
            rack.with_loop.shrink_to_fit();
        }
    }

    /// Slices, control loops, the power that gates ask for, and groups without physics read readings.
    fn note_looked_back(&mut self, count: usize) {
        let mut looked_back = vec![false; count];
        let of_slices = self.slices.iter().flat_map(|slices| &slices.series);
        let of_controls = self.controls.iter().flat_map(|control| {
            let ControlLoop { place: _, supply, set_point, valve, pump, water } = control;
            [supply, set_point, valve, pump, water].into_iter().flatten()
        });
        let of_racks = self.racks.values().flat_map(|rack| &rack.power.operands);
        let of_racks = of_racks.flat_map(|operand| &operand.series);
        let of_watches = self.watches.iter().flat_map(|watch| watch.members.iter().flatten());
        for number in of_slices.chain(of_controls).chain(of_racks).chain(of_watches) {
            looked_back[*number as usize] = true;
        }
        self.looked_back = looked_back;
    }

    /// Of several entries of the site file about one sensor the latest counts.
    fn place_calibrations(&mut self, declarations: &[Arc<SeriesDeclaration>], in_force: &InForce) {
        let dates = &in_force.site.calibrations;
        if dates.is_empty() {
            return;
        }
        let rule = |declaration: &Arc<SeriesDeclaration>| {
            let identity = &declaration.identity;
            let place = &identity.place;
            let entries = dates.iter().filter(|entry| {
                entry.signal == identity.signal
                    && (entry.sensor.is_none() || entry.sensor == identity.sensor)
                    && match &entry.rack {
                        Some(_) => place.rack == entry.rack,
                        None => place.rack.is_none() && place.cooling_loop == entry.cooling_loop,
                    }
            });
            let latest = entries.max_by_key(|entry| entry.date)?;
            Some(CalibrationRule { date: latest.date, valid: latest.valid? })
        };
        self.calibrations = declarations.iter().map(rule).collect();
    }

    fn place_groups(&mut self, groups: &[Group], in_force: &InForce) {
        let mut by_length: BTreeMap<Microseconds, (Vec<usize>, Vec<u32>)> = BTreeMap::new();
        for (number, group) in groups.iter().enumerate() {
            let Some(planned) = &group.planned else { continue };
            let objective = &in_force.objectives[planned.objective];
            let (members, series) = by_length.entry(Group::slice(objective)).or_default();
            members.push(number);
            let operands = planned.members.iter().chain(&planned.load).flat_map(|member| &member.operands);
            series.extend(operands.flat_map(|operand| operand.series.iter().copied()));
            if let Promise::HardLimit(_) = objective.promise
                && objective.expression.as_operand().is_some()
            {
                for (member, place) in planned.members.iter().zip(group.numbers()) {
                    for series in member.operands.iter().flat_map(|operand| &operand.series) {
                        self.limits.entry(*series).or_default().push((number, *place));
                        self.watched[*series as usize] |= WATCHED_BY_LIMIT;
                    }
                }
            }
        }
        for (length, (groups, mut series)) in by_length {
            self.step = Microseconds(greatest_common_divisor(self.step.0, length.0));
            self.longest_slice = self.longest_slice.max(length);
            series.sort_unstable();
            series.dedup();
            self.slices.push(Slices { length, groups, series });
        }
    }

    fn place_feeds(&mut self, declarations: &[Arc<SeriesDeclaration>], gone: &BTreeSet<u32>) {
        let mut feeds: BTreeMap<(bool, Place, &Name), Vec<u32>> = BTreeMap::new();
        let present: Vec<u32> =
            (0..).take(declarations.len()).filter(|number| !gone.contains(number)).collect();
        // Series of one place come one after the other, so that most need not be looked for.
        let feed_of = |number: &u32| {
            let SeriesDeclaration { identity, cooling_loop, source, .. } = &*declarations[*number as usize];
            (&identity.place.site, cooling_loop, &identity.place.rack, &identity.place.node, source)
        };
        for series in present.chunk_by(|one, other| feed_of(one) == feed_of(other)) {
            let SeriesDeclaration { source, .. } = &*declarations[series[0] as usize];
            let node = Place { device: None, ..self.measured[series[0] as usize].place.clone() };
            let whole = Place { node: None, ..node.clone() };
            if node.node.is_some() {
                feeds.entry((true, node, source)).or_default().extend(series);
            }
            feeds.entry((false, whole, source)).or_default().extend(series);
        }
        for ((_, place, source), series) in feeds {
            for number in &series {
                self.feeds_of[*number as usize].push(self.feeds.len());
            }
            self.feeds.push(Feed { place, source: source.clone(), series });
        }
    }

    fn place_components(&mut self, index: &SeriesIndex<'_>, in_force: &InForce) {
        for (detector, row) in DETECTORS.iter().enumerate() {
            let Rule::Residual(rule) = &row.rule else { continue };
            match rule.source {
                Source::Signals { inputs, .. } => {
                    let anchors = inputs[0].iter().flat_map(|signal| index.places(signal));
                    for (place, _) in anchors {
                        let at = |choice: &[&str]| {
                            choice.iter().find_map(|signal| index.at_or_above(signal, place)).cloned()
                        };
                        let is_for_curve = |choice: &&&[&str]| choice[0] == ONLY_WITH_PUMP_CURVE;
                        let for_curve = inputs.iter().find(is_for_curve).and_then(|choice| at(choice));
                        let curve = in_force.site.pump_curve(place).zip(for_curve);
                        let others = inputs.iter().filter(|choice| !is_for_curve(choice));
                        if let Some(mut inputs) = others.map(|choice| at(choice)).collect::<Option<Vec<_>>>()
                        {
                            let pump_curve = curve.map(|(curve, flow)| {
                                inputs.push(flow);
                                curve
                            });
                            let place = Place::clone(place);
                            self.components.push(Component { detector, place, inputs, pump_curve });
                        }
                    }
                }
                Source::Pair(signal) => {
                    for (place, series) in index.places(signal) {
                        if let [one, other, ..] = series[..] {
                            let inputs = vec![vec![one], vec![other]];
                            let place = Place::clone(place);
                            self.components.push(Component { detector, place, inputs, pump_curve: None });
                        }
                    }
                }
                Source::RackResistance | Source::TrayResistance => {}
            }
        }
    }

    fn place_resistances(&mut self, index: &SeriesIndex<'_>) {
        let mut racks: BTreeMap<Place, BTreeMap<Place, Vec<GpuSeries>>> = BTreeMap::new();
        for (place, series) in index.places("gpu_temperature") {
            let tray = Place { device: None, ..Place::clone(place) };
            let rack = Place { node: None, ..tray.clone() };
            let power = index.at("gpu_power", place).first().copied();
            let gpus = racks.entry(rack).or_default().entry(tray).or_default();
            gpus.extend(series.iter().map(|number| (*number, power)));
        }
        for (place, trays) in racks {
            let at = |signal| index.at_or_above(signal, &place).cloned();
            if let Some(supply) = at("coolant_supply_temperature") {
                let power = index.at("rack_power", &place).to_vec();
                self.resistances.push(Resistances {
                    supply,
                    power,
                    trays: trays.into_iter().collect(),
                    place,
                });
            }
        }
    }

    fn place_controls(&mut self, index: &SeriesIndex<'_>) {
        const SUPPLY: &str = "coolant_supply_temperature";
        let has_loop = index.places(SUPPLY).any(|(place, _)| place.rack.is_none());
        for (place, supply) in index.places(SUPPLY).filter(|(place, _)| place.rack.is_none() == has_loop) {
            let at = |signal| index.at_or_above(signal, place).cloned().unwrap_or_default();
            self.controls.push(ControlLoop {
                place: Place::clone(place),
                supply: supply.clone(),
                set_point: at("coolant_supply_temperature_setpoint"),
                valve: at("valve_position"),
                pump: at("pump_speed"),
                water: at("facility_supply_temperature"),
            });
        }
        if !self.controls.is_empty() {
            self.step = Microseconds(greatest_common_divisor(self.step.0, FAST.step.0));
        }
    }

    fn place_racks(&mut self, index: &SeriesIndex<'_>) {
        for (place, series) in index.in_order() {
            let Some(rack) = &place.rack else {
                self.of_loop.extend(&series);
                self.racks.values_mut().for_each(|rack| rack.with_loop.extend(&series));
                continue;
            };
            let of_rack = match self.racks.get_mut(rack) {
                Some(known) => known,
                None => {
                    let whole = Place { node: None, device: None, ..Place::clone(place) };
                    let new =
                        RackSeries { with_loop: self.of_loop.clone(), ..RackSeries::new(&whole, index) };
                    self.racks.entry(rack.clone()).or_insert(new)
                }
            };
            of_rack.all.extend(&series);
            of_rack.with_loop.extend(&series);
        }
    }

    fn place_watches(
        &mut self,
        declarations: &[Arc<SeriesDeclaration>],
        gone: &BTreeSet<u32>,
        in_force: &InForce,
    ) {
        for (group, watched) in in_force.watches.iter().enumerate() {
            let mut places: BTreeMap<Place, Vec<Vec<u32>>> = BTreeMap::new();
            for (number, declaration) in (0..).zip(declarations).filter(|(number, _)| !gone.contains(number))
            {
                let signal = &declaration.identity.signal;
                let Some(member) = watched.signals.iter().position(|name| name == signal) else { continue };
                let whole = Place { node: None, device: None, ..declaration.place() };
                let members = places.entry(whole).or_insert_with(|| vec![Vec::new(); watched.signals.len()]);
                members[member].push(number);
            }
            let places = places.into_iter().map(|(place, members)| WatchedGroup { group, place, members });
            self.watches.extend(places);
        }
    }

    fn place_pump(&mut self, index: &SeriesIndex<'_>) {
        let mut of_loop =
            index.places("pump_differential_pressure").filter(|(place, _)| place.rack.is_none());
        if let (Some((place, head)), None) = (of_loop.next(), of_loop.next())
            && let Some(speed) = index.at_or_above("pump_speed", place)
        {
            self.pump = [head.clone(), speed.clone()];
        }
    }

    fn place_flows(&mut self, declarations: &[Arc<SeriesDeclaration>], index: &SeriesIndex<'_>) {
        let of = |signal: &str, of_rack: bool| {
            let is_fitting =
                |number: &&u32| declarations[**number as usize].identity.place.rack.is_some() == of_rack;
            let series = index.places(signal).flat_map(|(_, series)| series);
            series.filter(is_fitting).copied().collect::<Vec<u32>>()
        };
        let of_loop: Vec<u32> = FLOWS.iter().flat_map(|signal| of(signal, false)).collect();
        self.flows = if of_loop.is_empty() {
            FLOWS.iter().flat_map(|signal| of(signal, true)).collect()
        } else {
            of_loop
        };
        for series in &self.flows {
            self.watched[*series as usize] |= WATCHED_AS_FLOW;
        }
        self.valves = of("valve_position", false);
        let loop_flow = FLOWS.iter().map(|signal| of(signal, false)).find(|series| !series.is_empty());
        self.exchanger = [
            of("coolant_supply_temperature", false),
            of("coolant_return_temperature", false),
            loop_flow.unwrap_or_default(),
            of("facility_supply_temperature", false),
            of("facility_return_temperature", false),
            of("facility_flow", false),
        ];
    }
}

impl RackSeries {
    fn new(place: &Place, index: &SeriesIndex<'_>) -> Self {
        let power = index.at("rack_power", place).to_vec();
        let operands =
            vec![PlannedOperand { reduction: telemetry::expression::Reduction::Own, series: power }];
        let mut recovery = CHANNELS.each_ref().map(|channel| {
            if is_of_loop(channel) {
                let of_loop = Place { rack: None, ..place.clone() };
                let mut series = index.within(channel.signal, &of_loop);
                series.retain(|number| index.is_of_loop(*number));
                series
            } else {
                index.within(channel.signal, place)
            }
        });
        // The headroom says all that the temperature could.
        if !recovery[0].is_empty() {
            recovery[1].clear();
        }
        Self {
            all: Vec::new(),
            with_loop: Vec::new(),
            power: PlannedMember { place: Arc::new(place.clone()), operands, is_bit_mask: false, part: 0 },
            recovery,
            compared: ComparedSeries::new(place, index),
            headroom: headroom::RackSeries::new(place, index),
            supply_and_return: ["coolant_supply_temperature", "coolant_return_temperature"]
                .map(|signal| index.at(signal, place).to_vec()),
        }
    }
}

impl ComparedSeries {
    fn new(place: &Place, index: &SeriesIndex<'_>) -> Self {
        let own = |signal: &str| index.at(signal, place).to_vec();
        let nearest = |signal: &str| index.at_or_above(signal, place).cloned().unwrap_or_default();
        let power = own("rack_power");
        let gpus = || index.places("gpu_temperature").filter(|(gpu, _)| crate::plan::is_within(gpu, place));
        // Watts of a GPU and kilowatts of a rack do not go into one median.
        let are_powers_known = gpus().all(|(gpu, _)| !index.at("gpu_power", gpu).is_empty());
        let gpus = gpus()
            .map(|(gpu, temperature)| {
                let power =
                    if are_powers_known { index.at("gpu_power", gpu).to_vec() } else { power.clone() };
                (temperature.clone(), power)
            })
            .collect();
        let facility = nearest("facility_supply_temperature");
        Self {
            supply: nearest("coolant_supply_temperature"),
            warm: own("coolant_return_temperature"),
            flow: own("coolant_flow"),
            differential_pressure: nearest("coolant_differential_pressure"),
            setpoint: nearest("coolant_supply_temperature_setpoint"),
            ambient: if facility.is_empty() { own("air_inlet_temperature") } else { facility },
            throttle: index.within("gpu_thermal_throttle_time", place),
            gpus,
            power,
        }
    }
}

fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

fn measured(declaration: &SeriesDeclaration) -> Measured {
    Measured {
        signal: declaration.identity.signal.clone(),
        place: declaration.place(),
        sensor: declaration.identity.sensor.clone(),
        unit: declaration.unit.clone(),
    }
}
