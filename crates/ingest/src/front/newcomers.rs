//! The series that came last: which of their labels makes them so many? `admit` → **newcomers** → what a refusal says.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Series that are remembered.
const REMEMBERED: usize = 64;

/// Labels of the last new series of a source, as hashes of name and value.
#[derive(Debug, Default)]
pub(super) struct Newcomers(VecDeque<Vec<(u64, u64)>>);

/// How much a label varies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Varied<'a> {
    pub label: &'a str,
    pub values: usize,
    pub series: usize,
}

impl Newcomers {
    /// A new series, admitted or not.
    pub fn see(&mut self, labels: &[(&str, &str)]) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(labels.iter().map(|(name, value)| (hash(name), hash(value))).collect());
    }

    /// The label, of those that the newest series has, with the most values among the last ones; of equals the first.
    pub fn most_varied<'a>(&self, labels: &[(&'a str, &str)]) -> Option<Varied<'a>> {
        let values = |name: &str| {
            let name = hash(name);
            let of = self.0.iter().flatten().filter(|(other, _)| *other == name).map(|(_, value)| value);
            of.collect::<BTreeSet<_>>().len()
        };
        let mut most = None;
        for (label, _) in labels {
            let varied = Varied { label, values: values(label), series: self.0.len() };
            if most.as_ref().is_none_or(|most: &Varied<'_>| most.values < varied.values) {
                most = Some(varied);
            }
        }
        most.filter(|most| most.values > 1)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_that_differs_each_time_is_named() {
        let mut newcomers = Newcomers::default();
        let ids: Vec<String> = (0..100).map(|id| format!("id-{id}")).collect();
        for (index, id) in ids.iter().enumerate() {
            newcomers.see(&[("rack", ["r1", "r2"][index % 2]), ("request", id), ("zone", "a")]);
        }
        let newest = [("rack", "r1"), ("request", "id-99"), ("zone", "a")];
        let expected = Varied { label: "request", values: 64, series: 64 };
        assert_eq!(newcomers.most_varied(&newest), Some(expected));
        assert_eq!(newcomers.most_varied(&[("zone", "a")]), None, "it does not vary");
    }
}
