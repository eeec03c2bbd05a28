//! How recorded files are to be read: what the command line's flags mean.

use std::path::PathBuf;
use std::str::FromStr;

use telemetry::document::nearest;
use telemetry::{EventTime, Microseconds};

/// How recorded files are to be read. All of them alike.
#[derive(Debug, Default, Clone)]
pub struct FileOptions {
    /// `--format`; `None`: Parquet for files named `*.parquet`, a dump of Prometheus where they begin like one, else CSV.
    pub format: Option<Format>,
    /// `--rack`: the rack of rows that name none.
    pub rack: Option<String>,
    /// `--map`: what a column, or a name in the column `signal`, means.
    pub map: Vec<ColumnMap>,
    /// `--ignore`: columns that are not read.
    pub ignore: Vec<String>,
    /// `--time-column`; `time` when absent.
    pub time_column: Option<String>,
    /// `--time-format`: form of times that are text, in the notation of strptime.
    pub time_format: Option<String>,
    /// `--time-zone`: zone of times without one: `UTC`, `+02:00`, or a name of the zone database.
    pub time_zone: Option<String>,
    /// `--time-unit`: unit of times that are numbers.
    pub time_unit: Option<TimeUnit>,
    /// `--delimiter`: one ASCII character; a comma when absent, a tab for `plain`.
    pub delimiter: Option<Delimiter>,
    /// `--encoding`: a label of the WHATWG Encoding Standard; UTF-8 when absent.
    pub encoding: Option<String>,
    /// `--start`: event time of the first row, where files have only offsets or none.
    pub start: Option<EventTime>,
    /// `--interval`: time between two numbers of a `plain` file.
    pub interval: Option<Microseconds>,
    /// `--sort`: bring the rows in order of time first. Takes memory for all of them.
    pub sort: bool,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text with a header; long when it has the columns `signal` and `value`, else wide.
    Csv,
    /// Text with a header, one reading a row.
    CsvLong,
    /// Text with a header, a column a signal.
    CsvWide,
    /// Parquet, long or wide like CSV.
    Parquet,
    /// Numbers without header and time, one each `--interval`, row after row; the signal is the file's name up to
    /// its first dot, or what `--map` makes of that.
    Plain,
    /// Recorded messages of the NVIDIA DSX Exchange BMS bus: CSV `offset,topic,payload`.
    DsxBms,
    /// A dump of Prometheus' own database, as `promtool tsdb dump` writes it; read as if it came by remote write.
    Promtool,
}

impl Format {
    const NAMES: [(&'static str, Self); 7] = [
        ("csv", Self::Csv),
        ("csv-long", Self::CsvLong),
        ("csv-wide", Self::CsvWide),
        ("parquet", Self::Parquet),
        ("plain", Self::Plain),
        ("dsx-bms", Self::DsxBms),
        ("promtool", Self::Promtool),
    ];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of("a format", text, &Self::NAMES)
    }
}

/// Unit of times that are numbers since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds; rounded down to microseconds.
    Nanoseconds,
}

impl TimeUnit {
    const NAMES: [(&'static str, Self); 4] = [
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("us", Self::Microseconds),
        ("ns", Self::Nanoseconds),
    ];

    /// Nanoseconds in one.
    pub(super) const fn nanoseconds(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of("a unit of time", text, &Self::NAMES)
    }
}

fn one_of<T: Copy>(what: &str, text: &str, names: &[(&'static str, T)]) -> Result<T, String> {
    names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is not {what}: write one of {}", names.join(", "))
    })
}

/// The character between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(pub u8);

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            b"\\t" | b"tab" => Ok(Self(b'\t')),
            [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && *one != b'"' => Ok(Self(*one)),
            _ => Err(format!("{text:?} is not a delimiter: write one character such as ';', or tab")),
        }
    }
}

/// `COLUMN=SIGNAL[:UNIT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMap {
    /// The column, or the name in the column `signal`.
    pub column: String,
    /// The metric's name that the mapping is asked for: a canonical or declared signal, or a name it knows.
    pub signal: String,
    /// Unit of the numbers; `None`: the signal's own.
    pub unit: Option<String>,
}

impl FromStr for ColumnMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} maps nothing: write COLUMN=SIGNAL or COLUMN=SIGNAL:UNIT, such as flow=coolant_flow:L/min"
            )
        };
        let (column, signal) = text.rsplit_once('=').ok_or_else(refused)?;
        let (signal, unit) = match signal.split_once(':') {
            Some((signal, unit)) if !unit.is_empty() => (signal, Some(unit.to_owned())),
            Some(_) => return Err(refused()),
            None => (signal, None),
        };
        if column.is_empty() || signal.is_empty() {
            return Err(refused());
        }
        Ok(Self { column: column.to_owned(), signal: signal.to_owned(), unit })
    }
}

/// What went wrong with a file. All are the operator's to mend; nothing is half taken in silently.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Options that do not go together.
    #[error("{0}")]
    Options(String),
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system or the format's reader says.
        reason: String,
    },
    /// Its columns are not what is asked for.
    #[error("{}: {message}", path.display())]
    Columns {
        /// Which file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// A row that stops everything: the first one already cannot be read, or a signal is unknown.
    #[error("{}:{line}: {message}", path.display())]
    Row {
        /// Which file.
        path: PathBuf,
        /// Line, from 1; for Parquet the row.
        line: u64,
        /// What is wrong and how to mend it.
        message: String,
    },
}

/// "did you mean …" for a name that is not known, or nothing.
pub(super) fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(wrong, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
