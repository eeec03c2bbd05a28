//! One entry of a policy's `checks`.

use serde::Deserialize;
use telemetry::facts::{Ask, Comparison, Need, PowerLimit, Severity};
use telemetry::unit::Unit;
use telemetry::{Microseconds, Name};

use super::canary::CanaryFile;
use super::headroom::HeadroomFile;
use super::proven::ProvenFile;
use super::quantity::{kilowatts, length, share_ppm};
use super::text_or::TextOr;
use crate::policy::{Check, CheckKind, Tier, Undeclared};

/// What a check takes from its policy when it does not say itself.
pub struct Defaults {
    pub minimum_coverage_ppm: u32,
}

/// A check as a person writes it: exactly one of the kinds, and what may be added to any.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckFile {
    objective: Option<ObjectiveFile>,
    burn_rate: Option<BurnRateFile>,
    findings: Option<FindingsFile>,
    coverage: Option<CoverageFile>,
    trend: Option<TrendFile>,
    power_envelope: Option<PowerEnvelopeFile>,
    soak: Option<SoakFile>,
    recovered: Option<RecoveredFile>,
    headroom: Option<HeadroomFile>,
    proven: Option<ProvenFile>,
    canary: Option<CanaryFile>,

    name: Option<String>,
    weight: Option<f64>,
    #[serde(default)]
    warn: bool,
    #[serde(default)]
    hard: bool,
    at_most: Option<u64>,
    noise_floor: Option<String>,
    undeclared: Option<Undeclared>,
}

/// A name, or `{inline: {…}}`.
type ObjectiveFile = TextOr<InlineObjectiveFile>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineObjectiveFile {
    inline: InlineFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InlineFile {
    signal: String,
    equals: Option<String>,
    op: Option<Comparison>,
    value: Option<f64>,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BurnRateFile {
    tier: Tier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingsFile {
    #[serde(default)]
    detectors: Vec<Name>,
    severity: Option<Severity>,
    none: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CoverageFile {
    signals: Vec<Name>,
    min: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TrendFile {
    objective: Name,
    time_to_threshold_min: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PowerEnvelopeFile {
    share_of_nominal: Option<f64>,
    max_kw: Option<f64>,
    #[serde(rename = "for")]
    span: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SoakFile {
    min: String,
    load_min: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoveredFile {
    #[serde(rename = "for")]
    span: String,
}

/// A kind, the check's name when it has none of its own.
type Named = (CheckKind, String);

impl CheckFile {
    /// # Errors
    /// What is wrong with this check and how to mend it.
    pub fn check(self, line: u64, defaults: &Defaults) -> Result<Check, String> {
        let noise_floor = match &self.noise_floor {
            Some(text) => length("noiseFloor", text)?,
            None => Microseconds::ZERO,
        };
        let kinds: Vec<Result<Named, String>> = [
            self.objective.map(|file| objective_kind(file, self.at_most, noise_floor)),
            self.burn_rate.map(|file| {
                Ok((CheckKind::BurnRate { tier: file.tier }, format!("burn-rate-{}", file.tier.name())))
            }),
            self.findings.map(FindingsFile::kind),
            self.coverage.map(|file| file.kind(defaults)),
            self.trend.map(TrendFile::kind),
            self.power_envelope.map(PowerEnvelopeFile::kind),
            self.soak.map(SoakFile::kind),
            self.recovered.map(|file| {
                let span = length("recovered.for", &file.span)?;
                Ok((CheckKind::Recovered { span }, "recovered".into()))
            }),
            self.headroom.map(|file| {
                let (asked, name) = file.headroom()?;
                Ok((CheckKind::Headroom(asked), name))
            }),
            self.proven.map(ProvenFile::kind),
            self.canary.map(|file| Ok((CheckKind::Canary(file.canary()?), "canary".into()))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [kind] = <[_; 1]>::try_from(kinds).map_err(|found| {
            format!(
                "a check is exactly one of objective, burnRate, findings, coverage, trend, powerEnvelope, soak, \
                 recovered, headroom, proven, canary; this has {}: write each as an entry of its own",
                found.len()
            )
        })?;
        let (kind, name) = kind?;
        let of_objective = matches!(kind, CheckKind::Objective { .. });
        if !of_objective && (self.at_most.is_some() || self.noise_floor.is_some() || self.hard) {
            return Err("atMost, noiseFloor and hard go with `objective` only: remove them here".into());
        }
        if self.hard && self.warn {
            return Err("hard and warn contradict each other: zero tolerance cannot count as a warning; \
                        keep one of them"
                .into());
        }
        let weight = self.weight.unwrap_or(1.0);
        if !(0.0..=1e6).contains(&weight) {
            return Err(format!("weight is {weight}: give a number from 0 to 1000000"));
        }
        let name = self.name.unwrap_or(name);
        if name.trim().is_empty() {
            return Err("name is empty: give a name, or leave the field out".into());
        }
        Ok(Check {
            name: name.into(),
            weight,
            warn: self.warn,
            hard: self.hard,
            undeclared: self.undeclared.unwrap_or(Undeclared::Ask),
            kind,
            line,
        })
    }
}

fn objective_kind(
    file: ObjectiveFile,
    at_most: Option<u64>,
    noise_floor: Microseconds,
) -> Result<Named, String> {
    let inline = match file {
        TextOr::Text(name) => {
            let kind =
                CheckKind::Objective { objective: name.as_str().into(), inline: None, at_most, noise_floor };
            return Ok((kind, name));
        }
        TextOr::Fields(InlineObjectiveFile { inline }) => inline,
    };
    if at_most.is_some() {
        return Err(
            "atMost counts the episodes of a named objective: an inline one has none; remove it".into()
        );
    }
    let need = inline.need()?;
    let name = need.name.to_string();
    Ok((
        CheckKind::Objective { objective: need.name.clone(), inline: Some(need), at_most, noise_floor },
        name,
    ))
}

impl InlineFile {
    /// Zero tolerance on a signal, named by its own text.
    fn need(self) -> Result<Need, String> {
        let signal = self.signal.trim();
        if signal.is_empty() {
            return Err("inline.signal is empty: name a signal, such as leak_state".into());
        }
        let (comparison, threshold, unit, text) = match (self.equals, self.op, self.value) {
            (Some(state), None, None) => {
                let (code, text) = self::state(state)?;
                (Comparison::Equal, code, String::new(), text)
            }
            (None, Some(comparison), Some(value)) if value.is_finite() => {
                let unit = self.unit.ok_or("inline: op and value need a `unit`, such as Cel")?;
                let known = Unit::parse(&unit).ok_or_else(|| {
                    format!("inline.unit {unit:?} is not known: write a UCUM symbol, such as Cel")
                })?;
                let unit = known.symbol().to_owned();
                (comparison, value, unit.clone(), format!("{value} {unit}"))
            }
            _ => {
                return Err(
                    "an inline objective is a signal with `equals: ok`, or with op, value and unit: \
                            {signal: leak_state, equals: ok}"
                        .into(),
                );
            }
        };
        Ok(Need {
            name: format!("{signal} {} {text}", comparison.sign()).into(),
            ask: Ask::HardLimit { signal: signal.into(), comparison, threshold, unit: unit.into() },
        })
    }
}

/// A state's word or code, and how it is written in names.
fn state(text: String) -> Result<(f64, String), String> {
    let code = telemetry::signal::state_code(&text)
        .or_else(|| text.parse().ok().filter(|code: &f64| code.is_finite()));
    let refused = || format!("inline.equals is {text:?}: write ok, warning, critical or a number");
    code.map(|code| (code, text.clone())).ok_or_else(refused)
}

impl FindingsFile {
    fn kind(self) -> Result<Named, String> {
        if self.none == Some(false) {
            return Err(
                "findings.none is false: it would check nothing; write `none: true`, or remove the check"
                    .into(),
            );
        }
        let severity = self.severity.unwrap_or(Severity::Warning);
        Ok((CheckKind::Findings { detectors: self.detectors, severity }, "findings".into()))
    }
}

impl CoverageFile {
    fn kind(self, defaults: &Defaults) -> Result<Named, String> {
        if self.signals.is_empty() {
            return Err("coverage.signals is empty: name the signals that must be known".into());
        }
        let minimum_ppm =
            self.min.map_or(Ok(defaults.minimum_coverage_ppm), |min| share_ppm("coverage.min", min))?;
        Ok((CheckKind::Coverage { signals: self.signals, minimum_ppm }, "coverage".into()))
    }
}

impl TrendFile {
    fn kind(self) -> Result<Named, String> {
        let name = format!("trend-{}", self.objective);
        let time_to_threshold_minimum =
            self.time_to_threshold_min.map(|text| length("trend.timeToThresholdMin", &text)).transpose()?;
        Ok((CheckKind::Trend { objective: self.objective, time_to_threshold_minimum }, name))
    }
}

impl PowerEnvelopeFile {
    fn kind(self) -> Result<Named, String> {
        let span = length("powerEnvelope.for", &self.span)?;
        let need = match (self.share_of_nominal, self.max_kw) {
            (Some(share), None) => {
                share_ppm("powerEnvelope.shareOfNominal", share)?;
                Need {
                    name: format!("rack_power >= {share} of nominal").into(),
                    ask: Ask::PowerAtLeast(PowerLimit::ShareOfNominal(share)),
                }
            }
            (None, Some(kilowatts)) => power_at_least("powerEnvelope.maxKw", kilowatts)?,
            _ => return Err("powerEnvelope is shareOfNominal or maxKw: write one of them".into()),
        };
        Ok((CheckKind::PowerEnvelope { need, span }, "power-envelope".into()))
    }
}

impl SoakFile {
    fn kind(self) -> Result<Named, String> {
        let minimum = length("soak.min", &self.min)?;
        let need = power_at_least("soak.loadMin", kilowatts("soak.loadMin", &self.load_min)?)?;
        Ok((CheckKind::Soak { need, minimum }, "soak".into()))
    }
}

fn power_at_least(field: &str, kilowatts: f64) -> Result<Need, String> {
    if !(kilowatts.is_finite() && kilowatts > 0.0) {
        return Err(format!("{field} is {kilowatts}: give a power above 0 kW"));
    }
    Ok(Need {
        name: format!("rack_power >= {kilowatts} kW").into(),
        ask: Ask::PowerAtLeast(PowerLimit::Kilowatts(kilowatts)),
    })
}
