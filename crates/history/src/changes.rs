//! Where rows that follow each other change: rows come in the order of their series, of which much is the same in each.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StringArray, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// For each of `rows` rows whether it begins another stretch: the first does, and each with a value in one of the columns
/// that is not that of the row before. Equal texts that lie in two places may begin one too.
///
/// # Errors
/// When values of a column's type cannot be compared.
pub fn begins(columns: &[ArrayRef], rows: usize) -> Result<Vec<bool>, ArrowError> {
    let mut begins = vec![false; rows];
    if let Some(first) = begins.first_mut() {
        *first = true;
    }
    for column in columns {
        mark(column, &mut begins)?;
    }
    Ok(begins)
}

/// The first rows of all stretches, and the number of its stretch for each row.
///
/// # Errors
/// As [`begins`].
pub fn cut(columns: &[ArrayRef], rows: usize) -> Result<(UInt32Array, Vec<usize>), ArrowError> {
    let begins = begins(columns, rows)?;
    let mut firsts: Vec<u32> = Vec::new();
    let stretches = begins.iter().zip(0..).map(|(begins, row)| {
        if *begins {
            firsts.push(row);
        }
        firsts.len() - 1
    });
    let stretches = stretches.collect();
    Ok((firsts.into(), stretches))
}

fn mark(column: &ArrayRef, begins: &mut [bool]) -> Result<(), ArrowError> {
    if column.len() < 2 {
        return Ok(());
    }
    let null_changes = |begins: &mut [bool]| {
        if let Some(known) = column.nulls().filter(|known| known.null_count() > 0) {
            for (begins, row) in begins[1..].iter_mut().zip(1..) {
                *begins |= known.is_valid(row) != known.is_valid(row - 1);
            }
        }
    };
    if let Some(texts) = column.as_string_view_opt() {
        for (begins, pair) in begins[1..].iter_mut().zip(texts.views().windows(2)) {
            *begins |= pair[0] != pair[1];
        }
        null_changes(begins);
        return Ok(());
    }
    if let Some(map) = column.as_map_opt().filter(|map| is_of_texts(map)) {
        for (begins, row) in begins[1..].iter_mut().zip(1..) {
            *begins |= !same_entries(map, row);
        }
        null_changes(begins);
        return Ok(());
    }
    let others = column.len() - 1;
    let changed: BooleanArray = distinct(&column.slice(0, others), &column.slice(1, others))?;
    for (begins, changed) in begins[1..].iter_mut().zip(changed.values()) {
        *begins |= changed;
    }
    Ok(())
}

fn is_of_texts(map: &MapArray) -> bool {
    map.entries().columns().iter().all(|column| *column.data_type() == DataType::Utf8)
}

/// Whether a row of a map from text to text has the entries of the row before.
fn same_entries(map: &MapArray, row: usize) -> bool {
    let entries = |row: usize| map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
    let (before, now) = (entries(row - 1), entries(row));
    before.len() == now.len()
        && map.entries().columns().iter().all(|column| {
            let texts: &StringArray = column.as_string();
            let text = |entry: usize| texts.is_valid(entry).then(|| texts.value(entry));
            before.clone().zip(now.clone()).all(|(before, now)| text(before) == text(now))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn a_stretch_begins_where_any_column_changes_and_a_missing_text_is_none_that_is_empty() {
        let long = "coolant_supply_temperature";
        let texts =
            StringViewArray::from(vec![Some(long), Some(long), Some(""), None, None, Some(long), Some(long)]);
        let numbers = Int64Array::from(vec![Some(1), Some(1), Some(1), Some(1), Some(1), Some(1), None]);
        let begins = begins(&[Arc::new(texts), Arc::new(numbers)], 7).unwrap();
        assert!([0, 2, 3, 5, 6].iter().all(|row| begins[*row]), "{begins:?}");
        assert!(!begins[4], "{begins:?}");
    }

    #[test]
    fn no_rows_begin_nothing() {
        assert_eq!(begins(&[], 0).unwrap(), Vec::<bool>::new());
        let (firsts, stretches) = cut(&[], 0).unwrap();
        assert!(firsts.is_empty() && stretches.is_empty());
    }

    #[test]
    fn each_row_is_of_the_stretch_that_began_last() {
        let numbers = Int64Array::from(vec![7, 7, 8, 8, 7]);
        let (firsts, stretches) = cut(&[Arc::new(numbers)], 5).unwrap();
        assert_eq!((firsts.values().to_vec(), stretches), (vec![0, 2, 4], vec![0, 0, 1, 1, 2]));
    }
}
