//! `thermogate replay` of an exported run: is each verdict what comes out again?
//!
//! folder of `export` → evaluator → gate → **replay_run** → identical, different, or not derivable and why

use std::path::Path;

use serde::Serialize;
use service::past::{self, Again, Compared, Difference, Past, Played, Statuses};
use telemetry::Name;

use crate::arguments::Output;
use crate::export_folder;
use crate::failure::Failure;
use crate::output::print_line;
use crate::terminal::judged;

/// Exit code where something came out otherwise.
const DIFFERENT: u8 = 1;

/// Runs the command on a folder.
pub fn run(folder: &Path, output: Output) -> Result<u8, Failure> {
    let (past, samples) = export_folder::read(folder)?;
    let played = past::play(&past, None, samples, &past::wanted(&past))?;
    let compare = |verdict| {
        past::compare(&past, &played, verdict)
            .map_err(|error| Failure::bad_input(format!("verdict {}: {error}", verdict.record.evaluation)))
    };
    let verdicts = past.verdicts.iter().map(compare).collect::<Result<Vec<_>, _>>()?;
    let statuses = past::compare_statuses(&past, &played);
    let result = Outcome { verdicts: &verdicts, statuses: &statuses };
    match output {
        Output::Text => result.text(&past, &played),
        Output::Json => result.json(),
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`replay` prints --output text or json"));
        }
    }
    Ok(if result.is_identical() { 0 } else { DIFFERENT })
}

/// All that was compared.
struct Outcome<'a> {
    verdicts: &'a [Compared],
    statuses: &'a Statuses,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Verdict {
        evaluation: &'a str,
        policy: &'a str,
        verdict: &'a str,
        /// `identical`, `different`, or why the facts cannot be read.
        from_facts: &'a str,
        /// `identical`: the whole answer; `partly`: the rows that can be derived; `different`.
        from_samples: &'a str,
        rows_identical: Option<usize>,
        not_derivable: Vec<NotDerivable<'a>>,
        different: Vec<Different<'a>>,
    },
    SloStatus {
        identical: usize,
        not_derivable: Vec<NotDerivable<'a>>,
        different: Vec<Different<'a>>,
    },
    Result {
        identical: bool,
        verdicts: usize,
    },
}

#[derive(Serialize)]
struct NotDerivable<'a> {
    check: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Different<'a> {
    of: &'a str,
    check: &'a str,
    old: &'a str,
    new: &'a str,
}

fn not_derivable(checks: &[(Name, String)]) -> Vec<NotDerivable<'_>> {
    checks.iter().map(|(check, why)| NotDerivable { check, why }).collect()
}

fn different(rows: &[Difference]) -> Vec<Different<'_>> {
    rows.iter().map(|Difference { of, check, old, new }| Different { of, check, old, new }).collect()
}

impl Outcome<'_> {
    fn is_identical(&self) -> bool {
        let is_same = |verdict: &Compared| {
            verdict.from_facts != Ok(false)
                && match verdict.from_samples {
                    Again::Identical | Again::Partly { .. } => true,
                    Again::Different { .. } => false,
                }
        };
        self.statuses.different.is_empty() && self.verdicts.iter().all(is_same)
    }

    fn json(&self) {
        let mut lines: Vec<Line<'_>> = self.verdicts.iter().map(line).collect();
        lines.push(Line::SloStatus {
            identical: self.statuses.identical,
            not_derivable: not_derivable(&self.statuses.not_derivable),
            different: different(&self.statuses.different),
        });
        lines.push(Line::Result { identical: self.is_identical(), verdicts: self.verdicts.len() });
        for line in lines {
            print_line!("{}", serde_json::to_string(&line).unwrap_or_default());
        }
    }

    fn text(&self, past: &Past, played: &Played) {
        let head = &past.head;
        print_line!(
            "run {} ({}) on {}, {} to {}, {}",
            head.run,
            head.stage,
            head.racks.join(" "),
            head.start,
            head.end,
            head.state
        );
        print_line!(
            "evaluated again from an empty state: {} readings from {} to {}",
            played.readings,
            head.from,
            head.to
        );
        if played.late + played.ahead > 0 {
            print_line!(
                "left out as they were then: {} readings too late, {} from clocks ahead",
                played.late,
                played.ahead
            );
        }
        for verdict in self.verdicts {
            tell(verdict);
        }
        let statuses = self.statuses;
        print_line!(
            "final statuses: {} of {} {}",
            statuses.identical,
            statuses.identical + statuses.different.len(),
            judged_identical(statuses.different.is_empty())
        );
        tell_differences(&statuses.different);
        tell_excused(&statuses.not_derivable);
        if self.is_identical() {
            print_line!("all that can be derived is identical, to the byte");
        } else if head.is_whole_history {
            print_line!("something differs: was it judged by another version?");
        } else {
            print_line!(
                "something differs: was it judged by another version, or is it about what was known before {}? \
                 export again with a longer --warm-up",
                head.from
            );
        }
    }
}

fn line(verdict: &Compared) -> Line<'_> {
    let (from_samples, rows_identical, excused, rows) = match &verdict.from_samples {
        Again::Identical => ("identical", None, &[][..], &[][..]),
        Again::Partly { identical, not_derivable } => {
            ("partly", Some(*identical), not_derivable.as_slice(), &[][..])
        }
        Again::Different { rows, not_derivable } => {
            ("different", None, not_derivable.as_slice(), rows.as_slice())
        }
    };
    Line::Verdict {
        evaluation: &verdict.stored.evaluation_id,
        policy: &verdict.stored.policy,
        verdict: verdict.stored.verdict.name(),
        from_facts: match &verdict.from_facts {
            Ok(true) => "identical",
            Ok(false) => "different",
            Err(why) => why,
        },
        from_samples,
        rows_identical,
        not_derivable: not_derivable(excused),
        different: different(rows),
    }
}

fn judged_identical(is: bool) -> String {
    if is { "identical, to the byte".to_owned() } else { judged("DIFFERENT") }
}

fn tell(verdict: &Compared) {
    let stored = &verdict.stored;
    print_line!(
        "verdict {} of {} at {}: {}",
        stored.evaluation_id,
        stored.policy,
        stored.time,
        judged(stored.verdict.name())
    );
    match &verdict.from_facts {
        Ok(is) => print_line!("  judged again from the stored facts: {}", judged_identical(*is)),
        Err(why) => print_line!("  judged again from the stored facts: not derivable: {why}"),
    }
    let excused = match &verdict.from_samples {
        Again::Identical => {
            print_line!("  evaluated again from the samples: identical, to the byte");
            return;
        }
        Again::Partly { identical, not_derivable } => {
            print_line!("  evaluated again from the samples: {identical} rows identical, to the byte");
            not_derivable
        }
        Again::Different { rows, not_derivable } => {
            print_line!("  evaluated again from the samples: {}", judged("DIFFERENT"));
            tell_differences(rows);
            not_derivable
        }
    };
    tell_excused(excused);
}

fn tell_excused(checks: &[(Name, String)]) {
    for (check, why) in checks {
        print_line!("    {check}: not derivable: {why}");
    }
}

fn tell_differences(rows: &[Difference]) {
    for Difference { of, check, old, new } in rows {
        print_line!("    {check} of {of}\n      old {old}\n      new {new}");
    }
}
