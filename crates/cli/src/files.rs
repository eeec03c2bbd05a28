//! Recorded files: the flags of `replay` and `import` as the options of `ingest::files`.

use std::str::FromStr;
use std::sync::Arc;

use ingest::files::{self, FileOptions, FileSource};
use ingest::front::signal_check;
use telemetry::mapping::Resolver;
use telemetry::{EventTime, Microseconds};

use crate::arguments::FileArguments;
use crate::failure::Failure;

/// The flags as options.
///
/// # Errors
/// Names the flag.
pub fn options(arguments: &FileArguments) -> Result<FileOptions, Failure> {
    Ok(FileOptions {
        format: parsed("--format", arguments.format.as_deref())?,
        rack: arguments.rack.clone(),
        map: arguments
            .map
            .iter()
            .map(|text| text.parse().map_err(|message| flag("--map", message)))
            .collect::<Result<_, _>>()?,
        ignore: arguments.ignore.clone(),
        time_column: arguments.time_column.clone(),
        time_format: arguments.time_format.clone(),
        time_zone: arguments.time_zone.clone(),
        time_unit: parsed("--time-unit", arguments.time_unit.as_deref())?,
        delimiter: parsed("--delimiter", arguments.delimiter.as_deref())?,
        encoding: arguments.encoding.clone(),
        start: arguments
            .start
            .as_deref()
            .map(|text| EventTime::from_rfc3339(text).map_err(|message| flag("--start", message)))
            .transpose()?,
        interval: parsed::<Microseconds>("--interval", arguments.interval.as_deref())?,
        sort: arguments.sort,
    })
}

/// Opens the files.
///
/// # Errors
/// Names the file, and where it can the line.
pub fn open(arguments: &FileArguments, resolver: &Arc<Resolver>) -> Result<FileSource, Failure> {
    files::open(&arguments.files, &options(arguments)?, signal_check(resolver.clone()))
        .map_err(|error| Failure::bad_input(error.to_string()))
}

fn parsed<T: FromStr<Err = String>>(name: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    text.map(|text| text.parse().map_err(|message| flag(name, message))).transpose()
}

fn flag(name: &str, message: String) -> Failure {
    Failure::bad_input(format!("{name}: {message}"))
}
