//! From a series' key to where its samples go, without looking at its labels again.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use telemetry::Name;
use telemetry::mapping::ReadingRules;
use telemetry::record::{PartitionId, SeriesId};

use crate::report::Reason;

/// What happens to the samples of a key.
///
/// Most routes are stored ones, and they lie one behind the other without a pointer between: what a sample needs of
/// its route is then mostly on its way before it is asked for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub(super) enum Route {
    /// They are stored.
    Stored(Stored),
    /// The metric is not known; they are counted.
    Counted,
    /// The metric carries no reading.
    Ignored,
    /// They are refused.
    Refused { reason: Reason, message: String },
}

/// A key whose samples are stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// Whether the series' declaration is known to be in the log.
    pub confirmed: bool,
    pub partition: PartitionId,
    pub id: SeriesId,
    /// Position in the registry.
    pub series: u32,
    /// Whether it is only kept, not mapped.
    pub unmapped: bool,
    /// What runs there as these labels say: the value's slot, and the value.
    pub workload: Vec<(u32, Name)>,
    /// What is made of its readings: the same of many series.
    pub rules: Arc<ReadingRules>,
    /// The metric's name at its source.
    pub source_name: Name,
}

/// All keys seen, found by their bytes. Bounded: when full, it is emptied and fills again.
#[derive(Debug)]
pub(super) struct Routes {
    hasher: RandomState,
    numbers: HashTable<u32>,
    entries: Vec<Entry>,
    /// All keys, one behind the other.
    keys: Vec<u8>,
    /// Where each leads.
    routes: Vec<Route>,
}

/// A key: where its bytes are, and whose it is.
#[derive(Debug)]
struct Entry {
    start: u32,
    end: u32,
    source: &'static str,
}

/// Bytes of all keys; below 4 GiB, since positions are 32 bits wide.
const KEYS_BYTES_MAX: usize = 1 << 30;

impl Routes {
    pub fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            numbers: HashTable::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Whether so many more keys, with so many bytes, could be too many.
    pub fn is_full(&self, more: usize, bytes: usize, keys_max: usize) -> bool {
        !self.entries.is_empty()
            && (self.entries.len() + more > keys_max || self.keys.len() + bytes > KEYS_BYTES_MAX)
    }

    pub fn clear(&mut self) {
        self.numbers.clear();
        self.entries.clear();
        self.keys.clear();
        self.routes.clear();
    }

    /// The number of a key. `guess` is tried first: senders repeat their series in the same order, so that a key is
    /// nearly always the one after the last, and no hash is needed.
    #[inline]
    pub fn find(&self, source: &'static str, key: &[u8], guess: usize) -> Option<u32> {
        if self.is(guess, source, key) {
            return Some(guess as u32);
        }
        let hash = self.hasher.hash_one((source, key));
        // The bytes are compared on each hit: a collision must not merge two series.
        self.numbers.find(hash, |number| self.is(*number as usize, source, key)).copied()
    }

    #[inline]
    fn is(&self, number: usize, source: &'static str, key: &[u8]) -> bool {
        self.entries.get(number).is_some_and(|entry| {
            &self.keys[entry.start as usize..entry.end as usize] == key && entry.source == source
        })
    }

    pub fn insert(&mut self, source: &'static str, key: &[u8], route: Route) -> u32 {
        let number = self.entries.len() as u32;
        let start = self.keys.len() as u32;
        make_room(&mut self.keys, key.len());
        self.keys.extend_from_slice(key);
        make_room(&mut self.entries, 1);
        self.entries.push(Entry { start, end: self.keys.len() as u32, source });
        make_room(&mut self.routes, 1);
        self.routes.push(route);
        let Self { hasher, numbers, entries, keys, .. } = self;
        let hash_of = |number: &u32| {
            let entry = &entries[*number as usize];
            hasher.hash_one((entry.source, &keys[entry.start as usize..entry.end as usize]))
        };
        numbers.insert_unique(hash_of(&number), number, hash_of);
        number
    }

    /// Forgets one key: it is looked at anew when it comes again.
    pub fn forget(&mut self, number: u32) {
        let Self { hasher, numbers, entries, keys, .. } = self;
        let entry = &mut entries[number as usize];
        let hash = hasher.hash_one((entry.source, &keys[entry.start as usize..entry.end as usize]));
        if let Ok(found) = numbers.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        // No source has this name, so that a guess does not find it either.
        entry.source = "";
    }

    #[inline]
    pub fn route(&self, number: u32) -> &Route {
        &self.routes[number as usize]
    }

    #[inline]
    pub fn route_mut(&mut self, number: u32) -> &mut Route {
        &mut self.routes[number as usize]
    }
}

/// Room for an eighth more than there is, where a list has none: series come in their thousands and then no more, so that
/// twice the room would stay empty.
pub(super) fn make_room<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}
