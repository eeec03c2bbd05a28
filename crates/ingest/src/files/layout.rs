//! What the columns of a table mean, and the readings of its rows.

use std::borrow::Cow;

use telemetry::EventTime;

use super::cell::{Cell, Cells};
use super::options::{ColumnMap, FileOptions, Format, did_you_mean};
use super::row::{Keys, Reading, What, put_series};
use super::time::TimeReader;

/// Columns that name a place.
pub(crate) const PLACES: [&str; 6] = ["site", "loop", "rack", "node", "device", "sensor"];

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

/// What the columns of a table mean. One table is in the long form, a reading a row, or in the wide form, a column a
/// signal.
#[derive(Debug)]
pub(crate) struct Layout {
    roles: Vec<Role>,
    time: usize,
    quality: Option<usize>,
    /// The column of each of [`PLACES`].
    places: [Option<usize>; PLACES.len()],
    /// The columns `signal` and `value` of the long form, and `unit` where there is one.
    long: Option<(usize, usize, Option<usize>)>,
    reader: TimeReader,
    /// The rack of rows that name none.
    rack: Option<String>,
    map: Vec<ColumnMap>,
}

/// Columns that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ColumnFault {
    /// What is wrong.
    pub problem: String,
    /// How the flags of a command mend it; empty where they cannot.
    pub advice: String,
}

impl ColumnFault {
    fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

impl std::fmt::Display for ColumnFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}{}", self.problem, self.advice)
    }
}

/// Why a row has no readings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// This one cannot be read.
    Unreadable(String),
    /// It is of a series that cannot be taken; the next one will be too.
    Series(String),
}

impl Layout {
    /// Finds out what the columns of these names mean.
    pub fn new(
        columns: &[String],
        options: &FileOptions,
        reader: TimeReader,
        keys: &Keys,
    ) -> Result<Self, ColumnFault> {
        let roles = roles(columns, options, keys)?;
        let at = |role: &Role| roles.iter().position(|known| known == role);
        let long = at(&Role::Signal).zip(at(&Role::Value));
        Ok(Self {
            time: at(&Role::Time).unwrap_or_default(),
            quality: at(&Role::Quality),
            places: PLACES.map(|place| at(&Role::Place(place))),
            long: long.map(|(signal, value)| (signal, value, at(&Role::Unit))),
            reader,
            rack: options.rack.clone(),
            map: options.map.clone(),
            roles,
        })
    }

    /// The columns that hold readings.
    pub fn reading_columns(&self) -> impl Iterator<Item = usize> {
        let holds = |role: &Role| matches!(role, Role::Reading { .. } | Role::Value);
        self.roles.iter().enumerate().filter(move |(_, role)| holds(role)).map(|(column, _)| column)
    }

    /// The column of the time.
    pub const fn time_column(&self) -> usize {
        self.time
    }

    /// The time of a row.
    pub fn time(&self, row: &impl Cells) -> Result<EventTime, String> {
        self.reader.read(row.cell(self.time))
    }

    /// Adds the readings of a row to `readings`, and says how many cells hold none.
    pub fn add_readings(
        &self,
        row: &impl Cells,
        keys: &mut Keys,
        readings: &mut Vec<Reading>,
    ) -> Result<u32, RowFault> {
        let places = self.places(row);
        let mut absent = 0;
        if let Some((signal, value, unit)) = self.long {
            let Cell::Text(signal) = row.cell(signal) else {
                return Err(RowFault::Unreadable("the signal is empty".to_owned()));
            };
            let (signal, mapped_unit) = mapped(&self.map, signal);
            let unit = match unit.map(|unit| row.cell(unit)) {
                Some(Cell::Text(unit)) => Some(unit),
                _ => mapped_unit,
            };
            match self.reading(row, row.cell(value), signal, unit, &places, keys)? {
                Some(reading) => readings.push(reading),
                None => absent += 1,
            }
            return Ok(absent);
        }
        for (column, role) in self.roles.iter().enumerate() {
            if let Role::Reading { signal, unit } = role {
                match self.reading(row, row.cell(column), signal, unit.as_deref(), &places, keys)? {
                    Some(reading) => readings.push(reading),
                    None => absent += 1,
                }
            }
        }
        Ok(absent)
    }

    /// The reading of a cell; `None` where it is empty.
    fn reading(
        &self,
        row: &impl Cells,
        cell: Cell<'_>,
        signal: &str,
        unit: Option<&str>,
        places: &[Cow<'_, str>; PLACES.len()],
        keys: &mut Keys,
    ) -> Result<Option<Reading>, RowFault> {
        if cell == Cell::Empty {
            return Ok(None);
        }
        let labels = PLACES.into_iter().zip(places.iter().map(|place| &**place));
        let key = keys.intern(|out| put_series(out, signal, unit, labels)).map_err(RowFault::Series)?;
        let mut what = match cell {
            Cell::Text(text) => What::of_text(text),
            Cell::Number(value) => What::Number(value),
            Cell::Integer(value) => What::Number(value as f64),
            Cell::Empty | Cell::Time(_) | Cell::LocalTime(_) => What::Null,
        };
        if let (What::Number(value), Some(quality)) = (&what, self.quality)
            && !is_good(row.cell(quality))
        {
            what = What::Distrusted(*value);
        }
        Ok(Some(Reading { key, what }))
    }

    /// The names of [`PLACES`] in this row; `--rack` where no column says it.
    fn places<'a>(&'a self, row: &'a impl Cells) -> [Cow<'a, str>; PLACES.len()] {
        std::array::from_fn(|place| match self.places[place].map_or(Cell::Empty, |column| row.cell(column)) {
            Cell::Text(name) => name.into(),
            Cell::Integer(number) => number.to_string().into(),
            Cell::Empty | Cell::Number(_) | Cell::Time(_) | Cell::LocalTime(_) => {
                match (PLACES[place], &self.rack) {
                    ("rack", Some(rack)) => rack.as_str().into(),
                    _ => "".into(),
                }
            }
        })
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
fn mapped<'a>(map: &'a [ColumnMap], name: &'a str) -> (&'a str, Option<&'a str>) {
    map.iter()
        .find(|map| map.column == name)
        .map_or((name, None), |map| (map.signal.as_str(), map.unit.as_deref()))
}

/// What each column is.
fn roles(columns: &[String], options: &FileOptions, keys: &Keys) -> Result<Vec<Role>, ColumnFault> {
    check_names(columns, options)?;
    let time = options.time_column.as_deref().unwrap_or("time");
    if !columns.iter().any(|column| column == time) {
        let near = did_you_mean(time, columns.iter().map(String::as_str));
        return Err(ColumnFault::new(
            format!("there is no column {time:?} for the time"),
            format!(": name it with --time-column{near}"),
        ));
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
        .collect::<Result<Vec<Role>, ColumnFault>>()?;
    if long {
        for (role, name) in [(Role::Signal, "signal"), (Role::Value, "value")] {
            if !roles.contains(&role) {
                return Err(ColumnFault::new(
                    format!("there is no column {name:?}"),
                    ": the long form has time, rack, signal and value",
                ));
            }
        }
    } else if !roles.iter().any(|role| matches!(role, Role::Reading { .. })) {
        return Err(ColumnFault::new(
            "no column holds readings",
            ": name one after a signal, or map one with --map COLUMN=SIGNAL",
        ));
    }
    let placed = ["rack", "loop", "node"].into_iter().any(|place| roles.contains(&Role::Place(place)));
    if !placed && options.rack.is_none() {
        return Err(ColumnFault::new(
            "nothing says which rack the readings are of",
            ": name it with --rack, or have a column rack",
        ));
    }
    Ok(roles)
}

fn check_names(columns: &[String], options: &FileOptions) -> Result<(), ColumnFault> {
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() {
            let problem = format!("column {} has no name: give each column one", index + 1);
            return Err(ColumnFault::new(problem, ""));
        }
        if columns[..index].contains(column) {
            let problem = format!("column {column:?} occurs twice: give each column a name of its own");
            return Err(ColumnFault::new(problem, ""));
        }
    }
    let given = options.map.iter().map(|map| &map.column).chain(&options.ignore);
    let long = columns.iter().any(|column| column == "signal");
    for name in given {
        if !columns.contains(name) && !long && options.format != Some(Format::Parquet) {
            let near = did_you_mean(name, columns.iter().map(String::as_str));
            let problem = format!("there is no column {name:?}, which --map or --ignore names{near}");
            return Err(ColumnFault::new(problem, ""));
        }
    }
    Ok(())
}

fn place_role(name: &str) -> Option<Role> {
    PLACES.into_iter().find(|place| *place == name).map(Role::Place)
}

fn long_role(name: &str) -> Result<Role, ColumnFault> {
    match name {
        "signal" => Ok(Role::Signal),
        "value" => Ok(Role::Value),
        "unit" => Ok(Role::Unit),
        "quality" => Ok(Role::Quality),
        _ => place_role(name).ok_or_else(|| {
            let near = did_you_mean(name, LONG.into_iter());
            ColumnFault::new(
                format!("column {name:?} is unknown in the long form{near}"),
                format!("; leave it out with --ignore {name}"),
            )
        }),
    }
}

fn wide_role(name: &str, options: &FileOptions, keys: &Keys) -> Result<Role, ColumnFault> {
    let is_mapped = options.map.iter().any(|map| map.column == name);
    if !is_mapped {
        if name == "quality" {
            return Ok(Role::Quality);
        }
        if let Some(role) = place_role(name) {
            return Ok(role);
        }
    }
    let (signal, unit) = mapped(&options.map, name);
    let mut key = Vec::new();
    put_series(&mut key, signal, unit, options.rack.iter().map(|rack| ("rack", rack.as_str())));
    keys.check(&key).map_err(|message| {
        if is_mapped {
            ColumnFault::new(format!("column {name:?} is mapped to {signal:?}: {message}"), "")
        } else {
            ColumnFault::new(
                format!("column {name:?}: {message}"),
                format!("; map it with --map {name:?}=SIGNAL[:UNIT], or leave it out with --ignore {name:?}"),
            )
        }
    })?;
    Ok(Role::Reading { signal: signal.to_owned(), unit: unit.map(str::to_owned) })
}
