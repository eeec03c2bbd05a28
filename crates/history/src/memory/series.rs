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

    /// The series declared so far, in key order; sorted anew only after new declarations.
    pub fn ranking(&self) -> Arc<Ranking> {
        let known = self.ranking.read().expect("no panic while ranking").clone();
        if self.declared.read().expect("no panic while declaring").len() == known.series.len() {
            return known;
        }
        let series = self.declared.read().expect("no panic while declaring").clone();
        let mut order: Vec<SeriesNumber> = (0..series.len() as u32).collect();
        order.sort_by(|left, right| {
            key(&series[*left as usize]).cmp(&key(&series[*right as usize])).then(left.cmp(right))
        });
        let same = |index: usize| {
            index > 0 && key(&series[order[index] as usize]) == key(&series[order[index - 1] as usize])
        };
        let order = (0..order.len()).map(|index| (order[index], same(index))).collect();
        let ranking = Arc::new(Ranking { series, order });
        *self.ranking.write().expect("no panic while ranking") = ranking.clone();
        ranking
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
