//! Which objective is judged in which groups, from which series: made anew whenever series or objectives change.
//!
//! objectives, declared series → **plan** → groups

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telemetry::Name;
use telemetry::expression::{Expression, Reduction};
use telemetry::place::Place;
use telemetry::record::SeriesDeclaration;
use telemetry::site::RedundancyGroup;

use crate::objective::{AppliesTo, Level, Objective, Promise, Step};

/// An operand's readings at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedOperand {
    /// How they are reduced.
    pub reduction: Reduction,
    /// Their series.
    pub series: Vec<u32>,
}

/// An expression at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedMember {
    /// Where: one and the same of all objectives.
    pub place: Arc<Place>,
    /// One for each operand of the expression, in its order.
    pub operands: Vec<PlannedOperand>,
    /// Its values are bit masks, not counts.
    pub is_bit_mask: bool,
    /// Which part of a composite is judged there; 0 of anything else.
    pub part: u32,
}

/// An objective in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedGroup {
    /// Number of the objective.
    pub objective: usize,
    /// The group.
    pub place: Place,
    /// The places that are judged in it.
    pub members: Vec<PlannedMember>,
    /// The load that must be there, or whose steps are bursts; no operand has a series where it is not measured.
    pub load: Option<PlannedMember>,
}

/// The series of a partition by signal and place.
pub(crate) struct SeriesIndex<'a> {
    by_signal: BTreeMap<&'a str, BTreeMap<Arc<Place>, Vec<u32>>>,
    declarations: &'a [Arc<SeriesDeclaration>],
    redundancy: &'a [RedundancyGroup],
}

impl<'a> SeriesIndex<'a> {
    /// All series but those that are `gone`. Where the site file names a group of redundant sensors, no other sensor of
    /// its signal and place is read in objectives. Elsewhere all sensors of one signal and place measure the same.
    pub(crate) fn new(
        declarations: &'a [Arc<SeriesDeclaration>],
        gone: &BTreeSet<u32>,
        redundancy: &'a [RedundancyGroup],
    ) -> Self {
        let mut by_signal: BTreeMap<&str, BTreeMap<Arc<Place>, Vec<u32>>> = BTreeMap::new();
        let mut places: BTreeSet<Arc<Place>> = BTreeSet::new();
        for (number, declaration) in (0..).zip(declarations).filter(|(number, _)| !gone.contains(number)) {
            let place = declaration.place();
            let place = places.get(&place).cloned().unwrap_or_else(|| {
                let place = Arc::new(place);
                places.insert(place.clone());
                place
            });
            let of_signal = by_signal.entry(&declaration.identity.signal).or_default();
            of_signal.entry(place).or_default().push(number);
        }
        Self { by_signal, declarations, redundancy }
    }

    /// Those of a place's series that the site file names as redundant; all where it names none of them.
    fn redundant(&self, signal: &str, mut series: Vec<u32>) -> Vec<u32> {
        let identity = |number: u32| &self.declarations[number as usize].identity;
        let Some(first) = series.first().map(|number| &identity(*number).place) else { return series };
        let group = self.redundancy.iter().find(|group| {
            *group.signal == *signal
                && match &group.rack {
                    Some(_) => first.rack == group.rack,
                    None => first.rack.is_none() && first.cooling_loop == group.cooling_loop,
                }
        });
        let is_named = |number: u32| {
            let sensor = identity(number).sensor.as_ref();
            group.is_some_and(|group| sensor.is_some_and(|sensor| group.sensors.contains(sensor)))
        };
        if series.iter().any(|number| is_named(*number)) {
            series.retain(|number| is_named(*number));
        }
        series
    }

    /// The places that have a signal, with its series.
    pub(crate) fn places(&self, signal: &str) -> impl Iterator<Item = (&Arc<Place>, &Vec<u32>)> {
        self.by_signal.get(signal).into_iter().flatten()
    }

    /// All places with the series of one signal each, in order of (signal, place); several in order of their sensors.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Arc<Place>, Vec<u32>)> {
        self.by_signal.values().flatten().map(|(place, series)| {
            let mut series = series.clone();
            series.sort_by_key(|number| &self.declarations[*number as usize].identity.sensor);
            (place, series)
        })
    }

    /// The series of a signal at a place, or at the nearest place above that has it.
    pub(crate) fn at_or_above(&self, signal: &str, place: &Place) -> Option<&Vec<u32>> {
        let places = self.by_signal.get(signal)?;
        above(place).find_map(|place| places.get(&place))
    }

    /// The series of a signal at exactly this place.
    pub(crate) fn at(&self, signal: &str, place: &Place) -> &[u32] {
        self.by_signal.get(signal).and_then(|places| places.get(place)).map_or(&[], Vec::as_slice)
    }

    /// Whether a series belongs to no rack.
    pub(crate) fn is_of_loop(&self, series: u32) -> bool {
        self.declarations[series as usize].identity.place.rack.is_none()
    }

    /// The series of a signal at a place and all below it.
    pub(crate) fn within(&self, signal: &str, place: &Place) -> Vec<u32> {
        self.places(signal)
            .filter(|(candidate, _)| is_within(candidate, place))
            .flat_map(|(_, series)| series.iter().copied())
            .collect()
    }

    fn operand(&self, signal: &str, reduction: Reduction, place: &Place) -> PlannedOperand {
        let series = match reduction {
            Reduction::Own => {
                self.redundant(signal, self.at_or_above(signal, place).cloned().unwrap_or_default())
            }
            Reduction::Highest | Reduction::Lowest | Reduction::Median | Reduction::Mean => {
                self.within(signal, place)
            }
        };
        PlannedOperand { reduction, series }
    }

    /// The expression at a place, if it is measured there.
    fn member(&self, expression: &Expression, place: &Arc<Place>) -> Option<PlannedMember> {
        let operands: Vec<PlannedOperand> = expression
            .operands()
            .iter()
            .map(|operand| self.operand(&operand.signal, operand.reduction, place))
            .collect();
        expression.is_measured(|number| !operands[number].series.is_empty()).then(|| PlannedMember {
            place: place.clone(),
            operands,
            is_bit_mask: false,
            part: 0,
        })
    }

    /// All places where the expression can be evaluated.
    fn members(&self, expression: &Expression, level: Level) -> Vec<PlannedMember> {
        let own = expression.operands().iter().filter(|operand| operand.reduction == Reduction::Own);
        let mut places: Vec<Arc<Place>> =
            own.flat_map(|operand| self.places(&operand.signal)).map(|(place, _)| place.clone()).collect();
        if places.is_empty() {
            // Only roll-ups: they are evaluated for the group itself.
            let operands = expression.operands().iter();
            places = operands
                .flat_map(|operand| self.places(&operand.signal))
                .map(|(place, _)| Arc::new(group_of(place, level)))
                .collect();
        }
        places.sort();
        places.dedup();
        places.iter().filter_map(|place| self.member(expression, place)).collect()
    }

    /// The places of all parts, one part after the other.
    fn members_of_parts(&self, objective: &Objective) -> Vec<PlannedMember> {
        let parts = (0..).zip(objective.parts());
        let of_part = |(number, part): (u32, &Objective)| {
            let members = self.members(&part.expression, part.group_by).into_iter();
            members.map(move |member| PlannedMember { part: number, ..member }).collect::<Vec<_>>()
        };
        parts.flat_map(of_part).collect()
    }

    /// Adds the parts of a composite that are measured for a group only as a whole, or above it. Says whether the group is
    /// judged: a loop is no group of what is promised of racks, unless all is measured there.
    fn complete(&self, objective: &Objective, group: &Arc<Place>, members: &mut Vec<PlannedMember>) -> bool {
        let mut is_whole = true;
        for (number, part) in (0..).zip(objective.parts()) {
            if members.iter().all(|member| member.part != number) {
                match self.member(&part.expression, group) {
                    Some(member) => members.push(PlannedMember { part: number, ..member }),
                    None => is_whole = false,
                }
            }
        }
        members.sort_by_key(|member| member.part);
        is_whole || group.rack.is_some() || objective.group_by < Level::Rack
    }

    /// The places that can tell of an episode, by the first of the signals that they have.
    fn witnesses(&self, signals: &[&str]) -> Vec<PlannedMember> {
        let mut members: BTreeMap<&Arc<Place>, PlannedMember> = BTreeMap::new();
        for signal in signals {
            for (place, series) in self.places(signal) {
                members.entry(place).or_insert_with(|| PlannedMember {
                    place: place.clone(),
                    operands: vec![PlannedOperand { reduction: Reduction::Own, series: series.clone() }],
                    is_bit_mask: *signal == "clock_event_reasons",
                    part: 0,
                });
            }
        }
        members.into_values().collect()
    }

    /// Whether bursts of load can be told at a loop. One that has no load of its own is no group of a recovery time,
    /// while a rack without a power meter is one, and unknown.
    fn has_bursts(&self, objective: &Objective, place: &Arc<Place>) -> bool {
        match &objective.promise {
            Promise::RecoveryTime(promise) => match promise.trigger.step {
                Step::Amount(_) => self.member(&promise.trigger.expression, place).is_some(),
                Step::ShareOfNominal(_) => false,
            },
            Promise::TimeInBounds(_) | Promise::HardLimit(_) | Promise::EventRate(_) | Promise::Trend(_) => {
                true
            }
        }
    }

    fn applies(&self, applies_to: AppliesTo, members: &[PlannedMember]) -> bool {
        let is_declared = members
            .iter()
            .flat_map(|member| &member.operands)
            .flat_map(|operand| &operand.series)
            .any(|series| self.declarations[*series as usize].declared);
        match applies_to {
            AppliesTo::All => true,
            AppliesTo::Declared => is_declared,
            AppliesTo::Undeclared => !is_declared,
        }
    }
}

/// The groups of all objectives, in order of (objective, place).
pub(crate) fn plan(objectives: &[Objective], index: &SeriesIndex<'_>) -> Vec<PlannedGroup> {
    let mut groups = Vec::new();
    for (number, objective) in objectives.iter().enumerate() {
        let members = match &objective.promise {
            Promise::EventRate(rate) => index.witnesses(rate.episodes.signals()),
            Promise::TimeInBounds(_)
            | Promise::HardLimit(_)
            | Promise::Trend(_)
            | Promise::RecoveryTime(_) => index.members_of_parts(objective),
        };
        let mut by_group: BTreeMap<Arc<Place>, Vec<PlannedMember>> = BTreeMap::new();
        for member in members {
            by_group.entry(group_of(&member.place, objective.group_by).into()).or_default().push(member);
        }
        if objective.parts().len() > 1 {
            by_group.retain(|place, members| index.complete(objective, place, members));
        }
        by_group.retain(|_, members| index.applies(objective.applies_to, members));
        by_group.retain(|place, _| place.rack.is_some() || index.has_bursts(objective, place));
        groups.extend(by_group.into_iter().map(|(place, members)| PlannedGroup {
            objective: number,
            load: load_of(objective).map(|load| {
                let absent =
                    PlannedMember { place: place.clone(), operands: Vec::new(), is_bit_mask: false, part: 0 };
                index.member(load, &place).unwrap_or(absent)
            }),
            place: Place::clone(&place),
            members,
        }));
    }
    groups
}

/// What is read for the group itself.
fn load_of(objective: &Objective) -> Option<&Expression> {
    match &objective.promise {
        Promise::RecoveryTime(promise) => Some(&promise.trigger.expression),
        Promise::TimeInBounds(_) | Promise::HardLimit(_) | Promise::EventRate(_) | Promise::Trend(_) => {
            objective.validity.as_ref().map(|validity| &validity.expression)
        }
    }
}

/// The place and all above it, from the part to the whole.
fn above(place: &Place) -> impl Iterator<Item = Place> {
    let mut next = Some(place.clone());
    std::iter::from_fn(move || {
        let place = next.take()?;
        let mut wider = place.clone();
        let level = [&mut wider.device, &mut wider.node, &mut wider.rack, &mut wider.cooling_loop]
            .into_iter()
            .find(|level| level.is_some());
        if let Some(level) = level {
            *level = None;
            next = Some(wider);
        }
        Some(place)
    })
}

/// Whether one of two places is a part of the other, loops and their racks included.
pub(crate) fn touches(one: &Place, other: &Place) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// Whether `place` is `whole` or a part of it.
pub(crate) fn is_within(place: &Place, whole: &Place) -> bool {
    let fits = |part: &Option<Name>, whole: &Option<Name>| whole.is_none() || part == whole;
    place.site == whole.site
        && fits(&place.cooling_loop, &whole.cooling_loop)
        && fits(&place.rack, &whole.rack)
        && fits(&place.node, &whole.node)
        && fits(&place.device, &whole.device)
}

/// The group that a place is judged in. A place above the level is its own; a rack without a loop stays a rack.
fn group_of(place: &Place, level: Level) -> Place {
    let mut group = place.clone();
    if level < Level::Device {
        group.device = None;
    }
    if level < Level::Node {
        group.node = None;
    }
    if level < Level::Rack && group.cooling_loop.is_some() {
        group.rack = None;
    }
    if level < Level::Loop && group.rack.is_none() {
        group.cooling_loop = None;
    }
    group
}
