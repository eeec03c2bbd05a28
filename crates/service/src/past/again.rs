//! What an evaluation from an empty state says of a stored verdict: only what was computed is called identical.
//!
//! stored verdict, `Played` → **again** → identical, different, or not derivable and why

use std::collections::{BTreeMap, BTreeSet};

use evaluator::objective::Promise;
use gate::policy::{Check, CheckKind};
use gate::{CheckResult, Stored, Verdict};
use serde_json::Value;
use telemetry::facts::{Ask, Need, PowerLimit, RackFacts};
use telemetry::mapping::Mapping;
use telemetry::{EventTime, Microseconds, Name, canonical_json};

use super::{Head, Past, Played, StoredVerdict, Wanted};

/// Slopes are of whole blocks of a minute: one begins before the window, and one ends after it.
const BLOCKS: Microseconds = Microseconds::from_minutes(2);

/// A stored verdict beside what comes out again.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The verdict as it was given.
    pub stored: Verdict,
    /// Whether the facts stored with it give the same answer again, to the byte.
    pub from_facts: Result<bool, String>,
    /// What the samples give.
    pub from_samples: Again,
}

/// What an evaluation from the samples gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Again {
    /// The same answer, to the byte.
    Identical,
    /// The rows that can be derived are the same, to the byte.
    Partly {
        /// How many.
        identical: usize,
        /// Checks that cannot be derived, and why.
        not_derivable: Vec<(Name, String)>,
    },
    /// Something differs that should not.
    Different {
        /// What.
        rows: Vec<Difference>,
        /// Checks that cannot be derived, and why.
        not_derivable: Vec<(Name, String)>,
    },
}

/// A row that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The rack, or what the row is about.
    pub of: String,
    /// The check, or the objective.
    pub check: Name,
    /// What was said then.
    pub old: String,
    /// What is said now.
    pub new: String,
}

/// The facts that are needed to judge the run's verdicts from samples.
pub fn wanted(past: &Past) -> Wanted {
    let mut wanted = Wanted::new();
    for verdict in &past.verdicts {
        for facts in Stored::read(&verdict.record.facts).map(|stored| stored.facts).unwrap_or_default() {
            let until = wanted.entry((facts.place, facts.watermark)).or_default();
            *until = verdict.seq.max(*until);
        }
    }
    wanted
}

/// Judges a stored verdict again, from its facts and from the samples.
///
/// # Errors
/// When the stored answer is none that this version reads.
pub fn compare(past: &Past, played: &Played, verdict: &StoredVerdict) -> Result<Compared, String> {
    let answer = &verdict.record.answer;
    let given = Verdict::from_json(answer).map_err(|error| error.to_string())?;
    let stored = match Stored::read(&verdict.record.facts) {
        Ok(stored) => stored,
        Err(error) => {
            let why = error.to_string();
            let not_derivable = given.checks.iter().map(|row| (row.check.clone(), why.clone())).collect();
            let from_samples = Again::Partly { identical: 0, not_derivable };
            return Ok(Compared { stored: given, from_facts: Err(why), from_samples });
        }
    };
    let from_facts = Ok(stored.judge().to_json() == *answer);
    let from_samples = from_samples(past, played, &stored, &given, answer);
    Ok(Compared { stored: given, from_facts, from_samples })
}

fn from_samples(past: &Past, played: &Played, stored: &Stored, given: &Verdict, answer: &str) -> Again {
    let of = |facts: &RackFacts| played.facts.get(&(facts.place.clone(), facts.watermark));
    let told: Vec<_> = stored.facts.iter().filter_map(of).collect();
    let is_there = told.len() == stored.facts.len();
    let mut again = None;
    if is_there {
        // Facts of one watermark may be told twice, as when a run ends: the gate saw one of them.
        for which in 0..told.iter().map(|facts| facts.len()).max().unwrap_or(1) {
            let facts: Vec<&RackFacts> =
                told.iter().map(|facts| &*facts[which.min(facts.len() - 1)]).collect();
            let judged = stored.judge_instead(&stored.policy, &facts);
            if judged.to_json() == answer {
                return Again::Identical;
            }
            again = Some(judged);
        }
    }
    // Verdicts that were given later speak of what was final at the run's end, and of much else.
    let is_later = stored.facts.iter().any(|facts| past.head.to < facts.watermark);
    let again = again.unwrap_or_else(|| {
        let of_question = |facts: &&RackFacts| stored.facts.iter().any(|known| known.place == facts.place);
        let last: Vec<&RackFacts> = played.last.iter().map(|facts| &**facts).filter(of_question).collect();
        stored.judge_instead(&stored.policy, &last)
    });
    let mut rows = Rows {
        head: &past.head,
        looking_back: looking_back(past),
        stored,
        is_later,
        ahead: played.ahead,
        identical: 0,
        different: Vec::new(),
        excused: BTreeMap::new(),
    };
    if !is_there && !is_later {
        rows.different.push(Difference {
            of: "all racks".to_owned(),
            check: stored.policy.name.clone(),
            old: format!("facts as of {}", given.watermark),
            new: "no facts as of that moment".to_owned(),
        });
    }
    rows.compare(given, &again);
    match rows.different.is_empty() {
        true => Again::Partly { identical: rows.identical, not_derivable: rows.not_derivable() },
        false => Again::Different { not_derivable: rows.not_derivable(), rows: rows.different },
    }
}

/// Rows of a verdict, compared one by one.
struct Rows<'a> {
    head: &'a Head,
    /// Objectives that look back beyond the span.
    looking_back: BTreeMap<Name, String>,
    stored: &'a Stored,
    /// The verdict was given after the span.
    is_later: bool,
    /// Readings of clocks that were ahead.
    ahead: u64,
    identical: usize,
    different: Vec<Difference>,
    /// By check.
    excused: BTreeMap<Name, String>,
}

impl Rows<'_> {
    fn not_derivable(&self) -> Vec<(Name, String)> {
        self.excused.iter().map(|(check, why)| (check.clone(), why.clone())).collect()
    }

    fn compare(&mut self, given: &Verdict, again: &Verdict) {
        for of_rack in &given.racks {
            let rows = again.racks.iter().find(|known| known.rack == of_rack.rack);
            let rows = rows.map_or(&[][..], |known| &known.checks);
            for row in &of_rack.checks {
                let new = rows.iter().find(|known| known.check == row.check);
                self.row(&of_rack.rack, row, new);
            }
            for row in rows.iter().filter(|row| !of_rack.checks.iter().any(|known| known.check == row.check))
            {
                self.differs(&of_rack.rack, &row.check, "-".to_owned(), told(row));
            }
        }
    }

    fn row(&mut self, rack: &Name, row: &CheckResult, new: Option<&CheckResult>) {
        let check = self.stored.policy.checks.iter().find(|check| check.name == row.check);
        if let Some(why) = check.and_then(|check| self.needs(check, rack)) {
            self.excused.entry(row.check.clone()).or_insert(why);
            return;
        }
        let Some(new) = new else {
            return self.differs(rack, &row.check, told(row), "-".to_owned());
        };
        if canonical_json(row) == canonical_json(new) {
            self.identical += 1;
        } else if check.is_some_and(is_of_power)
            && canonical_json(&untimed(row)) == canonical_json(&untimed(new))
        {
            let why = "the time of its latest reading depends on the order of arrival, all else is identical";
            self.excused.entry(row.check.clone()).or_insert_with(|| why.to_owned());
        } else {
            self.differ(rack, row, new);
        }
    }

    fn differ(&mut self, rack: &Name, row: &CheckResult, new: &CheckResult) {
        let (mut old, mut now) = (told(row), told(new));
        if old == now {
            let json = |row: &CheckResult| serde_json::to_value(row).unwrap_or_default();
            (old, now) = differing(&json(row), &json(new));
        }
        self.differs(rack, &row.check, old, now);
    }

    fn differs(&mut self, rack: &Name, check: &Name, old: String, new: String) {
        self.different.push(Difference { of: format!("rack {rack}"), check: check.clone(), old, new });
    }

    /// Why a check cannot be derived from the span: it reads what was known before it, or what came after it.
    fn needs(&self, check: &Check, rack: &Name) -> Option<String> {
        let before = || Some(format!("needs history before {}", self.head.from));
        let after = || Some(format!("was judged after {}, where the export ends", self.head.to));
        let is_whole = self.head.is_whole_history;
        match &check.kind {
            CheckKind::Proven { .. } => Some("needs the drills, which are not exported".to_owned()),
            CheckKind::Findings { .. } if is_whole && 0 < self.ahead => {
                Some("needs the moments at which readings of clocks ahead came".to_owned())
            }
            CheckKind::Findings { .. }
            | CheckKind::Recovered { .. }
            | CheckKind::Headroom(_)
            | CheckKind::Canary(_) => {
                if !is_whole {
                    before()
                } else if self.is_later {
                    after()
                } else {
                    None
                }
            }
            CheckKind::PowerEnvelope { need, .. } | CheckKind::Soak { need, .. } => {
                if is_share_of_nominal(need) && !is_whole { before() } else { None }
            }
            CheckKind::Objective { objective, .. } | CheckKind::Trend { objective, .. }
                if self.looking_back.contains_key(objective) =>
            {
                self.looking_back.get(objective).cloned()
            }
            CheckKind::Objective { .. } | CheckKind::BurnRate { .. } | CheckKind::Trend { .. } => {
                let doubted = self.doubted(rack).filter(|_| !is_whole)?;
                Some(format!("{doubted}: that needs history before {}", self.head.from))
            }
            CheckKind::Coverage { .. } => None,
        }
    }

    /// A sensor of the rack that a detector had doubts about: its baseline may be older than the span.
    fn doubted(&self, rack: &Name) -> Option<String> {
        let of_rack = |facts: &&RackFacts| {
            let place = &facts.place;
            place.rack.as_ref().or(place.cooling_loop.as_ref()) == Some(rack)
        };
        let facts = self.stored.facts.iter().find(of_rack)?;
        let sensor = facts.sensors.iter().find(|sensor| sensor.reason.starts_with("finding"))?;
        Some(format!("{} of {} was {}: {}", sensor.signal, sensor.place, sensor.trust.name(), sensor.reason))
    }
}

fn is_share_of_nominal(need: &Need) -> bool {
    matches!(need.ask, Ask::PowerAtLeast(PowerLimit::ShareOfNominal(_)))
}

fn is_of_power(check: &Check) -> bool {
    matches!(check.kind, CheckKind::PowerEnvelope { .. } | CheckKind::Soak { .. })
}

/// The row without the times of its evidence.
fn untimed(row: &CheckResult) -> CheckResult {
    let mut row = row.clone();
    row.evidence.iter_mut().for_each(|evidence| evidence.time = None::<EventTime>);
    row
}

/// `PASS: coolant-dt …`
fn told(row: &CheckResult) -> String {
    format!("{}: {}", row.verdict, row.reason)
}

/// What became of the run's final statuses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// How many came out as they were stored, to the byte.
    pub identical: usize,
    /// Those that did not.
    pub different: Vec<Difference>,
    /// Objectives that look back beyond the span, and why.
    pub not_derivable: Vec<(Name, String)>,
}

/// Compares the final statuses of the run with those that were stored.
pub fn compare_statuses(past: &Past, played: &Played) -> Statuses {
    let by_name = |rows: &[String]| -> BTreeMap<(String, Name), Value> {
        let value = |row: &String| serde_json::from_str(row).unwrap_or_default();
        rows.iter().map(value).map(|row: Value| (name_of(&row), row)).collect()
    };
    let (old, new) = (by_name(&past.statuses), by_name(&played.statuses));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let looking_back = looking_back(past);
    let mut statuses = Statuses::default();
    for name in names {
        let (before, now) = (old.get(name), new.get(name));
        if before == now {
            statuses.identical += 1;
        } else if let Some(why) = looking_back.get(&name.1) {
            statuses.not_derivable.push((name.1.clone(), why.clone()));
        } else {
            let (old, new) = match (before, now) {
                (Some(old), Some(new)) => differing(old, new),
                (old, _) => {
                    let (is, is_none) = ("a final status".to_owned(), "no final status".to_owned());
                    if old.is_some() { (is, is_none) } else { (is_none, is) }
                }
            };
            statuses.different.push(Difference { of: name.0.clone(), check: name.1.clone(), old, new });
        }
    }
    statuses.not_derivable.dedup();
    statuses
}

/// Group and objective of a row of `slo_status`.
fn name_of(row: &Value) -> (String, Name) {
    let text = |column: &str| row[column].as_str().unwrap_or_default();
    (text("group").to_owned(), text("objective").into())
}

/// The fields in which two objects differ, as text.
fn differing(old: &Value, new: &Value) -> (String, String) {
    let keys: BTreeSet<&String> =
        [old, new].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    let keys: Vec<&String> = keys.into_iter().filter(|key| old[key.as_str()] != new[key.as_str()]).collect();
    let told = |row: &Value| {
        keys.iter().map(|key| format!("{key} {}", row[key.as_str()])).collect::<Vec<_>>().join(", ")
    };
    (told(old), told(new))
}

/// Objectives whose slope, at the run's start, is of readings before the span.
fn looking_back(past: &Past) -> BTreeMap<Name, String> {
    let head = &past.head;
    let before = head.start - head.from;
    let mut looking_back = BTreeMap::new();
    let mapping = Mapping::with(&past.configuration.mappings).ok();
    let known = mapping.as_ref().map(evaluator::known_signals).unwrap_or_default();
    let objectives = evaluator::objective_document::read(&past.configuration.objectives, &known);
    for objective in objectives.map(|loaded| loaded.objectives).unwrap_or_default() {
        if let Promise::Trend(trend) = &objective.promise
            && !head.is_whole_history
            && before < trend.window + BLOCKS
        {
            let why = format!("looks {} back, and needs history before {}", trend.window, head.from);
            looking_back.insert(objective.name.clone(), why);
        }
    }
    looking_back
}
