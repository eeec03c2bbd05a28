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
use telemetry::record::{PartitionId, SeriesDeclaration, SeriesId};

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
    /// Found by their identity; positions in [`Registry::series`].
    found: HashTable<u32>,
    hasher: RandomState,
    /// The next series' id.
    next: u32,
    /// Series whose declaration is not known to be in the log, with their positions.
    pending: BTreeSet<(SeriesId, u32)>,
    /// Number of the request that was asked last, and up to where it declares what is pending.
    declared: (u64, Option<SeriesId>),
}

impl Members {
    fn find(&self, series: &[Registered], identity: &SeriesIdentity) -> Option<u32> {
        let is = |number: &u32| series[*number as usize].declaration.identity == *identity;
        self.found.find(self.hasher.hash_one(identity), is).copied()
    }

    /// Adds one that is not there.
    fn insert(&mut self, series: &[Registered], number: u32) {
        let hash_of = |number: &u32| self.hasher.hash_one(&series[*number as usize].declaration.identity);
        self.found.insert_unique(hash_of(&number), number, hash_of);
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
    /// The declaration that is in force. Evaluator and history keep the same, but for texts that they knew before a restart.
    pub declaration: Arc<SeriesDeclaration>,
    /// Whether that is known to be in the log.
    pub is_confirmed: bool,
    /// How often it has changed.
    version: u32,
    /// Its workload labels' slots; see [`super::workload`].
    pub slots: Vec<u32>,
    /// The keys that lead to it.
    pub routes: Vec<u32>,
}

impl Registered {
    fn new(partition: PartitionId, declaration: Arc<SeriesDeclaration>, is_confirmed: bool) -> Self {
        let (slots, routes) = (Vec::new(), Vec::new());
        Self { partition, declaration, is_confirmed, version: 0, slots, routes }
    }

    /// Whether it is judged as this declares it: when that changes, the series is declared again.
    fn is_judged_as(&self, resolved: &ResolvedSeries) -> bool {
        let declared = &self.declaration;
        declared.unit == resolved.unit
            && declared.declared == resolved.declared
            && declared.temporality == resolved.temporality
            && declared.cooling_loop == resolved.cooling_loop
            && declared.feed == resolved.feed
    }
}

/// A declaration that a request brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    number: u32,
    version: u32,
}

impl Registry {
    /// Adds a series that the log holds.
    pub fn restore(&mut self, partition: PartitionId, declaration: Arc<SeriesDeclaration>, unmapped: bool) {
        self.partitions.insert(declaration.partition.clone(), partition);
        self.last_partition = self.last_partition.max(partition.0);
        let members = self.members.entry(partition).or_default();
        members.next = members.next.max(declaration.id.0 + 1);
        if members.find(&self.series, &declaration.identity).is_none() {
            self.insert(Registered::new(partition, declaration, true), unmapped);
        }
    }

    fn insert(&mut self, series: Registered, unmapped: bool) -> u32 {
        let number = self.series.len() as u32;
        let census = self.by_source.entry(series.declaration.source.clone()).or_default();
        census.series += 1;
        census.unmapped += usize::from(unmapped);
        let partition = series.partition;
        make_room(&mut self.series, 1);
        self.series.push(series);
        self.members.entry(partition).or_default().insert(&self.series, number);
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
        self.members.get(partition)?.find(&self.series, &resolved.identity)
    }

    pub fn get(&self, number: u32) -> &Registered {
        &self.series[number as usize]
    }

    pub fn get_mut(&mut self, number: u32) -> &mut Registered {
        &mut self.series[number as usize]
    }

    /// Registers a series, or that it is judged otherwise; in both cases it is pending until it is declared.
    pub fn register(&mut self, resolved: &ResolvedSeries, unmapped: bool) -> u32 {
        let known = self.find(resolved);
        if let Some(number) = known.filter(|number| self.get(*number).is_judged_as(resolved)) {
            return number;
        }
        let mut declaration = resolved.declaration(SeriesId(0));
        self.names.share(&mut declaration);
        let number = match known {
            Some(number) => {
                let series = &mut self.series[number as usize];
                declaration.id = series.declaration.id;
                series.declaration = Arc::new(declaration);
                series.is_confirmed = false;
                series.version += 1;
                number
            }
            None => {
                let partition = self.partition(&declaration.partition);
                let members = self.members.entry(partition).or_default();
                declaration.id = SeriesId(members.next);
                members.next += 1;
                self.insert(Registered::new(partition, Arc::new(declaration), false), unmapped)
            }
        };
        let Registered { partition, declaration, .. } = self.get(number);
        let pending = (declaration.id, number);
        self.members.entry(*partition).or_default().pending.insert(pending);
        number
    }

    /// Declares a series in this request, and with it all pending ones of its partition that have lower numbers, so
    /// that numbers are dense in the log whichever appends succeed.
    pub fn declare(
        &mut self,
        number: u32,
        request: u64,
        mut tell: impl FnMut(Arc<SeriesDeclaration>, Declared),
    ) {
        let Registered { partition, declaration, .. } = &self.series[number as usize];
        let id = declaration.id;
        let Some(members) = self.members.get_mut(partition) else { return };
        let from = if members.declared.0 == request { members.declared.1 } else { None };
        if from.is_some_and(|from| id <= from) {
            return;
        }
        members.declared = (request, Some(id));
        let from = from.map_or(SeriesId(0), |from| SeriesId(from.0 + 1));
        for (_, number) in members.pending.range((from, 0)..=(id, u32::MAX)) {
            let series = &self.series[*number as usize];
            tell(series.declaration.clone(), Declared { number: *number, version: series.version });
        }
    }

    /// The log holds this declaration.
    pub fn confirm(&mut self, declared: Declared) {
        let Some(series) = self.series.get_mut(declared.number as usize) else { return };
        if series.version == declared.version && !series.is_confirmed {
            series.is_confirmed = true;
            let pending = self.members.get_mut(&series.partition).map(|members| &mut members.pending);
            pending.map(|pending| pending.remove(&(series.declaration.id, declared.number)));
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
