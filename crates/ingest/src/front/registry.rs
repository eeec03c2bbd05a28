//! Which series exist, and their numbers: dense in each partition, in the order they are first seen.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use telemetry::Name;
use telemetry::mapping::{ReadingRules, ResolvedSeries};
use telemetry::names::SharedNames;
use telemetry::place::{PartitionKey, SeriesIdentity};
use telemetry::record::{PartitionId, SeriesDeclaration, SeriesId, Temporality};

use super::routes::make_room;

/// All series that are declared, or about to be.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Texts that many series say are kept once.
    pub names: SharedNames,
    /// Rules of readings that many series have, each once.
    rules: Vec<Arc<ReadingRules>>,
    series: Vec<Registered>,
    partitions: HashMap<PartitionKey, PartitionId>,
    /// The greatest number of a partition; 0 before the first.
    last_partition: u32,
    members: HashMap<PartitionId, Members>,
    /// Series by who sends them: all, and those of unmapped metrics.
    by_source: HashMap<Name, Census>,
}

/// The series of one partition. A rack that is put on another loop has its series there too, with numbers of their
/// own; if it comes back they are as they were.
#[derive(Debug, Default)]
struct Members {
    /// Found by their identity; positions in `identities`.
    found: HashTable<u32>,
    hasher: RandomState,
    /// Each with its position in [`Registry::series`].
    identities: Vec<(SeriesIdentity, u32)>,
    /// The next series' id.
    next: u32,
    /// Series whose declaration is not known to be in the log, with their positions.
    pending: BTreeSet<(SeriesId, u32)>,
    /// Number of the request that was asked last, and up to where it declares what is pending.
    declared: (u64, Option<SeriesId>),
}

impl Members {
    fn find(&self, identity: &SeriesIdentity) -> Option<u32> {
        let is = |at: &u32| self.identities[*at as usize].0 == *identity;
        let at = self.found.find(self.hasher.hash_one(identity), is)?;
        Some(self.identities[*at as usize].1)
    }

    /// Adds one that is not there.
    fn insert(&mut self, identity: SeriesIdentity, number: u32) {
        let Self { found, hasher, identities, .. } = self;
        let at = identities.len() as u32;
        make_room(identities, 1);
        identities.push((identity, number));
        let hash_of = |at: &u32| hasher.hash_one(&identities[*at as usize].0);
        found.insert_unique(hash_of(&at), at, hash_of);
    }
}

/// How many series a source has.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Census {
    pub series: usize,
    pub unmapped: usize,
}

/// A series.
#[derive(Debug)]
pub(super) struct Registered {
    pub partition: PartitionId,
    pub id: SeriesId,
    /// Who sends it.
    pub source: Name,
    /// Its declaration, until that is known to be in the log.
    declaration: Option<Box<SeriesDeclaration>>,
    /// How often its declaration has changed.
    version: u32,
    /// What of its declaration decides how it is judged.
    pub terms: Terms,
    /// Its workload labels' slots; see [`super::workload`].
    pub slots: Vec<u32>,
    /// The keys that lead to it.
    pub routes: Vec<u32>,
}

impl Registered {
    fn new(partition: PartitionId, id: SeriesId, source: Name, terms: Terms) -> Self {
        let (slots, routes) = (Vec::new(), Vec::new());
        Self { partition, id, source, declaration: None, version: 0, terms, slots, routes }
    }

    /// Whether its declaration is known to be in the log.
    pub fn is_confirmed(&self) -> bool {
        self.declaration.is_none()
    }
}

/// A declaration that a request brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    number: u32,
    version: u32,
}

/// What of a declaration decides how a series is judged: when it changes, the series is declared again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub unit: Name,
    pub declared: bool,
    pub temporality: Temporality,
    pub cooling_loop: Option<Name>,
    pub feed: telemetry::record::Feed,
}

impl Terms {
    fn of_declaration(declaration: &SeriesDeclaration) -> Self {
        Self {
            unit: declaration.unit.clone(),
            declared: declaration.declared,
            temporality: declaration.temporality,
            cooling_loop: declaration.cooling_loop.clone(),
            feed: declaration.feed,
        }
    }

    pub fn of(resolved: &ResolvedSeries) -> Self {
        Self {
            unit: resolved.unit.clone(),
            declared: resolved.declared,
            temporality: resolved.temporality,
            cooling_loop: resolved.cooling_loop.clone(),
            feed: resolved.feed,
        }
    }
}

impl Registry {
    /// Adds a series that the log holds.
    pub fn restore(&mut self, partition: PartitionId, declaration: SeriesDeclaration, unmapped: bool) {
        let terms = Terms::of_declaration(&declaration);
        self.partitions.insert(declaration.partition, partition);
        self.last_partition = self.last_partition.max(partition.0);
        let members = self.members.entry(partition).or_default();
        members.next = members.next.max(declaration.id.0 + 1);
        if members.find(&declaration.identity).is_none() {
            let series = Registered::new(partition, declaration.id, declaration.source, terms);
            self.insert(declaration.identity, series, unmapped);
        }
    }

    fn insert(&mut self, identity: SeriesIdentity, series: Registered, unmapped: bool) -> u32 {
        let number = self.series.len() as u32;
        let census = self.by_source.entry(series.source.clone()).or_default();
        census.series += 1;
        census.unmapped += usize::from(unmapped);
        self.members.entry(series.partition).or_default().insert(identity, number);
        make_room(&mut self.series, 1);
        self.series.push(series);
        number
    }

    /// The rules that other series have already, where they are among those that were new of late.
    pub fn share_rules(&mut self, rules: ReadingRules) -> Arc<ReadingRules> {
        /// More different ones are hardly there: they come from signals, units and places' ranges.
        const LOOKED_AT: usize = 256;
        if let Some(known) = self.rules.iter().rev().take(LOOKED_AT).find(|known| ***known == rules) {
            return known.clone();
        }
        let rules = Arc::new(rules);
        if self.rules.len() == LOOKED_AT {
            self.rules.remove(0);
        }
        self.rules.push(rules.clone());
        rules
    }

    pub fn census(&self, source: &str) -> Census {
        self.by_source.get(source).copied().unwrap_or_default()
    }

    pub fn unmapped_series(&self) -> usize {
        self.by_source.values().map(|census| census.unmapped).sum()
    }

    /// Routes were forgotten: no key leads anywhere.
    pub fn forget_routes(&mut self) {
        self.series.iter_mut().for_each(|series| series.routes.clear());
    }

    /// The series of this identity in its partition.
    pub fn find(&self, resolved: &ResolvedSeries) -> Option<u32> {
        let partition = self.partitions.get(&resolved.partition)?;
        self.members.get(partition)?.find(&resolved.identity)
    }

    pub fn get(&self, number: u32) -> &Registered {
        &self.series[number as usize]
    }

    pub fn get_mut(&mut self, number: u32) -> &mut Registered {
        &mut self.series[number as usize]
    }

    /// Registers a series, or that its terms changed; in both cases it is pending until it is declared.
    pub fn register(&mut self, resolved: &ResolvedSeries, unmapped: bool) -> u32 {
        let known = self.find(resolved);
        if let Some(number) = known.filter(|number| self.get(*number).terms == Terms::of(resolved)) {
            return number;
        }
        let mut declaration = resolved.declaration(SeriesId(0));
        self.names.share(&mut declaration);
        let terms = Terms::of_declaration(&declaration);
        let number = match known {
            Some(number) => number,
            None => {
                let partition = self.partition(&declaration.partition);
                let members = self.members.entry(partition).or_default();
                let id = SeriesId(members.next);
                members.next += 1;
                let series = Registered::new(partition, id, declaration.source.clone(), terms.clone());
                self.insert(declaration.identity.clone(), series, unmapped)
            }
        };
        let series = &mut self.series[number as usize];
        series.terms = terms;
        series.version += 1;
        declaration.id = series.id;
        series.declaration = Some(Box::new(declaration));
        self.members.entry(series.partition).or_default().pending.insert((series.id, number));
        number
    }

    /// Declares a series in this request, and with it all pending ones of its partition that have lower numbers, so
    /// that numbers are dense in the log whichever appends succeed.
    pub fn declare(&mut self, number: u32, request: u64, mut tell: impl FnMut(SeriesDeclaration, Declared)) {
        let Registered { partition, id, .. } = self.series[number as usize];
        let Some(members) = self.members.get_mut(&partition) else { return };
        let from = if members.declared.0 == request { members.declared.1 } else { None };
        if from.is_some_and(|from| id <= from) {
            return;
        }
        members.declared = (request, Some(id));
        let from = from.map_or(SeriesId(0), |from| SeriesId(from.0 + 1));
        for (_, number) in members.pending.range((from, 0)..=(id, u32::MAX)) {
            let series = &self.series[*number as usize];
            if let Some(declaration) = &series.declaration {
                tell((**declaration).clone(), Declared { number: *number, version: series.version });
            }
        }
    }

    /// The log holds this declaration.
    pub fn confirm(&mut self, declared: Declared) {
        let Some(series) = self.series.get_mut(declared.number as usize) else { return };
        if series.version == declared.version && series.declaration.take().is_some() {
            let pending = self.members.get_mut(&series.partition).map(|members| &mut members.pending);
            pending.map(|pending| pending.remove(&(series.id, declared.number)));
        }
    }

    fn partition(&mut self, key: &PartitionKey) -> PartitionId {
        if let Some(known) = self.partitions.get(key) {
            return *known;
        }
        self.last_partition = (self.last_partition + 1).max(PartitionId::FIRST.0);
        self.partitions.insert(key.clone(), PartitionId(self.last_partition));
        PartitionId(self.last_partition)
    }
}
