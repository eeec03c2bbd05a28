//! Names that are said of many series are kept once.

pub mod table; // in checkpoints

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::place::{PartitionKey, Place};
use crate::record::SeriesDeclaration;
use crate::{Labels, Name};

/// Names and sets of labels that are known, each once.
#[derive(Debug, Default, Clone)]
pub struct SharedNames {
    names: BTreeSet<Name>,
    labels: BTreeSet<Arc<Labels>>,
}

impl SharedNames {
    /// The texts of declarations that share theirs already.
    pub fn of<'a>(declarations: impl IntoIterator<Item = &'a SeriesDeclaration>) -> Self {
        let mut names = Self::default();
        declarations.into_iter().for_each(|declaration| names.share(&mut declaration.clone()));
        names
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Lets a declaration use the texts that others use already.
    pub fn share(&mut self, declaration: &mut SeriesDeclaration) {
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
        match partition {
            PartitionKey::Loop { site, name } | PartitionKey::Rack { site, name } => {
                self.share_name(site);
                self.share_name(name);
            }
            PartitionKey::Site { site } => self.share_name(site),
        }
        let always = [site, &mut identity.signal, unit, source, source_name, source_unit];
        let levels = [of_place, rack, node, device, &mut identity.sensor, cooling_loop];
        for name in always.into_iter().chain(levels.into_iter().flatten()) {
            self.share_name(name);
        }
        self.share_labels(labels);
    }

    fn share_labels(&mut self, labels: &mut Arc<Labels>) {
        if let Some(known) = self.labels.get(labels) {
            *labels = known.clone();
            return;
        }
        let texts = || labels.iter().flat_map(|(name, value)| [name, value]);
        let is_shared = |text: &Name| self.names.get(text).is_none_or(|known| Name::ptr_eq(known, text));
        if texts().all(is_shared) {
            // Whoever brings them has shared them already: they stay one set of labels there and here.
            self.names.extend(texts().cloned());
        } else {
            let mut shared = Labels::new();
            for (name, value) in &**labels {
                let (mut name, mut value) = (name.clone(), value.clone());
                self.share_name(&mut name);
                self.share_name(&mut value);
                shared.insert(name, value);
            }
            *labels = Arc::new(shared);
        }
        self.labels.insert(labels.clone());
    }

    /// Lets a name be the text that others use already.
    pub fn share_name(&mut self, name: &mut Name) {
        match self.names.get(name) {
            Some(known) => *name = Name::clone(known),
            None => {
                self.names.insert(Name::clone(name));
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
