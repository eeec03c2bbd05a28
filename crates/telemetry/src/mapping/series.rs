//! What a resolved series is, and what is known of each of its readings.

use std::sync::Arc;

use crate::place::{PartitionKey, SeriesIdentity};
use crate::record::{Feed, Flag, SeriesDeclaration, SeriesId, Temporality};
use crate::signal::{self, STATE_CRITICAL, STATE_UNAVAILABLE, SignalKind, Span};
use crate::unit::{Conversion, Scale, Unit, conversion};
use crate::{Labels, Microseconds, Name};

/// Everything that stays the same for all samples of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedSeries {
    /// What makes it this series.
    pub identity: SeriesIdentity,
    /// The loop of its rack, from the site file.
    pub cooling_loop: Option<Name>,
    /// The partition that it belongs to.
    pub partition: PartitionKey,
    /// Whether the site file names its rack or loop.
    pub declared: bool,
    /// Canonical unit, a UCUM symbol.
    pub unit: Name,
    /// What is made of its readings.
    pub rules: ReadingRules,
    /// How they add up, as far as the signal or the name tells; the source may know better.
    pub temporality: Temporality,
    /// How often it is expected.
    pub feed: Feed,
    /// Who sends it: the protocol, or a source that a mapping names.
    pub source: Name,
    /// The metric's name at its source.
    pub source_name: Name,
    /// The unit at its source; empty when nobody named one.
    pub source_unit: Name,
    /// Everything else that was said about it.
    pub labels: Labels,
    /// What runs there: pod, namespace, run … Not part of the series; changes become events.
    pub workload: Labels,
}

/// What is made of the readings of a series: all that is needed once a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingRules {
    /// Canonical unit, a UCUM symbol.
    pub(super) unit: Name,
    /// From the source's unit to the canonical one.
    pub conversion: Conversion,
    /// What a working sensor can report.
    pub span: Option<Span>,
    /// The usual range at this place.
    pub usual: Option<Span>,
    /// How its numbers behave.
    pub kind: SignalKind,
    /// Times are rounded down to this grid before they are logged.
    pub scrape_grid: Option<Microseconds>,
    /// The source's number or word for a state, and our code.
    pub(super) states: Vec<(String, f64)>,
    pub(super) state_numbers: Vec<(f64, f64)>,
    pub(super) dcgm_blanks: bool,
}

impl ReadingRules {
    /// The value in the canonical unit, and what is known about it when it is taken in. Times are judged elsewhere.
    ///
    /// State codes 3 and 4 are flagged [`Flag::Distrusted`]: stored as they are, unknown to every judge.
    #[inline]
    pub fn judge(&self, raw: f64) -> (f64, Flag) {
        if raw.is_nan() || (self.dcgm_blanks && is_blank(raw)) {
            return (raw, Flag::Sentinel);
        }
        if raw.is_infinite() {
            return (raw, Flag::Implausible);
        }
        if self.kind == SignalKind::StateCode {
            return self.judge_state(raw);
        }
        let value = self.conversion.apply(raw);
        let whole = self.kind != SignalKind::BitMask || value == libm::trunc(value);
        match (self.span, self.usual) {
            (Some(span), _) if !span.holds(value) || !whole => (value, Flag::Implausible),
            (_, Some(usual)) if !usual.holds(value) => (value, Flag::Unusual),
            _ => (value, Flag::Ok),
        }
    }

    fn judge_state(&self, raw: f64) -> (f64, Flag) {
        let code = if self.state_numbers.is_empty() {
            Some(raw)
        } else {
            self.state_numbers.iter().find(|(number, _)| *number == raw).map(|(_, code)| *code)
        };
        match code {
            Some(code) if signal::state_name(code).is_none() => (code, Flag::Implausible),
            Some(code) if code >= STATE_UNAVAILABLE => (code, Flag::Distrusted),
            Some(code) => (code, Flag::Ok),
            None => (raw, Flag::Implausible),
        }
    }

    /// The same for a reading that comes as text: a number, a word for a state, or an ISO 8601 duration (`PT1.5S`).
    /// Any other text (`ns`, `no reading`, `cr`) is a sentinel, and NaN.
    pub fn judge_text(&self, text: &str) -> (f64, Flag) {
        let text = text.trim();
        if self.kind == SignalKind::StateCode {
            let own =
                self.states.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, code)| *code);
            if let Some(code) = own.or_else(|| state_word(text)) {
                return if code >= STATE_UNAVAILABLE { (code, Flag::Distrusted) } else { (code, Flag::Ok) };
            }
        }
        if let (Some(seconds), Some(unit)) = (iso_duration_seconds(text), Unit::parse(&self.unit))
            && let Ok(conversion) = conversion(Unit::SECONDS, unit)
        {
            let value = conversion.apply(seconds);
            let inside = self.span.is_none_or(|span| span.holds(value));
            return (value, if inside { Flag::Ok } else { Flag::Implausible });
        }
        match reading_of_text(text) {
            Some(number) => self.judge(number),
            None => (f64::NAN, Flag::Sentinel),
        }
    }
}

impl ResolvedSeries {
    /// The record that precedes the series' first sample.
    pub fn declaration(&self, id: SeriesId) -> SeriesDeclaration {
        SeriesDeclaration {
            partition: self.partition.clone(),
            id,
            identity: self.identity.clone(),
            cooling_loop: self.cooling_loop.clone(),
            declared: self.declared,
            unit: self.unit.clone(),
            source: self.source.clone(),
            source_name: self.source_name.clone(),
            source_unit: self.source_unit.clone(),
            temporality: self.temporality,
            feed: self.feed,
            labels: Arc::new(self.labels.clone()),
        }
    }

    /// Whether the unit is that of a state code or bit mask.
    pub fn is_code(&self) -> bool {
        Unit::parse(&self.unit).is_none_or(|unit| unit.scale() == Scale::Code)
    }
}

/// DCGM's words for "no value" as they arrive in f64: INT32 0x7ffffff0 … f3, FP64 140737488355328 … 331, and
/// INT64 0x7ffffffffffffff0 … f3, which all round to 2^63 (dcgm_structs.h: blank, not found, not supported, not
/// permitted).
fn is_blank(raw: f64) -> bool {
    const INT32: f64 = 2_147_483_632.0;
    const FP64: f64 = 140_737_488_355_328.0;
    const INT64: f64 = 9_223_372_036_854_775_808.0;
    (INT32..=INT32 + 3.0).contains(&raw) || (FP64..=FP64 + 3.0).contains(&raw) || raw == INT64
}

/// A number that a source wrote as text; `None` for a text state.
pub fn reading_of_text(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// A word for a state: ours, or Redfish's `DetectorState`, in which `LeakDetected` occurs outside its enumeration.
fn state_word(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "leakdetected" => Some(STATE_CRITICAL),
        word => signal::state_code(word),
    }
}

/// Seconds of an ISO 8601 duration of days and less, as Redfish writes them: `PT0S`, `P1DT2H3M4.5S`.
fn iso_duration_seconds(text: &str) -> Option<f64> {
    let (days, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.strip_prefix('P')?, ""));
    let mut seconds = 0.0;
    let mut parts = 0;
    for (part, units) in
        [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..])]
    {
        let mut rest = part;
        for (sign, length) in units {
            if let Some((number, after)) = rest.split_once(*sign) {
                seconds +=
                    number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?
                        * length;
                parts += 1;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (parts > 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_durations_are_seconds() {
        for (text, seconds) in [
            ("PT0S", Some(0.0)),
            ("PT1.5S", Some(1.5)),
            ("P1DT2H3M4S", Some(93_784.0)),
            ("P2D", Some(172_800.0)),
        ] {
            assert_eq!(iso_duration_seconds(text), seconds, "{text}");
        }
        for text in ["", "P", "PT", "1.5", "PT5", "PT1H5", "ns"] {
            assert_eq!(iso_duration_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn all_blanks_of_dcgm_are_known_in_f64() {
        for blank in 0..4u64 {
            assert!(is_blank((0x7fff_ffff_ffff_fff0 + blank) as f64));
            assert!(is_blank((0x7fff_fff0 + blank) as f64));
            assert!(is_blank(140_737_488_355_328.0 + blank as f64));
        }
        assert!(!is_blank(2_147_483_631.0) && !is_blank(9.2e18) && !is_blank(0.0));
    }
}
