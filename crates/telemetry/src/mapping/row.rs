//! One row of a mapping: which points it takes, and what they are. Two rows that take one point are an error.

use crate::Name;
use crate::unit::Unit;

use super::labels::{View, normal};

/// A row: (source, metric name, conditions on labels) → signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands, for messages: `built in: dcgm` or `plant.yaml:12`.
    pub origin: Name,
    /// A protocol or a source's name; any when absent.
    pub source: Option<Name>,
    /// The metric's name in its normal form.
    pub metric: Name,
    /// All must hold. Labels in their normal form, in order.
    pub conditions: Vec<(Name, Condition)>,
    /// What the points are.
    pub target: Target,
}

/// What the points of a row are.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Readings of a signal.
    Signal(Box<Reading>),
    /// Nothing of use; why.
    Ignored(Name),
}

/// How a row's points are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Canonical or declared signal.
    pub signal: Name,
    /// The unit when the source names none; the signal's own when absent.
    pub unit: Option<Unit>,
    /// Readings come too large by 1/`scale`: `0.1` for tenths.
    pub scale: f64,
    /// Added after scaling, in the source's unit.
    pub offset: f64,
    /// The source's number or word for a state, and our code; empty for numbers as they are.
    pub states: Vec<(String, f64)>,
    /// Which of several sensors; the label's own where absent.
    pub sensor: Option<Name>,
    /// The label that tells several sensors apart, in its normal form.
    pub sensor_label: Option<Name>,
    /// Whether numbers near 2^31, 2^47 and 2^63 are DCGM's words for "no value".
    pub dcgm_blanks: bool,
}

impl Reading {
    /// A signal in its own unit.
    pub fn of(signal: &str) -> Self {
        Self {
            signal: signal.into(),
            unit: None,
            scale: 1.0,
            offset: 0.0,
            states: Vec::new(),
            sensor: None,
            sensor_label: None,
            dcgm_blanks: false,
        }
    }
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The label is there with one of these values.
    In(Vec<Name>),
    /// The label is not there, or has none of these values.
    NotIn(Vec<Name>),
    /// The label is not there.
    Absent,
    /// The label is there and looks so: `#` stands for digits, a final `*` for anything. Case counts not.
    Like(Name),
}

impl Condition {
    /// Whether a label's value fulfils it.
    pub fn holds(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::In(values), Some(value)) => values.iter().any(|known| **known == *value),
            (Self::NotIn(values), Some(value)) => values.iter().all(|known| **known != *value),
            (Self::Like(pattern), Some(value)) => like(pattern, value),
            (Self::NotIn(_) | Self::Absent, None) => true,
            (Self::In(_) | Self::Like(_), None) | (Self::Absent, Some(_)) => false,
        }
    }

    /// Whether no label can fulfil both. When in doubt, no.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::In(one), Self::In(other)) => one.iter().all(|value| !other.contains(value)),
            (Self::In(wanted), Self::NotIn(refused)) | (Self::NotIn(refused), Self::In(wanted)) => {
                wanted.iter().all(|value| refused.contains(value))
            }
            (Self::In(values), Self::Like(pattern)) | (Self::Like(pattern), Self::In(values)) => {
                values.iter().all(|value| !like(pattern, value))
            }
            (Self::Like(one), Self::Like(other)) => apart(one, other),
            (Self::Absent, Self::In(_) | Self::Like(_)) | (Self::In(_) | Self::Like(_), Self::Absent) => true,
            (Self::NotIn(_), Self::NotIn(_) | Self::Like(_) | Self::Absent)
            | (Self::Like(_) | Self::Absent, Self::NotIn(_))
            | (Self::Absent, Self::Absent) => false,
        }
    }
}

/// Whether a value looks like a pattern of letters, `#` (one digit or more) and a final `*`.
fn like(pattern: &str, value: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once(['#', '*']) else {
        return pattern.eq_ignore_ascii_case(value);
    };
    let Some((head, tail)) = value.split_at_checked(literal.len()) else { return false };
    if !head.eq_ignore_ascii_case(literal) {
        return false;
    }
    if pattern.as_bytes()[literal.len()] == b'*' {
        return true;
    }
    let after = tail.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < tail.len() && like(rest, after)
}

/// Whether two patterns can never look alike: their first literal parts differ, or all but those are equal.
fn apart(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let common = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let (a, b) = (one.as_bytes().get(common), other.as_bytes().get(common));
    let wild = |byte: Option<&u8>| matches!(byte, Some(b'#' | b'*'));
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    // After equal parts, two different literal bytes (or an end) cannot be bridged, unless a `#` or `*` is next or
    // a `#` just before could take a digit more.
    a != b && !wild(a) && !wild(b) && !(one[..common].ends_with('#') && (digit(a) || digit(b)))
}

impl Row {
    /// A row that takes every point of a metric.
    pub fn new(origin: &str, metric: &str, reading: Reading) -> Self {
        Self {
            origin: origin.into(),
            source: None,
            metric: normal(metric).into(),
            conditions: Vec::new(),
            target: Target::Signal(Box::new(reading)),
        }
    }

    /// The signal, unless the row ignores its points.
    pub fn signal(&self) -> Option<&str> {
        match &self.target {
            Target::Signal(reading) => Some(&reading.signal),
            Target::Ignored(_) => None,
        }
    }

    pub(super) fn matches(&self, protocol: &str, source: &str, labels: &View<'_>) -> bool {
        self.source.as_deref().is_none_or(|wanted| wanted == protocol || wanted == source)
            && self.conditions.iter().all(|(label, condition)| condition.holds(labels.get(label)))
    }

    /// Whether one point can match both rows.
    pub fn overlaps(&self, other: &Self) -> bool {
        let sources = match (&self.source, &other.source) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        sources
            && self.metric == other.metric
            && self.conditions.iter().all(|(label, condition)| {
                other
                    .conditions
                    .iter()
                    .filter(|(known, _)| known == label)
                    .all(|(_, known)| !condition.excludes(known))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_takes_digits_and_a_final_rest() {
        assert!(like("HGX_GPU_#_Temp_0", "HGX_GPU_12_Temp_0"));
        assert!(!like("HGX_GPU_#_Temp_0", "HGX_GPU_0_DRAM_0_Temp_0"));
        assert!(!like("HGX_GPU_#_Temp_0", "HGX_GPU__Temp_0"));
        assert!(like("gpu*", "GPU-77aa") && like("gpu*", "gpu") && !like("gpu*", "cpu0"));
    }

    fn pattern() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[ab0#]{0,4}[*]?").unwrap()
    }

    proptest! {
        /// Two conditions that are said to exclude each other never hold together.
        #[test]
        fn what_excludes_never_holds_together(one in pattern(), other in pattern(), value in "[ab0]{0,6}") {
            let (one, other) = (Condition::Like(one.into()), Condition::Like(other.into()));
            if one.excludes(&other) {
                prop_assert!(!(one.holds(Some(&value)) && other.holds(Some(&value))));
            }
            prop_assert_eq!(one.excludes(&other), other.excludes(&one));
        }
    }
}
