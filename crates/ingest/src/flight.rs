//! Arrow Flight: tables of readings, for bulk and backfill.
//!
//! `FlightData` → `envelope` → **flight** → `decoded` → `front`. A table has the same two forms as a file: long, a
//! reading a row, or wide, a column a signal.

pub mod envelope; // what a message claims, before the reader of Arrow believes it
pub mod server; // DoPut

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use telemetry::EventTime;

use crate::decoded::{DecodeError, Decoded, Point, PointKind};
use crate::files::batch::{Batch, Holds, holds};
use crate::files::layout::{Layout, PLACES, RowFault};
use crate::files::options::{ColumnMap, FileOptions};
use crate::files::row::{Keys, Positions, Row};
use crate::files::time::TimeReader;

/// The name of this source in mappings, declarations and metrics.
pub const SOURCE: &str = "flight";

/// The path of the descriptor that telemetry is put with.
pub const PATH: &str = "telemetry";

/// Metadata of a field: the unit of the numbers in its column, in UCUM; of the column `time` s, ms, us or ns.
const UNIT_METADATA: &str = "unit";

const COLUMNS: &str = "expected are the columns time (a timestamp, UTC where it has no zone; a whole number only with \
     the field metadata unit = s, ms, us or ns), at least one of rack, loop and node (text), and either signal (text) and \
     value (number), or a number column named after each signal; there may be site, device, sensor, quality (1 is good), \
     and unit beside signal and value";

/// Checks that a table of these columns can be read.
///
/// # Errors
/// [`DecodeError::Table`]: which column is wrong, and which columns are expected.
pub fn check(schema: &Schema) -> Result<(), DecodeError> {
    layout(schema, &Keys::new(None)).map(|_| ())
}

/// Reads a batch of rows, in any order of time.
///
/// Signals are not looked up here: the mapping decides about them as about those of every source. Null is no reading,
/// a reading without a time is refused by name, and its neighbours are kept.
///
/// # Errors
/// [`DecodeError::Table`] for columns that are not telemetry and for a row without a signal;
/// [`DecodeError::TooLarge`] beyond [`PARTS_MAX`](crate::decoded::PARTS_MAX) and the limits on names.
pub fn decode(batch: &RecordBatch) -> Result<Decoded, DecodeError> {
    let mut keys = Keys::new(None);
    let layout = layout(batch.schema_ref(), &keys)?;
    let table = Batch::new(batch).map_err(|error| DecodeError::Table(error.to_string()))?;
    let mut decoded = Decoded::new(SOURCE, Bytes::new());
    let mut positions = Positions::default();
    positions.begin();
    let mut row = Row { time: EventTime::MINIMUM, number: 0, readings: Vec::new(), absent: 0 };
    for number in 0..table.rows() {
        let cells = table.row(number);
        row.readings.clear();
        row.absent = layout.add_readings(&cells, &mut keys, &mut row.readings).map_err(|fault| {
            let (RowFault::Unreadable(message) | RowFault::Series(message)) = fault;
            DecodeError::Table(format!("row {} of the batch: {message}", number + 1))
        })?;
        match layout.time(&cells) {
            Ok(time) => {
                row.time = time;
                positions.add(&mut decoded, &keys, &row)?;
            }
            Err(_) => add_timeless(&mut decoded, &mut positions, &keys, &row)?,
        }
    }
    Ok(decoded)
}

/// Adds the readings of a row that has no time, to be refused by name.
fn add_timeless(
    decoded: &mut Decoded,
    positions: &mut Positions,
    keys: &Keys,
    row: &Row,
) -> Result<(), DecodeError> {
    for reading in &row.readings {
        let series = positions.series(decoded, keys, reading.key)?;
        let (kind, time) = (PointKind::OutOfTime, EventTime::MINIMUM);
        decoded.add_point(Point { series, kind, time, value: f64::NAN })?;
    }
    Ok(())
}

/// What the columns of a schema mean.
fn layout(schema: &Schema, keys: &Keys) -> Result<Layout, DecodeError> {
    let refused = |problem: String| DecodeError::Table(format!("{problem}; {COLUMNS}"));
    for field in schema.fields() {
        if holds(field.data_type()).is_none() {
            return Err(refused(format!("column {:?} holds {}", field.name(), field.data_type())));
        }
    }
    let options = options(schema).map_err(refused)?;
    let reader = TimeReader::new(&options).map_err(refused)?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let layout = Layout::new(&names, &options, reader, keys).map_err(|fault| refused(fault.problem))?;
    let wrong = |column: usize, is_right: &dyn Fn(&DataType) -> bool| {
        let field = schema.field(column);
        let problem = || refused(format!("column {:?} holds {}", field.name(), field.data_type()));
        if is_right(field.data_type()) { Ok(()) } else { Err(problem()) }
    };
    wrong(layout.time_column(), &|data_type| match holds(data_type) {
        Some(Holds::Times) => true,
        Some(Holds::Integers) => options.time_unit.is_some(),
        Some(Holds::Nothing | Holds::Text | Holds::Numbers) | None => false,
    })?;
    let is_long = is_long(schema);
    for column in layout.reading_columns() {
        wrong(column, &|data_type| match holds(data_type) {
            Some(Holds::Integers | Holds::Numbers | Holds::Nothing) => true,
            // The long form holds words for states beside numbers.
            Some(Holds::Text) => is_long,
            Some(Holds::Times) | None => false,
        })?;
    }
    Ok(layout)
}

fn is_long(schema: &Schema) -> bool {
    schema.field_with_name("signal").is_ok() && schema.field_with_name("value").is_ok()
}

/// What the metadata of the fields says about their units.
fn options(schema: &Schema) -> Result<FileOptions, String> {
    let mut options = FileOptions { time_zone: Some("UTC".to_owned()), ..FileOptions::default() };
    for field in schema.fields() {
        let Some(unit) = field.metadata().get(UNIT_METADATA) else { continue };
        match field.name().as_str() {
            "time" => options.time_unit = Some(unit.parse()?),
            name if is_long(schema) || name == "quality" || PLACES.contains(&name) => {}
            name => options.map.push(ColumnMap {
                column: name.to_owned(),
                signal: name.to_owned(),
                unit: Some(unit.clone()).filter(|unit| !unit.is_empty()),
            }),
        }
    }
    Ok(options)
}
