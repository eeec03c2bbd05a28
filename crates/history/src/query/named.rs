//! Named queries: the files of `queries/`, compiled in, each with its purpose, parameters and columns.
//!
//! A file opens with a comment: purpose, then `Parameters` (name, kind, default, meaning) and `Columns` (name, unit,
//! meaning), with two blanks or more between the parts of a line. Parameters stand in the text as `$name`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use telemetry::document::nearest;
use telemetry::{EventTime, Microseconds};

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../../../queries/", $name, ".sql")))),*]
    };
}

/// All named queries, in the order of a tour: where to look, what is close to its limit, what is spent, what is missing,
/// why.
const FILES: [(&str, &str); 13] = files![
    "worst_racks"
    "thermal_margin_by_rack"
    "time_to_throttle"
    "headroom_by_rack"
    "budget_left"
    "recoveries_by_rack"
    "heat_balance"
    "telemetry_gaps"
    "coverage"
    "throttling_against_power"
    "workload_against_cooling"
    "energy_of_run"
    "what_changed_between_two_runs"
];

/// A question with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// What it answers; the first line says it in one sentence.
    pub purpose: String,
    /// What can be asked for.
    pub parameters: Vec<Parameter>,
    /// What it answers with.
    pub columns: Vec<AnswerColumn>,
    /// Its text with `$name` where parameters go.
    pub sql: &'static str,
}

/// A parameter of a named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, without `$`.
    pub name: String,
    /// What may be given.
    pub kind: ParameterKind,
    /// Its default; `None` when it must be given. SQL, but for a length, which is written as people do.
    pub default: Option<String>,
    /// What it means, with its unit.
    pub meaning: String,
}

/// What may be given for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// A name.
    Text,
    /// A number.
    Number,
    /// An RFC 3339 time.
    Time,
    /// A length of time such as `90s` or `4h`.
    Length,
}

impl ParameterKind {
    /// The word in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Time => "time",
            Self::Length => "length",
        }
    }
}

/// A column of a named query's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerColumn {
    /// Its name.
    pub name: String,
    /// UCUM symbol; `None` for what has no unit.
    pub unit: Option<String>,
    /// What it means.
    pub meaning: String,
}

/// Why a named query cannot be asked like that. All of it is the caller's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamedQueryError {
    /// There is none of that name.
    #[error("there is no query {name:?}{}: known are {}", meant(.nearest.as_deref()), names(FILES.iter().map(|(name, _)| *name)))]
    UnknownQuery {
        /// What was asked for.
        name: String,
        /// The nearest there is.
        nearest: Option<String>,
    },
    /// It has no such parameter.
    #[error("query {query} has no parameter {name:?}{}: it has {}", meant(.nearest.as_deref()), names(.known.iter().map(String::as_str)))]
    UnknownParameter {
        /// The query.
        query: &'static str,
        /// What was given.
        name: String,
        /// The nearest there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// A parameter without default was not given.
    #[error(
        "query {query} needs parameter {name:?} ({meaning}): give it a value, on the command line with --parameter {name}=…"
    )]
    MissingParameter {
        /// The query.
        query: &'static str,
        /// Which.
        name: String,
        /// What it means.
        meaning: String,
    },
    /// The value is not of the parameter's kind.
    #[error("parameter {name:?} of query {query}: {mend}")]
    WrongValue {
        /// The query.
        query: &'static str,
        /// Which.
        name: String,
        /// What was given, and what to write.
        mend: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean {nearest:?}?"))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl NamedQuery {
    /// All of them.
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<NamedQuery>> = LazyLock::new(|| {
            let read = |(name, text): &(&'static str, &'static str)| {
                NamedQuery::read(name, text).unwrap_or_else(|what| panic!("queries/{name}.sql: {what}"))
            };
            FILES.iter().map(read).collect()
        });
        &ALL
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`NamedQueryError::UnknownQuery`], with the nearest name.
    pub fn find(name: &str) -> Result<&'static Self, NamedQueryError> {
        Self::all().iter().find(|query| query.name == name).ok_or_else(|| NamedQueryError::UnknownQuery {
            name: name.to_owned(),
            nearest: nearest(name, FILES.iter().map(|(name, _)| *name)).map(str::to_owned),
        })
    }

    /// The text as SQL, with these values and the defaults of all other parameters.
    ///
    /// # Errors
    /// An unknown parameter, a missing one, or a value of another kind.
    pub fn bind(&self, values: &BTreeMap<String, String>) -> Result<String, NamedQueryError> {
        let known = || self.parameters.iter().map(|parameter| parameter.name.as_str());
        if let Some(name) = values.keys().find(|name| !known().any(|known| known == name.as_str())) {
            return Err(NamedQueryError::UnknownParameter {
                query: self.name,
                name: name.clone(),
                nearest: nearest(name, known()).map(str::to_owned),
                known: known().map(str::to_owned).collect(),
            });
        }
        let mut literals = BTreeMap::new();
        for parameter in &self.parameters {
            let literal = match (values.get(&parameter.name), &parameter.default) {
                (Some(value), _) => parameter.kind.literal(value).map_err(|mend| {
                    NamedQueryError::WrongValue { query: self.name, name: parameter.name.clone(), mend }
                })?,
                (None, Some(default)) => parameter.default_literal(default),
                (None, None) => {
                    return Err(NamedQueryError::MissingParameter {
                        query: self.name,
                        name: parameter.name.clone(),
                        meaning: parameter.meaning.clone(),
                    });
                }
            };
            literals.insert(parameter.name.as_str(), literal);
        }
        Ok(substitute(self.sql, &literals))
    }

    /// Reads a file; the error is ours, since the files are compiled in.
    fn read(name: &'static str, text: &'static str) -> Result<Self, String> {
        let mut part = Part::Purpose;
        let (mut purpose, mut parameters, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let mut sql = text;
        while let Some(rest) = sql.strip_prefix("--") {
            let (line, rest) = rest.split_once('\n').ok_or("it has no SQL")?;
            sql = rest;
            match line.trim() {
                "Parameters" => part = Part::Parameters,
                "Columns" => part = Part::Columns,
                line => match part {
                    Part::Purpose => purpose.push(line),
                    Part::Parameters => parameters.push(Parameter::read(line)?),
                    Part::Columns => columns.push(AnswerColumn::read(line)?),
                },
            }
        }
        let purpose = purpose.join("\n").trim().to_owned();
        if purpose.is_empty() || columns.is_empty() {
            return Err("it needs a purpose and columns".to_owned());
        }
        Ok(Self { name, purpose, parameters, columns, sql })
    }
}

/// Part of a file's opening comment.
enum Part {
    Purpose,
    Parameters,
    Columns,
}

/// The parts of a line: two blanks or more are between them.
fn parts<const N: usize>(line: &str) -> Result<[&str; N], String> {
    let mut found = [""; N];
    let mut rest = line;
    for part in &mut found[..N - 1] {
        let (first, after) =
            rest.split_once("  ").ok_or_else(|| format!("{line:?} has less than {N} parts"))?;
        (*part, rest) = (first, after.trim_start());
    }
    found[N - 1] = rest;
    Ok(found)
}

impl Parameter {
    fn read(line: &str) -> Result<Self, String> {
        let [name, kind, default, meaning] = parts::<4>(line)?;
        let kinds = [ParameterKind::Text, ParameterKind::Number, ParameterKind::Time, ParameterKind::Length];
        let kind = kinds
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| format!("no kind {kind:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            default: (default != "required").then(|| default.to_owned()),
            meaning: meaning.to_owned(),
        })
    }

    /// Defaults are SQL, but lengths are written as people do.
    fn default_literal(&self, default: &str) -> String {
        match self.kind {
            ParameterKind::Length => self.kind.literal(default).unwrap_or_else(|_| default.to_owned()),
            ParameterKind::Text | ParameterKind::Number | ParameterKind::Time => default.to_owned(),
        }
    }
}

impl AnswerColumn {
    fn read(line: &str) -> Result<Self, String> {
        let [name, unit, meaning] = parts::<3>(line)?;
        let unit = (unit != "-").then(|| unit.to_owned());
        Ok(Self { name: name.to_owned(), unit, meaning: meaning.to_owned() })
    }
}

impl ParameterKind {
    /// The value as SQL that means just that, whatever the value is; the error says what to write.
    fn literal(self, value: &str) -> Result<String, String> {
        match self {
            Self::Text => Ok(format!("'{}'", value.replace('\'', "''"))),
            Self::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(format!("CAST({number:?} AS DOUBLE)")),
                _ => Err(format!("{value:?} is not a number: write it like 4.15")),
            },
            Self::Time => {
                let time = EventTime::from_rfc3339(value)?;
                Ok(format!("CAST('{time}' AS TIMESTAMP WITH TIME ZONE)"))
            }
            Self::Length => {
                let length: Microseconds = value.parse()?;
                Ok(format!("INTERVAL '{} microseconds'", length.get()))
            }
        }
    }
}

/// Puts literals in the place of `$name`, but for quoted texts, quoted names and comments.
fn substitute(sql: &str, literals: &BTreeMap<&str, String>) -> String {
    let mut bound = String::with_capacity(sql.len() + 256);
    let mut rest = sql;
    while let Some(at) = rest.find(['$', '\'', '"', '-']) {
        let (before, from) = rest.split_at(at);
        bound.push_str(before);
        let length = match from.as_bytes()[0] {
            b'$' => {
                let end = from[1..]
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .map_or(from.len(), |end| end + 1);
                bound.push_str(literals.get(&from[1..end]).map_or(&from[..end], String::as_str));
                rest = &from[end..];
                continue;
            }
            b'-' if from.starts_with("--") => from.find('\n').unwrap_or(from.len()),
            b'-' => 1,
            // A doubled quote inside ends one text and begins the next: the same outcome.
            quote => from[1..].find(char::from(quote)).map_or(from.len(), |end| end + 2),
        };
        bound.push_str(&from[..length]);
        rest = &from[length..];
    }
    bound.push_str(rest);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_file_of_the_folder_is_compiled_in_and_readable() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../queries");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|file| file.extension().is_some_and(|extension| extension == "sql"))
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let mut known: Vec<&str> = NamedQuery::all().iter().map(|query| query.name).collect();
        known.sort_unstable();
        assert_eq!(files, known);
    }

    #[test]
    fn every_parameter_is_used_and_every_use_is_a_parameter() {
        for query in NamedQuery::all() {
            let given = values(&[("before", "run-1"), ("after", "run-2"), ("run", "run-1")]);
            let required =
                given.into_iter().filter(|(name, _)| query.parameters.iter().any(|p| p.name == *name));
            let bound = query.bind(&required.collect()).unwrap();
            assert!(!bound.contains('$'), "{}: {bound}", query.name);
            for parameter in &query.parameters {
                assert!(
                    query.sql.contains(&format!("${}", parameter.name)),
                    "{}: {}",
                    query.name,
                    parameter.name
                );
            }
        }
    }

    #[test]
    fn the_opening_comment_says_purpose_parameters_and_columns() {
        let query = NamedQuery::find("heat_balance").unwrap();
        assert!(
            query
                .purpose
                .starts_with("Heat balance by rack: does the coolant carry away what the rack draws?\n")
        );
        assert_eq!(
            query.parameters[3],
            Parameter {
                name: "heat_capacity".to_owned(),
                kind: ParameterKind::Number,
                default: Some("4.15".to_owned()),
                meaning: "kJ/(L K): water 4.15, 25 % propylene glycol 3.98 to 4.00".to_owned(),
            }
        );
        assert_eq!(query.parameters[1].default.as_deref(), Some("now() - INTERVAL '1 hour'"));
        assert_eq!(query.columns[3].unit.as_deref(), Some("L/min"));
        assert_eq!(query.columns[2].unit, None);
    }

    #[test]
    fn a_value_is_only_ever_a_value() {
        let query = NamedQuery::read("q", "-- Q\n-- Parameters\n--   a  text  NULL  a\n-- Columns\n--   b  -  b\nSELECT '$a', \"$a\", 'it''s $a', $a -- $a\n, 1-$a").unwrap();
        let bound = query.bind(&values(&[("a", "x'; DROP TABLE samples; --")])).unwrap();
        let literal = "'x''; DROP TABLE samples; --'";
        assert_eq!(bound, format!("SELECT '$a', \"$a\", 'it''s $a', {literal} -- $a\n, 1-{literal}"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_write() {
        let find = |name: &str| NamedQuery::find(name).unwrap_err().to_string();
        assert!(find("heat_balanc").starts_with(
            "there is no query \"heat_balanc\", did you mean \"heat_balance\"?: known are worst_racks, "
        ));
        let refused = |query: &str, pairs: &[(&str, &str)]| {
            NamedQuery::find(query).unwrap().bind(&values(pairs)).unwrap_err().to_string()
        };
        let cases = [
            (
                refused("heat_balance", &[("rak", "r1")]),
                "query heat_balance has no parameter \"rak\", did you mean \"rack\"?: it has rack, since, until, heat_capacity",
            ),
            (
                refused("what_changed_between_two_runs", &[("before", "a")]),
                "query what_changed_between_two_runs needs parameter \"after\" (id of the later run): give it a value, on the command line with --parameter after=…",
            ),
            (
                refused("heat_balance", &[("heat_capacity", "water")]),
                "parameter \"heat_capacity\" of query heat_balance: \"water\" is not a number: write it like 4.15",
            ),
            (
                refused("telemetry_gaps", &[("longer_than", "90")]),
                "parameter \"longer_than\" of query telemetry_gaps: \"90\" is not a length of time: write a number and a unit, such as 30s, 20m, 4h or 28d",
            ),
            (
                refused("heat_balance", &[("since", "yesterday")]),
                "parameter \"since\" of query heat_balance: \"yesterday\" is not an RFC 3339 time: write it like 2026-01-05T10:00:00Z",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
    }
}
