//! Which series exist, and their numbers: dense in each partition, in the order they are first seen.

use std::collections::{BTreeMap, HashMap};

use telemetry::Name;
use telemetry::mapping::ResolvedSeries;
use telemetry::place::{PartitionKey, SeriesIdentity};
use telemetry::record::{PartitionId, SeriesDeclaration, SeriesId, Temporality};

/// All series that are declared, or about to be.
#[derive(Debug, Default)]
pub(super) struct Registry {
    numbers: HashMap<SeriesIdentity, u32>,
    series: Vec<Registered>,
    partitions: HashMap<PartitionKey, PartitionId>,
    /// The greatest number of a partition; 0 before the first.
    last_partition: u32,
    /// The next series' id, by partition.
    next: BTreeMap<PartitionId, u32>,
    /// Series by who sends them: all, and those of unmapped metrics.
    by_source: HashMap<Name, Census>,
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
    /// Whether its declaration is known to be in the log.
    pub confirmed: bool,
    /// The last request that declares it.
    pub declared_in: u64,
    /// What of its declaration decides how it is judged.
    pub terms: Terms,
    /// Its workload labels' slots; see [`super::workload`].
    pub slots: Vec<u32>,
    /// The keys that lead to it.
    pub routes: Vec<u32>,
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
        let terms = Terms {
            unit: declaration.unit,
            declared: declaration.declared,
            temporality: declaration.temporality,
            cooling_loop: declaration.cooling_loop,
            feed: declaration.feed,
        };
        self.partitions.insert(declaration.partition, partition);
        self.last_partition = self.last_partition.max(partition.0);
        let next = self.next.entry(partition).or_default();
        *next = (*next).max(declaration.id.0 + 1);
        self.add(declaration.identity, declaration.source, partition, declaration.id, terms, unmapped, true);
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        identity: SeriesIdentity,
        source: Name,
        partition: PartitionId,
        id: SeriesId,
        terms: Terms,
        unmapped: bool,
        confirmed: bool,
    ) -> u32 {
        let series = Registered {
            partition,
            id,
            source: source.clone(),
            confirmed,
            declared_in: 0,
            terms,
            slots: Vec::new(),
            routes: Vec::new(),
        };
        if let Some(number) = self.numbers.get(&identity) {
            // The same series in another partition: the later declaration holds.
            self.series[*number as usize] = series;
            return *number;
        }
        let number = self.series.len() as u32;
        let census = self.by_source.entry(source).or_default();
        census.series += 1;
        census.unmapped += usize::from(unmapped);
        self.numbers.insert(identity, number);
        self.series.push(series);
        number
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

    pub fn find(&self, identity: &SeriesIdentity) -> Option<u32> {
        self.numbers.get(identity).copied()
    }

    pub fn get(&self, number: u32) -> &Registered {
        &self.series[number as usize]
    }

    pub fn get_mut(&mut self, number: u32) -> &mut Registered {
        &mut self.series[number as usize]
    }

    /// Registers a series, or what changed about it: its terms, or its partition; then it must be declared.
    pub fn register(&mut self, resolved: &ResolvedSeries, unmapped: bool) -> u32 {
        let terms = Terms::of(resolved);
        let partition = self.partition(&resolved.partition);
        if let Some(number) = self.find(&resolved.identity) {
            let known = self.get_mut(number);
            if known.partition == partition {
                known.confirmed &= known.terms == terms;
                known.terms = terms;
                return number;
            }
        }
        let next = self.next.entry(partition).or_default();
        let id = SeriesId(*next);
        *next += 1;
        let (identity, source) = (resolved.identity.clone(), resolved.source.clone());
        self.add(identity, source, partition, id, terms, unmapped, false)
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
