//! Runs the .slt files: `queries/NAME.slt` beside each named query, and those of functions and views here.
//!
//! A script adds rows with `INSERT INTO table (columns) query`, sets `now()` with `NOW time`, and asks with SQL or with
//! `NAMED query parameter=value …`. Labels are written as JSON, lists of names with commas between. Each script runs
//! with its rows in memory, with its rows in the store, and once more as a query of few rows is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use history::HistorySettings;
use history::query::{FUNCTIONS, Limits, NamedQuery};
use history::schema::time_type;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, strict_column_validator};
use telemetry::place::Place;
use telemetry::record::Flag;
use telemetry::table::{Cell, Kind, Table};
use telemetry::{EventTime, Microseconds, Name};

use crate::recorded::Recorded;

#[tokio::test]
async fn every_named_query_answers_its_script() {
    let mut asked = Vec::new();
    for query in NamedQuery::all() {
        let script = folder("../../queries").join(format!("{}.slt", query.name));
        assert!(script.exists(), "queries/{}.sql needs {} beside it", query.name, script.display());
        let text = fs::read_to_string(&script).unwrap();
        assert!(text.contains(&format!("\nNAMED {}", query.name)), "{} asks another query", script.display());
        asked.push(script);
    }
    expect_answers(&asked).await;
}

#[tokio::test]
async fn functions_and_views_answer_their_scripts() {
    expect_answers(&scripts(&folder("tests/sql"))).await;
}

#[test]
fn every_function_is_told_once_and_has_an_answer_in_the_script() {
    let script = fs::read_to_string(folder("tests/sql").join("functions.slt")).unwrap();
    for function in FUNCTIONS {
        assert!(script.contains(&format!("{}(", function.name)), "functions.slt lacks {}", function.name);
        assert!(!function.meaning.is_empty());
        let same = FUNCTIONS.iter().filter(|other| other.name == function.name);
        assert_eq!(same.count(), 1, "{}", function.name);
    }
}

#[test]
fn no_script_stands_beside_no_query() {
    for script in scripts(&folder("../../queries")) {
        assert!(script.with_extension("sql").exists(), "{}", script.display());
    }
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|ext| ext == "slt")).collect();
    scripts.sort();
    scripts
}

/// Runs all of them and tells all that is wrong at once.
async fn expect_answers(scripts: &[PathBuf]) {
    let mut wrong = String::new();
    let ways =
        [(false, "in memory", 0), (true, "in the store", 0), (true, "in the store, by one core", usize::MAX)];
    for (script, (is_stored, way, one_core_rows_max)) in
        scripts.iter().flat_map(|script| ways.map(|way| (script, way)))
    {
        let mut runner = Runner::new(|| async move {
            let limits = Limits { one_core_rows_max, ..Limits::default() };
            let settings = HistorySettings { limits, ..HistorySettings::default() };
            Ok(Script { recorded: Recorded::with(settings).await, is_stored, is_committed: true })
        });
        runner.with_column_validator(strict_column_validator);
        if let Err(error) = runner.run_file_async(script).await {
            wrong += &format!("with rows {way}: {error}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The history of one script.
struct Script {
    recorded: Recorded,
    is_stored: bool,
    is_committed: bool,
}

/// What a script cannot do, or what a query answered instead of rows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

#[async_trait]
impl AsyncDB for Script {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        if let Some(insert) = text.strip_prefix("INSERT INTO ") {
            let rows = self.insert(insert).await.map_err(Refused)?;
            return Ok(DBOutput::StatementComplete(rows));
        }
        if let Some(time) = text.strip_prefix("NOW ") {
            self.recorded.newest = EventTime::from_rfc3339(time.trim()).map_err(Refused)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        if self.is_stored && !self.is_committed {
            self.recorded.commit().await;
            self.is_committed = true;
        }
        let answer = match text.strip_prefix("NAMED ") {
            Some(named) => self.recorded.sql(&bound(named).map_err(Refused)?).await,
            None => self.recorded.sql(text).await,
        };
        shown(&answer.map_err(Refused)?).map_err(Refused)
    }

    async fn shutdown(&mut self) {}
}

/// The SQL of `query parameter=value …`; a value with blanks has quotes around.
fn bound(named: &str) -> Result<String, String> {
    let (name, mut rest) = named.trim().split_once(' ').unwrap_or((named.trim(), ""));
    let mut values = std::collections::BTreeMap::new();
    while let Some((parameter, value)) = rest.trim_start().split_once('=') {
        let end = match value.strip_prefix('"') {
            Some(quoted) => quoted.find('"').ok_or("a quote has no end")? + 2,
            None => value.find(' ').unwrap_or(value.len()),
        };
        values.insert(parameter.to_owned(), value[..end].trim_matches('"').to_owned());
        rest = &value[end..];
    }
    let query = NamedQuery::find(name).map_err(|error| error.to_string())?;
    query.bind(&values).map_err(|error| error.to_string())
}

impl Script {
    async fn insert(&mut self, insert: &str) -> Result<u64, String> {
        let (table, rest) = insert.split_once('(').ok_or("write INSERT INTO table (columns) query")?;
        let (columns, query) = rest.split_once(')').ok_or("the columns have no end")?;
        let name = table.trim();
        let table = Table::named(name).ok_or_else(|| format!("there is no table {name}"))?;
        let columns: Vec<&str> = columns.split(',').map(|column| column.trim().trim_matches('"')).collect();
        let rows = plain_answer(query).await?;
        if rows.num_columns() != columns.len() {
            return Err(format!("{} columns are named, {} were given", columns.len(), rows.num_columns()));
        }
        let cells = columns.iter().zip(rows.columns()).map(|(name, values)| {
            let known = table.columns().iter().find(|column| column.name == *name);
            let column = known.ok_or_else(|| format!("{} has no column {name}", table.name()))?;
            Ok((column.name, cells(column.kind, values)?))
        });
        let cells: Vec<(&str, Vec<Cell>)> = cells.collect::<Result<_, String>>()?;
        for row in 0..rows.num_rows() {
            let row: Vec<(&str, Cell)> =
                cells.iter().map(|(name, cells)| (*name, cells[row].clone())).collect();
            match table {
                Table::Samples => self.reading(&row),
                Table::Blocks => self.block(&row),
                table => self.recorded.add_row(table, &row),
            }
        }
        self.is_committed = false;
        Ok(rows.num_rows() as u64)
    }

    fn reading(&mut self, row: &[(&str, Cell)]) {
        let flag = text(row, "flag").map_or(Flag::Ok, |name| {
            *Flag::ALL.iter().find(|flag| flag.name() == &*name).expect("a flag of the list")
        });
        let signal = text(row, "signal").expect("a reading has a signal");
        let value = number(row, "value").unwrap_or(f64::NAN);
        self.recorded.add_of_sensor(place(row), &signal, text(row, "sensor"), time(row), value, flag);
    }

    fn block(&mut self, row: &[(&str, Cell)]) {
        let signal = text(row, "signal").expect("a block has a signal");
        let known = number(row, "known_seconds").unwrap_or(60.0);
        let mean = number(row, "mean").expect("a block has a mean");
        self.recorded.add_block(place(row), &signal, time(row), mean, Microseconds((known * 1e6) as i64));
    }
}

fn of<'a>(row: &'a [(&str, Cell)], name: &str) -> Option<&'a Cell> {
    row.iter().find(|(known, _)| *known == name).map(|(_, cell)| cell)
}

fn text(row: &[(&str, Cell)], name: &str) -> Option<Name> {
    match of(row, name)? {
        Cell::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(row: &[(&str, Cell)], name: &str) -> Option<f64> {
    match of(row, name)? {
        Cell::Number(number) => Some(*number),
        _ => None,
    }
}

fn time(row: &[(&str, Cell)]) -> EventTime {
    match of(row, "time") {
        Some(Cell::Time(time)) => *time,
        _ => panic!("the row has no time"),
    }
}

fn place(row: &[(&str, Cell)]) -> Place {
    Place {
        site: text(row, "site").unwrap_or_else(|| "s1".into()),
        cooling_loop: text(row, "loop"),
        rack: text(row, "rack"),
        node: text(row, "node"),
        device: text(row, "device"),
    }
}

/// The rows of a query that needs no table.
async fn plain_answer(query: &str) -> Result<RecordBatch, String> {
    let told = |error: datafusion::error::DataFusionError| error.to_string();
    let frame = SessionContext::new().sql(query).await.map_err(told)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(told)?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    concat_batches(&schema, &batches).map_err(|error| error.to_string())
}

/// The values of a column as cells of that kind.
fn cells(kind: Kind, values: &ArrayRef) -> Result<Vec<Cell>, String> {
    let wanted = match kind {
        Kind::Text | Kind::Date | Kind::Labels | Kind::Texts => DataType::Utf8,
        Kind::EventTime => time_type(),
        Kind::Number => DataType::Float64,
        Kind::Integer => DataType::Int64,
        Kind::Boolean => DataType::Boolean,
    };
    let values = cast(values, &wanted).map_err(|error| error.to_string())?;
    let cell = |row: usize| match kind {
        _ if values.is_null(row) => Ok(Cell::Null),
        Kind::Text | Kind::Date => Ok(Cell::Text(values.as_string::<i32>().value(row).into())),
        Kind::EventTime => {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            Ok(Cell::Time(EventTime::from_unix_micros(micros)))
        }
        Kind::Number => Ok(Cell::Number(values.as_primitive::<Float64Type>().value(row))),
        Kind::Integer => Ok(Cell::Integer(values.as_primitive::<Int64Type>().value(row))),
        Kind::Boolean => Ok(Cell::Boolean(values.as_boolean().value(row))),
        Kind::Labels => serde_json::from_str(values.as_string::<i32>().value(row))
            .map(Cell::Labels)
            .map_err(|error| error.to_string()),
        Kind::Texts => {
            Ok(Cell::Texts(values.as_string::<i32>().value(row).split(',').map(Name::from).collect()))
        }
    };
    (0..values.len()).map(cell).collect()
}

/// An answer as scripts write it.
fn shown(answer: &RecordBatch) -> Result<DBOutput<DefaultColumnType>, String> {
    let schema = answer.schema();
    let types = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DefaultColumnType::Text,
        kind if kind.is_integer() => DefaultColumnType::Integer,
        kind if kind.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    });
    let types = types.collect();
    let columns = answer.columns().iter().map(shown_column).collect::<Result<Vec<_>, _>>()?;
    let rows = (0..answer.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect());
    Ok(DBOutput::Rows { types, rows: rows.collect() })
}

fn shown_column(values: &ArrayRef) -> Result<Vec<String>, String> {
    let options = FormatOptions::new().with_null("NULL").with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%SZ"));
    let formatter = ArrayFormatter::try_new(values, &options).map_err(|error| error.to_string())?;
    let value = |row: usize| match values.as_primitive_opt::<Float64Type>() {
        Some(numbers) if numbers.is_valid(row) => numbers.value(row).to_string(),
        _ => match formatter.value(row).to_string() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => text,
        },
    };
    Ok((0..values.len()).map(value).collect())
}
