//! A rack that is put on another loop moves to that loop's partition with all that is remembered of it.
//!
//! configuration, declarations → **moving** → partitions

use telemetry::place::{Place, SeriesIdentity};
use telemetry::{EventTime, Labels, Name};

use super::Partition;
use crate::detectors;
use crate::detectors::residual::ResidualState;
use crate::effect::Effects;
use crate::finding::{FindingKey, Outlet};
use crate::group::Group;
use crate::rack::RackState;
use crate::series::Series;

/// A series on its way, and its rack when it is the first of the rack's series to go.
pub(crate) struct Moving {
    series: Series,
    rack: Option<MovingRack>,
    position: Option<EventTime>,
}

struct MovingRack {
    name: Name,
    state: RackState,
    groups: Vec<Group>,
    residuals: Vec<((Name, Place), ResidualState)>,
    ending: Vec<(Name, EventTime)>,
}

impl Partition {
    /// Series that are here, with their numbers.
    pub(crate) fn present(&self) -> impl Iterator<Item = (&SeriesIdentity, u32)> {
        let known = (0..).zip(&self.declarations).filter(|(number, _)| !self.gone.contains(number));
        known.map(|(number, declaration)| (&declaration.identity, number))
    }

    /// Whether a series has moved away.
    pub(crate) fn is_gone(&self, number: u32) -> bool {
        self.gone.contains(&number)
    }

    /// Whether any series has moved away.
    pub(crate) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Gives up a series. Findings and alerts of its rack end here: their places have another name from now on.
    pub(crate) fn give_up(&mut self, number: u32, time: EventTime, effects: &mut Effects) -> Moving {
        let declaration = &self.declarations[number as usize];
        let place = declaration.place();
        let mut series = std::mem::replace(&mut self.series[number as usize], Series::new(declaration));
        series.silent = false;
        self.gone.insert(number);
        self.is_planned = false;
        self.deadlines.wake(number);
        self.flows.remove(&number);
        self.breaches.remove(&number);
        let rack = place.rack.filter(|rack| self.racks.contains_key(rack));
        let rack = rack.and_then(|rack| self.give_up_rack(&rack, time, effects));
        Moving { series, rack, position: self.position }
    }

    fn give_up_rack(&mut self, rack: &Name, time: EventTime, effects: &mut Effects) -> Option<MovingRack> {
        let is_of_rack = |place: &Place| place.rack.as_ref() == Some(rack);
        let keys: Vec<FindingKey> = self
            .findings
            .iter()
            .filter(|finding| is_of_rack(&finding.place))
            .map(|finding| FindingKey {
                detector: finding.detector.clone(),
                place: finding.place.clone(),
                signal: finding.signal.clone(),
                sensor: finding.sensor.clone(),
            })
            .collect();
        let Self { findings, alerts, racks, .. } = self;
        let suppressed = |place: &Place| Self::suppressed(racks, place, time);
        for key in keys {
            if let Some(detector) = detectors::detector(&key.detector) {
                let mut outlet = Outlet { alerts, effects, suppressed: &suppressed };
                findings.close(detector, &key, time, &mut outlet);
            }
        }
        let is_about_rack = |labels: &Labels| labels.get("rack") == Some(rack);
        alerts.end_where(is_about_rack, time, "the rack is on another loop now", effects);
        self.silent_feeds.retain(|(place, _)| !is_of_rack(place));
        let (groups, kept) =
            std::mem::take(&mut self.groups).into_iter().partition(|group| is_of_rack(&group.place));
        self.groups = kept;
        let (residuals, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.residuals).into_iter().partition(|((_, place), _)| is_of_rack(place));
        self.residuals = kept.into_iter().collect();
        let state = self.racks.remove(rack)?;
        let runs = [&state.run, &state.previous_run];
        let ending = self.ending.iter().filter(|(run, _)| runs.contains(&&Some((*run).clone())));
        let ending = ending.map(|(run, end)| (run.clone(), *end)).collect();
        Some(MovingRack { name: rack.clone(), state, groups, residuals, ending })
    }

    /// Takes over a series that was declared here, with what is remembered of it and of its rack.
    pub(crate) fn take_over(&mut self, number: u32, moving: Moving) {
        let declaration = &self.declarations[number as usize];
        let whole = Place { node: None, device: None, ..declaration.place() };
        self.series[number as usize] = moving.series;
        self.deadlines.wake(number);
        self.gone.remove(&number);
        self.is_planned = false;
        self.position = self.position.or(moving.position);
        let Some(rack) = moving.rack else { return };
        let relocated = |place: &Place| Place { cooling_loop: whole.cooling_loop.clone(), ..place.clone() };
        for mut group in rack.groups {
            group.place = relocated(&group.place);
            for member in &mut group.members {
                // Places above the rack are the other loop's.
                if member.place.rack.is_some() {
                    member.place = relocated(&member.place).into();
                }
            }
            group.planned = None;
            group.asked_from = group.asked_from.max(moving.position.unwrap_or(EventTime::MINIMUM));
            self.groups.push(group);
        }
        for ((detector, place), state) in rack.residuals {
            self.residuals.insert((detector, relocated(&place)), state);
        }
        self.ending.extend(rack.ending);
        let mut state = rack.state;
        state.place = whole;
        state.comparison.forget();
        state.headroom.forget();
        state.declared |= self.declarations[number as usize].declared;
        self.racks.insert(rack.name, state);
    }
}
