//! What the columns of a table mean, and the readings of its rows.

use std::path::{Path, PathBuf};

use super::options::{FileError, FileOptions, Format, did_you_mean};
use super::row::{Keys, Reading, Row, Rows, UnreadableRow, What, put_series};
use super::table::{Cell, Table};
use super::time::TimeReader;

/// Columns that name a place.
const PLACES: [&str; 6] = ["site", "loop", "rack", "node", "device", "sensor"];

/// Every column of the long form but the time.
const LONG: [&str; 10] =
    ["signal", "value", "site", "loop", "rack", "node", "device", "sensor", "quality", "unit"];

/// What a column is.
#[derive(Debug, Clone, PartialEq)]
enum Role {
    Time,
    /// The signal's name, in the long form.
    Signal,
    /// The reading, in the long form.
    Value,
    /// The reading's unit, in the long form.
    Unit,
    /// 1 is good, anything else untrusted.
    Quality,
    /// Part of the place.
    Place(&'static str),
    /// Readings of one signal, in the wide form.
    Reading {
        signal: String,
        unit: Option<String>,
    },
    Ignored,
}

/// A table's rows.
pub(super) struct TableRows {
    path: PathBuf,
    file: usize,
    table: Table,
    roles: Vec<Role>,
    time: TimeReader,
    options: FileOptions,
    number: u64,
}

impl TableRows {
    /// Opens a table and checks its columns.
    pub fn open(path: &Path, file: usize, options: &FileOptions, keys: &Keys) -> Result<Self, FileError> {
        let table = Table::open(path, options)?;
        let roles = roles(&table.columns(), options, keys)
            .map_err(|message| FileError::Columns { path: path.to_owned(), message })?;
        let time = TimeReader::new(options).map_err(FileError::Options)?;
        Ok(Self { path: path.to_owned(), file, table, roles, time, options: options.clone(), number: 0 })
    }

    fn read(&self, number: u64, keys: &mut Keys) -> Result<Result<Row, String>, FileError> {
        let time = match self.time.read(self.cell(&Role::Time)) {
            Ok(time) => time,
            Err(message) => return Ok(Err(message)),
        };
        let mut row = Row { time, number, readings: Vec::new(), absent: 0 };
        let refused = |message| FileError::Row { path: self.path.clone(), line: self.table.line(), message };
        if self.roles.contains(&Role::Value) {
            let Cell::Text(signal) = self.cell(&Role::Signal) else {
                return Ok(Err("the signal is empty".to_owned()));
            };
            let (signal, mapped_unit) = mapped(&self.options, signal);
            let unit = match self.cell(&Role::Unit) {
                Cell::Text(unit) => Some(unit),
                _ => mapped_unit,
            };
            self.add(&mut row, self.cell(&Role::Value), signal, unit, keys).map_err(refused)?;
        } else {
            for (column, role) in self.roles.iter().enumerate() {
                if let Role::Reading { signal, unit } = role {
                    self.add(&mut row, self.table.cell(column), signal, unit.as_deref(), keys)
                        .map_err(refused)?;
                }
            }
        }
        Ok(Ok(row))
    }

    fn cell(&self, role: &Role) -> Cell<'_> {
        self.roles
            .iter()
            .position(|known| known == role)
            .map_or(Cell::Empty, |column| self.table.cell(column))
    }

    fn add(
        &self,
        row: &mut Row,
        cell: Cell<'_>,
        signal: &str,
        unit: Option<&str>,
        keys: &mut Keys,
    ) -> Result<(), String> {
        if cell == Cell::Empty {
            row.absent += 1;
            return Ok(());
        }
        let numbers: [String; PLACES.len()] = std::array::from_fn(|place| self.place(PLACES[place]));
        let places = PLACES.into_iter().zip(numbers.iter().map(String::as_str));
        let key = keys.intern(|out| put_series(out, signal, unit, places))?;
        let mut what = match cell {
            Cell::Text(text) => What::of_text(text),
            Cell::Number(value) => What::Number(value),
            Cell::Integer(value) => What::Number(value as f64),
            Cell::Empty | Cell::Time(_) | Cell::LocalTime(_) => What::Null,
        };
        if let What::Number(value) = what
            && self.roles.contains(&Role::Quality)
            && !is_good(self.cell(&Role::Quality))
        {
            what = What::Distrusted(value);
        }
        row.readings.push(Reading { key, what });
        Ok(())
    }

    /// The place's name in this row; `--rack` where no column says it.
    fn place(&self, place: &'static str) -> String {
        match self.cell(&Role::Place(place)) {
            Cell::Text(name) => name.to_owned(),
            Cell::Integer(number) => number.to_string(),
            Cell::Empty | Cell::Number(_) | Cell::Time(_) | Cell::LocalTime(_) => {
                match (place, &self.options.rack) {
                    ("rack", Some(rack)) => rack.clone(),
                    _ => String::new(),
                }
            }
        }
    }
}

impl Rows for TableRows {
    fn next(&mut self, keys: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError> {
        let Some(whole) = self.table.advance()? else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let row = match whole {
            Ok(()) => self.read(number, keys)?,
            Err(message) => Err(message),
        };
        let line = self.table.line();
        Ok(Some(row.map_err(|message| UnreadableRow { file: self.file, row: number, line, message })))
    }
}

fn is_good(quality: Cell<'_>) -> bool {
    match quality {
        Cell::Integer(number) => number == 1,
        Cell::Number(number) => number == 1.0,
        Cell::Text(text) => text.parse() == Ok(1.0),
        Cell::Empty | Cell::Time(_) | Cell::LocalTime(_) => false,
    }
}

/// The signal and unit that `--map` gives a name; the name itself where it gives none.
fn mapped<'a>(options: &'a FileOptions, name: &'a str) -> (&'a str, Option<&'a str>) {
    options
        .map
        .iter()
        .find(|map| map.column == name)
        .map_or((name, None), |map| (map.signal.as_str(), map.unit.as_deref()))
}

/// What each column is.
fn roles(columns: &[String], options: &FileOptions, keys: &Keys) -> Result<Vec<Role>, String> {
    check_names(columns, options)?;
    let time = options.time_column.as_deref().unwrap_or("time");
    if !columns.iter().any(|column| column == time) {
        let near = did_you_mean(time, columns.iter().map(String::as_str));
        return Err(format!("there is no column {time:?} for the time: name it with --time-column{near}"));
    }
    let has = |name: &str| columns.iter().any(|column| column == name);
    let long = match options.format {
        Some(Format::CsvLong) => true,
        Some(Format::CsvWide) => false,
        _ => has("signal") && has("value"),
    };
    let roles = columns
        .iter()
        .map(|column| match column.as_str() {
            name if name == time => Ok(Role::Time),
            name if options.ignore.iter().any(|ignored| ignored == name) => Ok(Role::Ignored),
            name if long => long_role(name),
            name => wide_role(name, options, keys),
        })
        .collect::<Result<Vec<Role>, String>>()?;
    if long {
        for (role, name) in [(Role::Signal, "signal"), (Role::Value, "value")] {
            if !roles.contains(&role) {
                return Err(format!(
                    "there is no column {name:?}: the long form has time, rack, signal and value"
                ));
            }
        }
    } else if !roles.iter().any(|role| matches!(role, Role::Reading { .. })) {
        return Err("no column holds readings: name one after a signal, or map one with --map COLUMN=SIGNAL"
            .to_owned());
    }
    let placed = ["rack", "loop", "node"].into_iter().any(|place| roles.contains(&Role::Place(place)));
    if !placed && options.rack.is_none() {
        return Err(
            "nothing says which rack the readings are of: name it with --rack, or have a column rack"
                .to_owned(),
        );
    }
    Ok(roles)
}

fn check_names(columns: &[String], options: &FileOptions) -> Result<(), String> {
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(format!("column {} has no name: give each column one", index + 1));
        }
        if columns[..index].contains(column) {
            return Err(format!("column {column:?} occurs twice: give each column a name of its own"));
        }
    }
    let given = options.map.iter().map(|map| &map.column).chain(&options.ignore);
    let long = columns.iter().any(|column| column == "signal");
    for name in given {
        if !columns.contains(name) && !long && options.format != Some(Format::Parquet) {
            let near = did_you_mean(name, columns.iter().map(String::as_str));
            return Err(format!("there is no column {name:?}, which --map or --ignore names{near}"));
        }
    }
    Ok(())
}

fn place_role(name: &str) -> Option<Role> {
    PLACES.into_iter().find(|place| *place == name).map(Role::Place)
}

fn long_role(name: &str) -> Result<Role, String> {
    match name {
        "signal" => Ok(Role::Signal),
        "value" => Ok(Role::Value),
        "unit" => Ok(Role::Unit),
        "quality" => Ok(Role::Quality),
        _ => place_role(name).ok_or_else(|| {
            format!(
                "column {name:?} is unknown in the long form{}; leave it out with --ignore {name}",
                did_you_mean(name, LONG.into_iter())
            )
        }),
    }
}

fn wide_role(name: &str, options: &FileOptions, keys: &Keys) -> Result<Role, String> {
    let is_mapped = options.map.iter().any(|map| map.column == name);
    if !is_mapped {
        if name == "quality" {
            return Ok(Role::Quality);
        }
        if let Some(role) = place_role(name) {
            return Ok(role);
        }
    }
    let (signal, unit) = mapped(options, name);
    let mut key = Vec::new();
    put_series(&mut key, signal, unit, options.rack.iter().map(|rack| ("rack", rack.as_str())));
    keys.check(&key).map_err(|message| {
        if is_mapped {
            format!("column {name:?} is mapped to {signal:?}: {message}")
        } else {
            format!("column {name:?}: {message}; map it with --map {name:?}=SIGNAL[:UNIT], or leave it out with --ignore {name:?}")
        }
    })?;
    Ok(Role::Reading { signal: signal.to_owned(), unit: unit.map(str::to_owned) })
}
