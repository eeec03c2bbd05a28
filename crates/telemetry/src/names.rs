//! Names that are said of many series are kept once.

pub mod table; // in checkpoints

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use indexmap::IndexSet;

use crate::place::{PartitionKey, Place};
use crate::record::SeriesDeclaration;
use crate::{Labels, Name};

/// What is known, each once, in the order it came. It is found by its hash, on which nothing else depends: a tree of a
/// site's names compares texts all the way down, for each text of each new series.
type Known<T> = IndexSet<T, BuildHasherDefault<DefaultHasher>>;

/// Names and sets of labels that are known, each once.
#[derive(Debug, Default, Clone)]
pub struct SharedNames {
    names: Known<Name>,
    labels: Known<Arc<Labels>>,
}

impl SharedNames {
    /// The texts of declarations that share theirs already.
    pub fn of<'a>(declarations: impl IntoIterator<Item = &'a SeriesDeclaration>) -> Self {
        let mut names = Self::default();
        declarations.into_iter().for_each(|declaration| {
            names.share(&mut declaration.clone());
        });
        names
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Gives room back that nothing is in.
    pub fn shrink_to_fit(&mut self) {
        self.names.shrink_to_fit();
        self.labels.shrink_to_fit();
    }

    /// The declaration with the texts that others use already: itself, where it has them.
    pub fn shared(&mut self, declaration: &Arc<SeriesDeclaration>) -> Arc<SeriesDeclaration> {
        let mut shared = SeriesDeclaration::clone(declaration);
        if self.share(&mut shared) { Arc::new(shared) } else { declaration.clone() }
    }

    /// Lets a declaration use the texts that others use already; whether it had some of its own.
    pub fn share(&mut self, declaration: &mut SeriesDeclaration) -> bool {
        let SeriesDeclaration {
            partition,
            id: _,
            identity,
            cooling_loop,
            declared: _,
            unit,
            source,
            source_name,
            source_unit,
            temporality: _,
            feed: _,
            labels,
        } = declaration;
        let Place { site, cooling_loop: of_place, rack, node, device } = &mut identity.place;
        let mut had_own = match partition {
            PartitionKey::Loop { site, name } | PartitionKey::Rack { site, name } => {
                self.share_name(site) | self.share_name(name)
            }
            PartitionKey::Site { site } => self.share_name(site),
        };
        let always = [site, &mut identity.signal, unit, source, source_name, source_unit];
        let levels = [of_place, rack, node, device, &mut identity.sensor, cooling_loop];
        for name in always.into_iter().chain(levels.into_iter().flatten()) {
            had_own |= self.share_name(name);
        }
        had_own | self.share_labels(labels)
    }

    fn share_labels(&mut self, labels: &mut Arc<Labels>) -> bool {
        if let Some(known) = self.labels.get(labels) {
            let was_own = !Arc::ptr_eq(known, labels);
            *labels = known.clone();
            return was_own;
        }
        let texts = || labels.iter().flat_map(|(name, value)| [name, value]);
        let is_shared = |text: &Name| self.names.get(text).is_none_or(|known| Name::ptr_eq(known, text));
        let had_own = !texts().all(is_shared);
        if had_own {
            let mut shared = Labels::new();
            for (name, value) in &**labels {
                let (mut name, mut value) = (name.clone(), value.clone());
                self.share_name(&mut name);
                self.share_name(&mut value);
                shared.insert(name, value);
            }
            *labels = Arc::new(shared);
        } else {
            // Whoever brings them has shared them already: they stay one set of labels there and here.
            self.names.extend(texts().cloned());
        }
        self.labels.insert(labels.clone());
        had_own
    }

    /// Lets a name be the text that others use already; whether it was another.
    pub fn share_name(&mut self, name: &mut Name) -> bool {
        match self.names.get(name) {
            Some(known) if Name::ptr_eq(known, name) => false,
            Some(known) => {
                *name = Name::clone(known);
                true
            }
            None => {
                self.names.insert(Name::clone(name));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::SeriesIdentity;
    use crate::record::{Feed, SeriesId, Temporality};

    pub(super) fn declaration(node: &str) -> SeriesDeclaration {
        let place = Place { node: Some(node.into()), ..Place::of_rack(&"s1".into(), None, &"r1".into()) };
        SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id: SeriesId(0),
            identity: SeriesIdentity::new(place, "gpu_power".into(), None),
            cooling_loop: Some("loop-a".into()),
            declared: true,
            unit: "W".into(),
            source: "otlp".into(),
            source_name: "gpu_power".into(),
            source_unit: "W".into(),
            temporality: Temporality::Gauge,
            feed: Feed::Unsaid,
            labels: Arc::new(Labels::from([("pod".into(), "s1".into())])),
        }
    }

    #[test]
    fn declarations_stay_as_they_are_and_hold_each_text_and_set_of_labels_once() {
        let (mut one, mut other) = (declaration("n1"), declaration("n2"));
        let mut names = SharedNames::default();
        names.share(&mut one);
        names.share(&mut other);
        assert_eq!((one.clone(), other.clone()), (declaration("n1"), declaration("n2")));
        assert!(Name::ptr_eq(&one.identity.place.site, &other.identity.place.site));
        assert!(Name::ptr_eq(&one.unit, &one.source_unit), "of one declaration too");
        assert!(Name::ptr_eq(&one.identity.signal, &other.source_name));
        let PartitionKey::Rack { site, .. } = &other.partition else { panic!("a rack without a loop") };
        assert!(Name::ptr_eq(site, &one.identity.place.site));
        assert!(Name::ptr_eq(&one.labels["pod"], &other.identity.place.site));
        assert!(Arc::ptr_eq(&one.labels, &other.labels));
        assert!(!Name::ptr_eq(
            one.identity.place.node.as_ref().unwrap(),
            other.identity.place.node.as_ref().unwrap()
        ));
    }
}
