//! One column of many rows that never change, small: as runs where rows repeat.

/// A column of a chunk.
///
/// Senders report all their series at one moment and in one order, so that of a reading little but its value is new:
/// time, position and flag come in runs, and 25 bytes a row become 8.
#[derive(Debug, Clone)]
pub enum Column<T> {
    /// Each row's.
    Rows(Box<[T]>),
    /// What the rows before each end have, and since the end before.
    Runs {
        /// Rows up to the end of each run.
        ends: Box<[u32]>,
        /// A run's.
        values: Box<[T]>,
    },
}

impl<T: Copy + PartialEq> Column<T> {
    /// Runs are kept when there are fewer than a run for so many rows: looking one up costs more than a row.
    const ROWS_A_RUN: usize = 64;

    /// Takes rows over.
    pub fn new(rows: Vec<T>) -> Self {
        let runs = rows.windows(2).filter(|pair| pair[0] != pair[1]).count() + 1;
        if runs * Self::ROWS_A_RUN > rows.len() {
            return Self::Rows(rows.into_boxed_slice());
        }
        let (mut ends, mut values) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
        let mut end = 0;
        for run in rows.chunk_by(|left, right| left == right) {
            end += run.len() as u32; // a chunk has fewer rows than that
            ends.push(end);
            values.push(run[0]);
        }
        Self::Runs { ends: ends.into(), values: values.into() }
    }

    /// A row's.
    #[inline]
    pub fn get(&self, row: usize) -> T {
        match self {
            Self::Rows(rows) => rows[row],
            Self::Runs { ends, values } => values[ends.partition_point(|end| *end as usize <= row)],
        }
    }

    /// All rows' in order, sooner than by [`Column::get`] of each.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        let (rows, ends, values): (&[T], &[u32], &[T]) = match self {
            Self::Rows(rows) => (rows, &[], &[]),
            Self::Runs { ends, values } => (&[], ends, values),
        };
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let runs = starts
            .zip(ends)
            .zip(values)
            .flat_map(|((start, end), value)| std::iter::repeat_n(*value, (end - start) as usize));
        rows.iter().copied().chain(runs)
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => size_of_val::<[T]>(rows),
            Self::Runs { ends, values } => size_of_val::<[u32]>(ends) + size_of_val::<[T]>(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_column_has_the_rows_it_was_made_of(
            runs in prop::collection::vec((0_i64..3, prop_oneof![Just(1_usize), 100_usize..300]), 0..20)
        ) {
            let rows: Vec<i64> = runs.iter().flat_map(|(value, rows)| vec![*value; *rows]).collect();
            let column = Column::new(rows.clone());
            prop_assert_eq!(column.iter().collect::<Vec<_>>(), rows.clone());
            prop_assert_eq!((0..rows.len()).map(|row| column.get(row)).collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn rows_that_repeat_take_little() {
        assert_eq!(Column::new(vec![7_i64; 65_536]).bytes(), 12);
        assert_eq!(Column::new((0..1_000_i64).collect()).bytes(), 8_000);
    }
}
