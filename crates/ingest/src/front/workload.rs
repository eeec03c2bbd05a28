//! What runs where, as labels say it: a change becomes an event, once for a place, whatever number of series tell it.

use std::collections::HashMap;

use telemetry::place::Place;
use telemetry::record::PlaceEvent;
use telemetry::{EventTime, Name};

/// The latest known value of each workload label at each place.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    numbers: HashMap<(Place, Name), u32>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    name: Name,
    value: Option<Name>,
    /// When it was last said.
    seen: EventTime,
}

/// A change that is not yet known to be in the log.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub slot: u32,
    old: Option<Name>,
    new: Name,
}

impl Workloads {
    pub fn slot(&mut self, place: &Place, name: &Name) -> u32 {
        *self.numbers.entry((place.clone(), name.clone())).or_insert_with(|| {
            self.slots.push(Slot {
                place: place.clone(),
                name: name.clone(),
                value: None,
                seen: EventTime::MINIMUM,
            });
            self.slots.len() as u32 - 1
        })
    }

    /// Takes over what the log says.
    pub fn restore(&mut self, event: &PlaceEvent) {
        let slot = self.slot(&event.place, &event.name) as usize;
        if self.slots[slot].seen <= event.time {
            self.slots[slot].value = Some(event.new.clone());
            self.slots[slot].seen = event.time;
        }
    }

    /// A series says that `value` runs at this time. An event, when that is news.
    ///
    /// What was said for the same time or a later one stands: two pods that share a GPU report side by side, and
    /// neither follows the other.
    #[inline]
    pub fn say(&mut self, slot: u32, value: &mut Name, time: EventTime) -> Option<Change> {
        let known = &mut self.slots[slot as usize];
        match &known.value {
            Some(current) if std::sync::Arc::ptr_eq(current, value) => {}
            Some(current) if current == value => *value = current.clone(),
            Some(_) | None => return self.change(slot, value, time),
        }
        known.seen = known.seen.max(time);
        None
    }

    fn change(&mut self, slot: u32, value: &Name, time: EventTime) -> Option<Change> {
        let known = &mut self.slots[slot as usize];
        if time <= known.seen && known.value.is_some() {
            return None;
        }
        if known.value.is_none() && value.is_empty() {
            return None;
        }
        let old = known.value.replace(value.clone());
        known.seen = time;
        Some(Change { slot, old, new: value.clone() })
    }

    /// The change as a record.
    pub fn event(&self, change: &Change, time: EventTime, source_name: &Name) -> PlaceEvent {
        let Slot { place, name, .. } = &self.slots[change.slot as usize];
        PlaceEvent {
            place: place.clone(),
            time,
            name: name.clone(),
            old: change.old.clone().unwrap_or_else(|| "".into()),
            new: change.new.clone(),
            source_name: source_name.clone(),
        }
    }

    /// Forgets a change that did not get into the log, unless another came after it.
    pub fn withdraw(&mut self, change: &Change) {
        let slot = &mut self.slots[change.slot as usize];
        if slot.value.as_ref() == Some(&change.new) {
            slot.value.clone_from(&change.old);
            slot.seen = EventTime::MINIMUM;
        }
    }
}
