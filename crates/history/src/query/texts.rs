//! Texts are views while a query runs, and plain texts in its answer: clients see the types that the tables have.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The columns of an answer, without views.
pub fn plain(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(plain_field).collect::<Fields>();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(of) => DataType::List(plain_field(of)),
        DataType::LargeList(of) => DataType::LargeList(plain_field(of)),
        DataType::FixedSizeList(of, length) => DataType::FixedSizeList(plain_field(of), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entry, is_sorted) => DataType::Map(plain_field(entry), *is_sorted),
        _ => return field.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(kind))
}

/// The same rows with the types of `schema`.
///
/// # Errors
/// When a column cannot be cast.
pub fn cast_to(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast(column, field.data_type()),
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{arrow_schema, viewed};
    use telemetry::table::Table;

    #[test]
    fn an_answer_has_the_types_that_its_table_has() {
        for table in Table::ALL {
            let stored = arrow_schema(*table);
            let within = viewed(&stored);
            assert_ne!(within, stored, "{}", table.name());
            assert_eq!(plain(&within), stored, "{}", table.name());
        }
    }
}
