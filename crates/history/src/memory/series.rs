//! What is known of the series whose rows are in memory, and the order in which their rows are written.

use std::sync::{Arc, RwLock};

use telemetry::Name;
use telemetry::record::SeriesDeclaration;

/// A series' number in this process, dense, from 0: one a declaration.
pub type SeriesNumber = u32;

/// The declarations, append-only.
///
/// Apart from the buffers, so that a query that sorts a hundred thousand names never holds up an append.
#[derive(Debug, Default)]
pub struct SeriesRegistry {
    declared: RwLock<Vec<Arc<SeriesDeclaration>>>,
    ranking: RwLock<Arc<Ranking>>,
}

/// All series declared so far, in the order of the tables' sort key.
#[derive(Debug, Default)]
pub struct Ranking {
    /// By number.
    pub series: Vec<Arc<SeriesDeclaration>>,
    /// The numbers in key order, and whether the key is that of the number before: one series that was declared
    /// again with other attributes.
    pub order: Vec<(SeriesNumber, bool)>,
}

impl SeriesRegistry {
    /// Adds a declaration and gives it a number.
    pub fn add(&self, declaration: Arc<SeriesDeclaration>) -> SeriesNumber {
        let mut declared = self.declared.write().expect("no panic while declaring");
        declared.push(declaration);
        SeriesNumber::try_from(declared.len() - 1).expect("fewer than 2^32 series")
    }

    /// The series declared so far, in key order. Only those declared since the last time are sorted: a hundred thousand
    /// names take a tenth of a second.
    pub fn ranking(&self) -> Arc<Ranking> {
        let known = self.ranking.read().expect("no panic while ranking").clone();
        if self.declared.read().expect("no panic while declaring").len() == known.series.len() {
            return known;
        }
        let series = self.declared.read().expect("no panic while declaring").clone();
        let ranking = Arc::new(known.with(series));
        *self.ranking.write().expect("no panic while ranking") = ranking.clone();
        ranking
    }
}

impl Ranking {
    /// The order of `series`, which begin with those that are ranked here.
    fn with(&self, series: Vec<Arc<SeriesDeclaration>>) -> Self {
        let key_of = |number: SeriesNumber| key(&series[number as usize]);
        let mut new: Vec<SeriesNumber> = (self.series.len() as u32..series.len() as u32).collect();
        new.sort_by(|left, right| key_of(*left).cmp(&key_of(*right)).then(left.cmp(right)));
        let mut order: Vec<(SeriesNumber, bool)> = Vec::with_capacity(series.len());
        let mut rest = self.order.as_slice();
        for number in new {
            // Behind those with the same key, which have smaller numbers.
            let at = rest.partition_point(|(other, _)| key_of(*other) <= key_of(number));
            order.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let same = order.last().is_some_and(|(before, _)| key_of(*before) == key_of(number));
            order.push((number, same));
        }
        order.extend_from_slice(rest);
        Self { series, order }
    }
}

/// The sort key of `samples` and `blocks` up to `time`: see [`crate::schema::sort_key`].
pub fn key(declaration: &SeriesDeclaration) -> [Option<&Name>; 7] {
    let identity = &declaration.identity;
    let place = &identity.place;
    [
        place.rack.as_ref(),
        Some(&identity.signal),
        place.device.as_ref(),
        place.node.as_ref(),
        identity.sensor.as_ref(),
        cooling_loop(declaration),
        Some(&place.site),
    ]
}

/// The loop of the series' place: of its rack under the configuration in force when it was declared, or its own.
pub fn cooling_loop(declaration: &SeriesDeclaration) -> Option<&Name> {
    declaration.cooling_loop.as_ref().or(declaration.identity.place.cooling_loop.as_ref())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use telemetry::place::{PartitionKey, Place, SeriesIdentity};
    use telemetry::record::{Feed, SeriesId, Temporality};

    use super::*;

    pub fn declaration(rack: u8, signal: u8) -> Arc<SeriesDeclaration> {
        let place = Place::of_rack(&"s1".into(), None, &format!("r{rack}").into());
        Arc::new(SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id: SeriesId(0),
            identity: SeriesIdentity::new(place, format!("signal_{signal}").into(), None),
            cooling_loop: None,
            declared: true,
            unit: "1".into(),
            source: "file".into(),
            source_name: "any".into(),
            source_unit: "1".into(),
            temporality: Temporality::Gauge,
            feed: Feed::Unsaid,
            labels: Arc::default(),
        })
    }

    proptest! {
        #[test]
        fn the_order_is_the_same_whenever_it_was_asked_for(
            series in prop::collection::vec((0_u8..5, 0_u8..3, any::<bool>()), 1..60),
        ) {
            let (often, once) = (SeriesRegistry::default(), SeriesRegistry::default());
            for (rack, signal, asked) in series {
                often.add(declaration(rack, signal));
                once.add(declaration(rack, signal));
                if asked {
                    often.ranking();
                }
            }
            let ranking = once.ranking();
            prop_assert_eq!(&often.ranking().order, &ranking.order);
            let keys: Vec<_> = ranking.order.iter().map(|(number, _)| key(&ranking.series[*number as usize])).collect();
            prop_assert!(keys.is_sorted());
            let repeats = ranking.order.iter().skip(1).map(|(_, same)| *same);
            prop_assert!(keys.windows(2).map(|pair| pair[0] == pair[1]).eq(repeats));
        }
    }
}
