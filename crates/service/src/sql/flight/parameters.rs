//! Placeholders of prepared statements: their types for the client, and one row of values from it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{ParamValues, ScalarValue};
use tonic::Status;

/// What a client may bind, by name and type. Text where the statement does not tell a type.
pub fn schema(parameters: &[(String, Option<DataType>)]) -> Schema {
    let fields = parameters
        .iter()
        .map(|(name, kind)| Field::new(name, kind.clone().unwrap_or(DataType::Utf8), true))
        .collect::<Vec<_>>();
    Schema::new(fields)
}

/// The values that a client binds: by position where the statement numbers them, else by name.
///
/// # Errors
/// `INVALID_ARGUMENT` unless there is exactly one row with a value for each.
pub fn values(parameters: &[String], bound: &[RecordBatch]) -> Result<ParamValues, Status> {
    let rows: usize = bound.iter().map(RecordBatch::num_rows).sum();
    let batch = bound.iter().find(|batch| batch.num_rows() > 0);
    let (Some(batch), 1) = (batch, rows) else {
        return Err(Status::invalid_argument(format!(
            "{rows} rows are bound: bind one, and execute the statement once a row"
        )));
    };
    let value = |column: &arrow::array::ArrayRef| {
        ScalarValue::try_from_array(column, 0).map_err(|error| Status::invalid_argument(error.to_string()))
    };
    let bare = |name: &str| name.trim_start_matches('$').to_owned();
    if parameters.iter().all(|name| bare(name).parse::<u32>().is_ok()) {
        if batch.num_columns() != parameters.len() {
            return Err(Status::invalid_argument(format!(
                "{} values are bound, the statement has {} placeholders",
                batch.num_columns(),
                parameters.len()
            )));
        }
        let values = batch.columns().iter().map(|column| Ok(value(column)?.into()));
        return Ok(ParamValues::List(values.collect::<Result<_, Status>>()?));
    }
    let values = parameters.iter().map(|name| {
        let name = bare(name);
        let column = batch.column_by_name(&name).or_else(|| batch.column_by_name(&format!("${name}")));
        let column =
            column.ok_or_else(|| Status::invalid_argument(format!("no value is bound for ${name}")))?;
        Ok((name, value(column)?.into()))
    });
    Ok(ParamValues::Map(values.collect::<Result<_, Status>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use std::sync::Arc;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn values_are_bound_by_position_or_by_name() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["r01"]));
        let number: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
        let row = batch(vec![("rack", text), ("limit", number)]);
        let by_position = values(&["$1".into(), "$2".into()], std::slice::from_ref(&row)).unwrap();
        let ParamValues::List(list) = by_position else { panic!("numbered placeholders make a list") };
        assert_eq!(list[0].value, ScalarValue::from("r01"));
        let by_name = values(&["$limit".into()], &[row]).unwrap();
        let ParamValues::Map(map) = by_name else { panic!("named placeholders make a map") };
        assert_eq!(map["limit"].value, ScalarValue::from(1.5));
    }

    #[test]
    fn other_than_one_row_with_all_values_is_refused_with_the_reason() {
        let two: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
        let refused = values(&["$1".into()], &[batch(vec![("a", two)])]).unwrap_err();
        assert!(refused.message().starts_with("2 rows are bound"), "{}", refused.message());
        assert!(values(&["$1".into()], &[]).is_err());
        let one: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let refused = values(&["$rack".into()], &[batch(vec![("a", one)])]).unwrap_err();
        assert_eq!(refused.message(), "no value is bound for $rack");
    }
}
