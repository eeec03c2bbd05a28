//! The configuration in force: documents of the log, parsed. One that does not parse changes nothing.
//!
//! log → **configuration** → plan, groups, facts

use telemetry::expression::{Expression, KnownSignals};
use telemetry::facts::{Ask, Need, PowerLimit, Scope};
use telemetry::mapping::Mapping;
use telemetry::record::Configuration;
use telemetry::signal;
use telemetry::site::Site;
use telemetry::unit::Unit;
use telemetry::{Microseconds, Name};

use crate::objective::{Aggregation, AppliesTo, HardLimit, Level, MILLION, Objective, Promise, Rollup, Tier};
use crate::objective_document;
use crate::watch::{self, WatchGroup};

/// How far behind the tick the watermark stays before any configuration says otherwise.
const ALLOWED_LATENESS: Microseconds = Microseconds::from_seconds(30);
/// A limit that stands in a gate policy is judged in slices of this length.
const NEED_SLICE: Microseconds = Microseconds::from_seconds(10);
/// Its rolling window.
const NEED_WINDOW: Microseconds = Microseconds::from_hours(28 * 24);
/// Share of time that must be known for it to be kept, in parts per million.
const NEED_COVERAGE_PPM: u32 = 950_000;

/// Everything that decides how telemetry is judged.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// Hash of the whole.
    pub hash: Name,
    /// Objectives in order of their names, then limits of gate policies.
    pub objectives: Vec<Objective>,
    /// From here on they are limits of gate policies: judged, and no alerts.
    pub needs_from: usize,
    /// Groups of signals that are watched, in order of their names.
    pub watches: Vec<WatchGroup>,
    /// Power to be measured, by name of the need.
    pub power: Vec<(Name, PowerLimit)>,
    /// Signals that have a meaning.
    pub known: KnownSignals,
    /// Racks, loops, limits.
    pub site: Site,
    /// Distance of the watermark from the tick.
    pub allowed_lateness: Microseconds,
}

impl Default for InForce {
    fn default() -> Self {
        Self {
            hash: "".into(),
            objectives: Vec::new(),
            needs_from: 0,
            watches: Vec::new(),
            power: Vec::new(),
            known: KnownSignals::canonical(),
            site: Site::default(),
            allowed_lateness: ALLOWED_LATENESS,
        }
    }
}

/// A parsed configuration, and the needs that could not be built.
pub(crate) struct Parsed {
    /// What it says.
    pub in_force: InForce,
    /// Number of limits of gate policies on signals that nobody knows.
    pub refused_needs: u64,
}

/// Parses what was checked before it was written to the log: an error is a bug of ours, or a torn log.
pub(crate) fn parse(configuration: &Configuration) -> Result<Parsed, String> {
    let text = |errors: Vec<telemetry::document::DocumentError>| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let site = match &configuration.site {
        Some(document) => Site::read(document).map_err(text)?,
        None => Site::default(),
    };
    let known = known_signals(&Mapping::with(&configuration.mappings).map_err(text)?);
    let loaded = objective_document::read(&configuration.objectives, &known).map_err(text)?;
    let watches = watch::read_all(&configuration.objectives, &known).map_err(text)?;
    let mut watches: Vec<WatchGroup> = watches.into_iter().map(|read| read.group).collect();
    watches.sort_by(|one, other| one.name.cmp(&other.name));
    let mut in_force = InForce {
        hash: configuration.hash.as_str().into(),
        needs_from: loaded.objectives.len(),
        objectives: loaded.objectives,
        watches,
        power: Vec::new(),
        known: KnownSignals::default(),
        site,
        allowed_lateness: configuration.allowed_lateness,
    };
    let mut refused_needs = 0;
    for need in &configuration.needs {
        match &need.ask {
            Ask::PowerAtLeast(limit) => in_force.power.push((need.name.clone(), *limit)),
            Ask::HardLimit { .. } => match objective_of(need, &known) {
                Some(objective) => in_force.objectives.push(objective),
                None => refused_needs += 1,
            },
        }
    }
    in_force.known = known;
    in_force.power.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Parsed { in_force, refused_needs })
}

/// Every signal that objectives may name: canonical ones, and those that a mapping declares.
pub fn known_signals(mapping: &Mapping) -> KnownSignals {
    let mut known = KnownSignals::canonical();
    for name in mapping.signal_names().filter(|name| signal::find(name).is_none()) {
        if let Some(unit) = mapping.unit_of(name) {
            known.declare(name, unit, false);
        }
    }
    known
}

/// The objective that a limit of a gate policy stands for.
fn objective_of(need: &Need, known: &KnownSignals) -> Option<Objective> {
    let Ask::HardLimit { signal, comparison, threshold, unit } = &need.ask else { return None };
    let expression = Expression::parse(signal, known).ok()?;
    let expression = match (&**unit, Unit::parse(unit)) {
        ("", _) => expression,
        (_, Some(unit)) => expression.in_unit(unit).ok()?,
        (_, None) => return None,
    };
    let canonical = telemetry::canonical_json(need);
    Some(Objective {
        name: need.name.clone(),
        hash: telemetry::sha256_hex(&canonical).into(),
        service: "".into(),
        display_name: "".into(),
        description: "".into(),
        document: "".into(),
        line: 0,
        promise: Promise::HardLimit(HardLimit { noise_floor: Microseconds::ZERO }),
        signal_text: signal.clone(),
        expression,
        unit: unit.clone(),
        comparison: *comparison,
        threshold: *threshold,
        group_by: Level::Rack,
        rollup: Rollup::Worst,
        slice: NEED_SLICE,
        aggregation: Aggregation::TimeWeightedMax,
        judged_unit: NEED_SLICE,
        validity: None,
        maximum_staleness: None,
        warmup: Microseconds::ZERO,
        minimum_coverage_ppm: NEED_COVERAGE_PPM.min(MILLION as u32),
        strict: false,
        scope: Scope::Rolling,
        window: NEED_WINDOW,
        tier: Tier::Page,
        applies_to: AppliesTo::All,
    })
}
