//! Rows of `samples` and `blocks` in key order, as columns: sorted by counting, never by comparing rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int32Array, Int64Array, MapBuilder, MapFieldNames, RecordBatch,
    RecordBatchOptions, RunArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use telemetry::Name;
use telemetry::record::{Flag, Sequence, SeriesDeclaration};
use telemetry::table::Table;

use super::part::{BlockValues, CHUNK_ROWS, Chunk};
use super::series::{Ranking, SeriesNumber, cooling_loop};
use super::{Day, date_text, day_of};
use crate::schema::{DATE, SEQUENCE, SHARD};

/// A table whose rows belong to series.
pub trait Measured: Copy + Send + Sync + 'static {
    /// Which.
    const TABLE: Table;

    /// A column that is neither the series' nor `time`, `date`, `shard`, `seq`; `length` is how many rows there are.
    fn column(name: &str, length: usize, rows: impl Iterator<Item = (Self, u8)>) -> Option<ArrayRef>;
}

impl Measured for f64 {
    const TABLE: Table = Table::Samples;

    fn column(name: &str, length: usize, rows: impl Iterator<Item = (Self, u8)>) -> Option<ArrayRef> {
        match name {
            "value" => {
                let mut values = Float64Builder::with_capacity(length);
                for (value, _) in rows {
                    values.append_option(Some(value).filter(|value| !value.is_nan()));
                }
                Some(Arc::new(values.finish()))
            }
            "flag" => {
                let mut flags = StringBuilder::new();
                for (_, flag) in rows {
                    flags.append_value(Flag::ALL[usize::from(flag)].name());
                }
                Some(Arc::new(flags.finish()))
            }
            _ => None,
        }
    }
}

impl Measured for BlockValues {
    const TABLE: Table = Table::Blocks;

    fn column(name: &str, length: usize, rows: impl Iterator<Item = (Self, u8)>) -> Option<ArrayRef> {
        let number: fn(&Self) -> f64 = match name {
            "mean" => |values| values.mean,
            "minimum" => |values| values.minimum,
            "maximum" => |values| values.maximum,
            "last" => |values| values.last,
            "known_seconds" => |values| values.known_seconds,
            "count" => {
                let counts = rows.map(|(values, _)| i64::from(values.count));
                return Some(Arc::new(Int64Array::new(all_of(length, counts).into(), None)));
            }
            _ => return None,
        };
        let mut numbers = Float64Builder::with_capacity(length);
        for (values, _) in rows {
            numbers.append_option(Some(number(&values)).filter(|number| !number.is_nan()));
        }
        Some(Arc::new(numbers.finish()))
    }
}

/// Rows of one series and day that follow each other.
#[derive(Debug, Clone)]
struct Piece {
    day: Day,
    series: SeriesNumber,
    rows: Range<usize>,
}

/// Rows that have the same in all columns of the key before the time.
struct RowsOfKey {
    rows: Range<usize>,
    /// Not so when a series was declared once more under the same name.
    one_series: bool,
}

/// Rows in the order of [`crate::schema::sort_key`], held as indices into the chunks.
pub struct SortedRows<V> {
    chunks: Vec<Arc<Chunk<V>>>,
    ranking: Arc<Ranking>,
    shard: u32,
    /// A chunk's number times the rows of a full one, plus the row.
    order: Vec<u32>,
    pieces: Vec<Piece>,
}

impl<V: Measured> SortedRows<V> {
    /// Sorts the rows whose record comes after `after`, of the series that are `kept` (by number; all when `None`).
    pub fn new(
        taken: &[(Arc<Chunk<V>>, usize)],
        ranking: Arc<Ranking>,
        shard: u32,
        after: Sequence,
        kept: Option<&[bool]>,
    ) -> Self {
        assert!(taken.len() <= usize::from(u16::MAX), "fewer than four billion rows wait in memory");
        // Counting sort: where each series' rows begin, then each row to its place.
        let mut places = vec![0_usize; ranking.series.len()];
        for (chunk, rows) in taken {
            wanted(chunk, *rows, after).for_each(|(_, series)| places[series as usize] += 1);
        }
        if let Some(kept) = kept {
            places.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(count, _)| *count = 0);
        }
        let mut keys: Vec<RowsOfKey> = Vec::new();
        let mut total = 0;
        for (series, same_key) in &ranking.order {
            let count = std::mem::replace(&mut places[*series as usize], total);
            match keys.last_mut() {
                Some(key) if *same_key => {
                    key.rows.end += count;
                    key.one_series = false;
                }
                _ => keys.push(RowsOfKey { rows: total..total + count, one_series: true }),
            }
            total += count;
        }
        let mut order = vec![0; total];
        for (index, (chunk, rows)) in taken.iter().enumerate() {
            wanted(chunk, *rows, after).for_each(|(row, series)| {
                let series = series as usize;
                if kept.is_none_or(|kept| kept[series]) {
                    order[places[series]] = (index * CHUNK_ROWS + row) as u32;
                    places[series] += 1;
                }
            });
        }
        let chunks = taken.iter().map(|(chunk, _)| chunk.clone()).collect();
        let mut sorted = Self { chunks, ranking, shard, order, pieces: Vec::new() };
        for key in keys {
            sorted.sort_by_time(key.rows.clone());
            sorted.cut_into_pieces(key);
        }
        sorted
    }

    fn row(&self, row: u32) -> (&Chunk<V>, usize) {
        (&self.chunks[row as usize / CHUNK_ROWS], row as usize % CHUNK_ROWS)
    }

    // Rows of a series nearly always come in order of time, so that this only looks.
    fn sort_by_time(&mut self, rows: Range<usize>) {
        let mut order = std::mem::take(&mut self.order);
        let time = |row: u32| {
            let (chunk, row) = self.row(row);
            chunk.time(row)
        };
        let sequence = |row: u32| {
            let (chunk, row) = self.row(row);
            chunk.sequence(row)
        };
        let timed = order[rows.clone()].iter().map(|row| (time(*row), *row));
        let in_order = timed.is_sorted_by(|left, right| {
            left.0 < right.0 || (left.0 == right.0 && sequence(left.1) <= sequence(right.1))
        });
        if !in_order {
            order[rows].sort_by_key(|row| (time(*row), sequence(*row)));
        }
        self.order = order;
    }

    fn cut_into_pieces(&mut self, RowsOfKey { rows, one_series }: RowsOfKey) {
        if rows.is_empty() {
            return;
        }
        let (day, series) = self.day_and_series(rows.start);
        if one_series && self.day_and_series(rows.end - 1).0 == day {
            self.pieces.push(Piece { day, series, rows });
            return;
        }
        let mut start = rows.start;
        while start < rows.end {
            let (day, series) = self.day_and_series(start);
            let others = (start..rows.end).find(|index| self.day_and_series(*index) != (day, series));
            let end = others.unwrap_or(rows.end);
            self.pieces.push(Piece { day, series, rows: start..end });
            start = end;
        }
    }

    fn day_and_series(&self, index: usize) -> (Day, SeriesNumber) {
        let (chunk, row) = self.row(self.order[index]);
        (day_of(chunk.time(row)), chunk.series(row))
    }

    /// Batches of at most `rows_max` rows with the columns of `schema`, in key order.
    pub fn batches(
        self,
        schema: SchemaRef,
        rows_max: usize,
    ) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send {
        self.dated_batches(schema, rows_max, false).map(|batch| batch.map(|(_, batch)| batch))
    }

    /// As [`SortedRows::batches`], a day after the other: each batch is of one day and comes with it.
    pub fn batches_by_day(
        mut self,
        schema: SchemaRef,
        rows_max: usize,
    ) -> impl Iterator<Item = Result<(Day, RecordBatch), ArrowError>> + Send {
        self.pieces.sort_by_key(|piece| piece.day); // stable: key order within a day
        self.dated_batches(schema, rows_max, true)
    }

    fn dated_batches(
        self,
        schema: SchemaRef,
        rows_max: usize,
        one_day: bool,
    ) -> impl Iterator<Item = Result<(Day, RecordBatch), ArrowError>> + Send {
        let mut next = 0;
        let mut done = 0; // rows of piece `next` that are out already
        std::iter::from_fn(move || {
            let day = self.pieces.get(next)?.day;
            let mut taken = Vec::new();
            let mut space = rows_max;
            while let Some(piece) = self.pieces.get(next) {
                if space == 0 || (one_day && piece.day != day) {
                    break;
                }
                let start = piece.rows.start + done;
                let length = (piece.rows.end - start).min(space);
                taken.push(Piece { rows: start..start + length, ..*piece });
                space -= length;
                done += length;
                if start + length == piece.rows.end {
                    next += 1;
                    done = 0;
                }
            }
            Some(self.batch(&schema, &taken).map(|batch| (day, batch)))
        })
    }

    fn batch(&self, schema: &SchemaRef, pieces: &[Piece]) -> Result<RecordBatch, ArrowError> {
        let rows = pieces.iter().map(|piece| piece.rows.len()).sum();
        let columns = schema
            .fields()
            .iter()
            .map(|field| self.column(field.name(), field.data_type(), pieces))
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options)
    }

    /// A column of the pieces' rows; one that repeats has a value a piece when runs are asked for.
    fn column(&self, name: &str, kind: &DataType, pieces: &[Piece]) -> Result<ArrayRef, ArrowError> {
        if let DataType::RunEndEncoded(_, values) = kind {
            return self.runs(name, values.data_type(), pieces);
        }
        if let Some(text) = text_of_series(name) {
            return Ok(self.texts(pieces, text));
        }
        let rows = || {
            pieces.iter().flat_map(|piece| self.order[piece.rows.clone()].iter().map(|row| self.row(*row)))
        };
        let length = pieces.iter().map(|piece| piece.rows.len()).sum();
        Ok(match name {
            "labels" => self.labels(kind, pieces)?,
            "time" => {
                let times = all_of(length, rows().map(|(chunk, row)| chunk.time(row)));
                Arc::new(TimestampMicrosecondArray::new(times.into(), None).with_timezone("UTC"))
            }
            DATE => {
                let mut dates = StringBuilder::new();
                for piece in pieces {
                    dates.append_value_n(date_text(piece.day), piece.rows.len());
                }
                Arc::new(dates.finish())
            }
            SHARD => Arc::new(Int32Array::from_value(self.shard as i32, length)),
            SEQUENCE => {
                let sequences = all_of(length, rows().map(|(chunk, row)| chunk.sequence(row) as i64));
                Arc::new(Int64Array::new(sequences.into(), None))
            }
            _ => {
                let values = rows().map(|(chunk, row)| (chunk.value(row), chunk.flag(row)));
                V::column(name, length, values).ok_or_else(|| {
                    ArrowError::SchemaError(format!("table {} has no column {name:?}", V::TABLE.name()))
                })?
            }
        })
    }

    fn runs(&self, name: &str, kind: &DataType, pieces: &[Piece]) -> Result<ArrayRef, ArrowError> {
        let (mut firsts, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            for rows in self.alike(name, piece) {
                firsts.push(Piece { rows: rows.start..rows.start + 1, ..*piece });
                end += rows.len() as i32; // a batch has fewer rows than that
                ends.push(end);
            }
        }
        let values = self.column(name, kind, &firsts)?;
        Ok(Arc::new(RunArray::<Int32Type>::try_new(&Int32Array::from(ends), &values)?))
    }

    /// Rows of a piece that have the same in a column: all of them, but for the flag.
    fn alike(&self, name: &str, piece: &Piece) -> Vec<Range<usize>> {
        if name != "flag" {
            return vec![piece.rows.clone()];
        }
        let flag = |row: u32| {
            let (chunk, row) = self.row(row);
            chunk.flag(row)
        };
        let mut end = piece.rows.start;
        let alike = self.order[piece.rows.clone()].chunk_by(|left, right| flag(*left) == flag(*right));
        let ranges = alike.map(|rows| {
            end += rows.len();
            end - rows.len()..end
        });
        ranges.collect()
    }

    fn texts(&self, pieces: &[Piece], text: fn(&SeriesDeclaration) -> Option<&Name>) -> ArrayRef {
        let mut column = StringBuilder::new();
        for piece in pieces {
            match text(&self.ranking.series[piece.series as usize]) {
                Some(text) => column.append_value_n(text, piece.rows.len()),
                None => column.append_nulls(piece.rows.len()),
            }
        }
        Arc::new(column.finish())
    }

    fn labels(&self, kind: &DataType, pieces: &[Piece]) -> Result<ArrayRef, ArrowError> {
        let mut column = labels_builder(kind)?;
        for piece in pieces {
            let labels = &self.ranking.series[piece.series as usize].labels;
            for _ in 0..piece.rows.len() {
                for (name, value) in &**labels {
                    column.keys().append_value(name);
                    column.values().append_value(value);
                }
                column.append(true)?;
            }
        }
        Ok(Arc::new(column.finish()))
    }
}

/// Values of rows of several pieces: together these do not know how many they are, and room is made once.
fn all_of<T>(length: usize, values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::with_capacity(length);
    all.extend(values);
    all
}

/// Of a chunk's first rows those of records after `after`, with their series.
fn wanted<V: Measured>(
    chunk: &Chunk<V>,
    rows: usize,
    after: Sequence,
) -> impl Iterator<Item = (usize, SeriesNumber)> {
    let all = chunk.comes_after(after);
    chunk.rows_of_series().take(rows).filter(move |(row, _)| all || chunk.sequence(*row) > after)
}

/// A builder for the column type of labels.
pub fn labels_builder(kind: &DataType) -> Result<MapBuilder<StringBuilder, StringBuilder>, ArrowError> {
    let refused = || ArrowError::SchemaError(format!("labels are a map, not {kind}"));
    let DataType::Map(entries, _) = kind else { return Err(refused()) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(refused()) };
    let names = MapFieldNames {
        entry: entries.name().clone(),
        key: fields[0].name().clone(),
        value: fields[1].name().clone(),
    };
    Ok(MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(fields[0].clone())
        .with_values_field(fields[1].clone()))
}

/// How to get a text column that is the same for all rows of a series; `None` for another column.
pub fn text_of_series(name: &str) -> Option<fn(&SeriesDeclaration) -> Option<&Name>> {
    Some(match name {
        "site" => |series| Some(&series.identity.place.site),
        "loop" => cooling_loop,
        "rack" => |series| series.identity.place.rack.as_ref(),
        "node" => |series| series.identity.place.node.as_ref(),
        "device" => |series| series.identity.place.device.as_ref(),
        "signal" => |series| Some(&series.identity.signal),
        "sensor" => |series| series.identity.sensor.as_ref(),
        "source_name" => |series| Some(&series.source_name),
        "source_unit" => |series| Some(&series.source_unit),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::part::Part;
    use crate::memory::series::tests::declaration;
    use crate::memory::series::{SeriesRegistry, key};

    const HOUR: i64 = 3_600_000_000;

    proptest! {
        /// Series 0 and 3, 1 and 4, 2 and 5 are declared under the same key.
        #[test]
        fn rows_are_in_the_order_of_their_key_and_cut_by_day_and_series(
            planned in prop::collection::vec((0_u32..6, 0_i64..60, 0_u64..2), 0..200),
            taken in 0.0..=1.0_f64,
            after in 0_u64..100,
            kept in prop::option::of(prop::collection::vec(any::<bool>(), 6)),
        ) {
            let registry = SeriesRegistry::default();
            for number in 0..6 {
                registry.add(declaration(number % 3, 0));
            }
            let part = Part::empty();
            let taken = (planned.len() as f64 * taken) as usize;
            let (mut sequence, mut mark, mut rows) = (1, part.mark(), Vec::new());
            for (index, (series, hour, later)) in planned.into_iter().enumerate() {
                sequence += later;
                rows.push((series, hour * HOUR, sequence));
                part.rows().samples.push(sequence, series, hour * HOUR, Flag::Ok, index as f64);
                if index + 1 == taken {
                    mark = part.mark();
                }
            }
            let ranking = registry.ranking();
            let sorted =
                SortedRows::new(&part.samples(&mark), ranking.clone(), 0, after, kept.as_deref());

            let is_wanted = |index: &usize| {
                let (series, _, sequence) = rows[*index];
                after < sequence && kept.as_ref().is_none_or(|kept| kept[series as usize])
            };
            let mut expected: Vec<usize> = (0..taken).filter(is_wanted).collect();
            expected.sort_by_key(|index| {
                let (series, time, sequence) = rows[*index];
                (key(&ranking.series[series as usize]), time, sequence, series, *index)
            });
            let found = sorted.order.iter().map(|row| {
                let (chunk, row) = sorted.row(*row);
                chunk.value(row) as usize
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), expected.clone());

            let day_and_series = |index: &usize| (rows[*index].1 / (24 * HOUR), rows[*index].0);
            let pieces = expected.chunk_by(|left, right| day_and_series(left) == day_and_series(right));
            let pieces = pieces.map(|piece| (day_and_series(&piece[0]), piece.len()));
            let found = sorted.pieces.iter().map(|piece| ((piece.day, piece.series), piece.rows.len()));
            prop_assert!(found.eq(pieces));
        }
    }
}
