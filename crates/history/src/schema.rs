//! From the list of tables in `telemetry` to Arrow and Delta schemas: the one place where types are mapped.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use telemetry::table::{Kind, Table};

/// The partition column: the day of the table's time column, UTC.
pub const DATE: &str = "date";
/// The log stream that the row came from.
pub const SHARD: &str = "shard";
/// Position in that stream of the record that made the row.
pub const SEQUENCE: &str = "seq";

/// The columns that every table has after its own.
pub const ADDED_COLUMNS: [(&str, &str); 3] = [
    (DATE, "day of the table's time column, UTC, 2026-01-05: the partition"),
    (SHARD, "log stream that the row came from"),
    (SEQUENCE, "position in that stream of the record that made the row"),
];

/// The table's columns as Arrow sees them: its own, then [`ADDED_COLUMNS`]. All may be null, so that every
/// source of rows has exactly this schema.
pub fn arrow_schema(table: Table) -> SchemaRef {
    static SCHEMAS: LazyLock<Vec<SchemaRef>> =
        LazyLock::new(|| Table::ALL.iter().map(|table| Arc::new(made(*table))).collect());
    SCHEMAS[table as usize].clone()
}

/// The table's columns as Delta sees them.
pub fn delta_schema(table: Table) -> StructType {
    arrow_schema(table).as_ref().try_into_kernel().expect("every kind of column has a Delta type")
}

/// The columns of a table as plans read them, texts as views: texts of telemetry repeat, and a view of each value in the
/// file is all that a row needs.
pub fn viewed(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => field.clone(),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone()))
}

/// The columns that files are sorted by, nulls first; `seq` breaks ties.
///
/// Files are merged without being sorted again, so a change here is a change of the store's format.
pub const fn sort_key(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples | Table::Blocks => {
            &["rack", "signal", "device", "node", "sensor", "loop", "site", "time", SEQUENCE]
        }
        Table::SloStatus => &["rack", "objective", "group", "time", SEQUENCE],
        Table::Findings => &["rack", "detected", SEQUENCE],
        Table::Alerts => &["rack", "alertname", "time", SEQUENCE],
        Table::Events | Table::Maintenance | Table::Headroom | Table::Recoveries | Table::DrillEvents => {
            &["rack", "time", SEQUENCE]
        }
        Table::Verdicts | Table::Runs | Table::Overrides | Table::Calibrations | Table::Drills => {
            &["time", SEQUENCE]
        }
        Table::Log => &[SEQUENCE],
    }
}

/// The columns with minimum and maximum in the Delta log, by which whole files are skipped.
pub fn statistics_columns(table: Table) -> Vec<&'static str> {
    ["rack", "signal", "flag", table.time_column()]
        .into_iter()
        .filter(|name| table.columns().iter().any(|column| column.name == *name))
        .collect()
}

/// Moments of event time in Arrow.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

// The names `key_value`, `key`, `value` and `element` are those of the Delta kernel.
fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Date => DataType::Utf8,
        Kind::EventTime => time_type(),
        Kind::Number => DataType::Float64,
        Kind::Integer => DataType::Int64,
        Kind::Boolean => DataType::Boolean,
        Kind::Labels => {
            let entry =
                vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false)), false)
        }
        Kind::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
    }
}

fn made(table: Table) -> Schema {
    let mut fields: Vec<Field> =
        table.columns().iter().map(|column| Field::new(column.name, data_type(column.kind), true)).collect();
    fields.push(Field::new(DATE, DataType::Utf8, true));
    fields.push(Field::new(SHARD, DataType::Int32, true));
    fields.push(Field::new(SEQUENCE, DataType::Int64, true));
    Schema::new(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;

    #[test]
    fn every_table_reads_back_from_delta_with_the_schema_it_was_made_with() {
        for table in Table::ALL {
            let back: Schema = (&delta_schema(*table)).try_into_arrow().unwrap();
            assert_eq!(&back, arrow_schema(*table).as_ref(), "{}", table.name());
        }
    }

    #[test]
    fn keys_and_statistics_name_columns_that_exist() {
        for table in Table::ALL {
            let schema = arrow_schema(*table);
            for name in sort_key(*table).iter().copied().chain(statistics_columns(*table)) {
                assert!(schema.field_with_name(name).is_ok(), "{}.{name}", table.name());
            }
            assert_eq!(sort_key(*table).last(), Some(&SEQUENCE));
        }
    }
}
