//! Rows that are not in the store yet, as they came: appended by one thread, read by queries at the same time.

use std::sync::{Arc, Mutex, MutexGuard};

use telemetry::record::{Flag, Sequence};
use telemetry::table::{Cell, Table};

use super::column::Column;
use super::series::SeriesNumber;

/// Rows in one chunk. What a query may copy while it holds up an append: 64 Ki rows, 1.6 MB of samples.
pub const CHUNK_ROWS: usize = 65_536;

/// Rows of series that never change, in the order they came.
#[derive(Debug)]
pub struct Chunk<V> {
    /// Which series, less the row's number, modulo 2³²: a sender that keeps its order makes one run.
    series_less_row: Column<u32>,
    time: Column<i64>,
    /// Position in the log, counted from `first_sequence`.
    position: Column<u32>,
    flag: Column<u8>,
    value: Box<[V]>,
    first_sequence: Sequence,
}

impl<V: Copy> Chunk<V> {
    /// Which series.
    #[inline]
    pub fn series(&self, row: usize) -> SeriesNumber {
        self.series_less_row.get(row).wrapping_add(row as u32)
    }

    /// Which series each row is of, in order, with the row's number.
    pub fn rows_of_series(&self) -> impl Iterator<Item = (usize, SeriesNumber)> {
        (0..).zip(self.series_less_row.iter()).map(|(row, less_row)| (row, less_row.wrapping_add(row as u32)))
    }

    /// Event time, µs.
    #[inline]
    pub fn time(&self, row: usize) -> i64 {
        self.time.get(row)
    }

    /// The position in the log of the record that made the row.
    #[inline]
    pub fn sequence(&self, row: usize) -> Sequence {
        self.first_sequence + Sequence::from(self.position.get(row))
    }

    /// Whether all rows are of records after that position.
    pub fn comes_after(&self, sequence: Sequence) -> bool {
        self.first_sequence > sequence
    }

    /// A flag's number in [`Flag::ALL`]; of blocks always 0.
    #[inline]
    pub fn flag(&self, row: usize) -> u8 {
        self.flag.get(row)
    }

    /// What was measured.
    #[inline]
    pub fn value(&self, row: usize) -> V {
        self.value[row]
    }

    fn bytes(&self) -> usize {
        self.series_less_row.bytes()
            + self.time.bytes()
            + self.position.bytes()
            + self.flag.bytes()
            + size_of_val::<[V]>(&self.value)
    }
}

/// Rows that are added to, as columns of equal length.
#[derive(Debug)]
struct OpenChunk<V> {
    series_less_row: Vec<u32>,
    time: Vec<i64>,
    position: Vec<u32>,
    flag: Vec<u8>,
    value: Vec<V>,
    first_sequence: Sequence,
}

impl<V: Copy> OpenChunk<V> {
    const fn empty() -> Self {
        Self {
            series_less_row: Vec::new(),
            time: Vec::new(),
            position: Vec::new(),
            flag: Vec::new(),
            value: Vec::new(),
            first_sequence: 0,
        }
    }

    /// Room for as many rows as a chunk has.
    fn with_room() -> Self {
        Self {
            series_less_row: Vec::with_capacity(CHUNK_ROWS),
            time: Vec::with_capacity(CHUNK_ROWS),
            position: Vec::with_capacity(CHUNK_ROWS),
            flag: Vec::with_capacity(CHUNK_ROWS),
            value: Vec::with_capacity(CHUNK_ROWS),
            first_sequence: 0,
        }
    }

    fn rows(&self) -> usize {
        self.value.len()
    }

    /// The chunk that its rows make.
    fn close(self) -> Chunk<V> {
        Chunk {
            series_less_row: Column::new(self.series_less_row),
            time: Column::new(self.time),
            position: Column::new(self.position),
            flag: Column::new(self.flag),
            value: self.value.into_boxed_slice(),
            first_sequence: self.first_sequence,
        }
    }

    /// A copy of its first rows.
    fn first(&self, rows: usize) -> Chunk<V> {
        let copy = Self {
            series_less_row: self.series_less_row[..rows].to_vec(),
            time: self.time[..rows].to_vec(),
            position: self.position[..rows].to_vec(),
            flag: self.flag[..rows].to_vec(),
            value: self.value[..rows].to_vec(),
            first_sequence: self.first_sequence,
        };
        copy.close()
    }
}

/// Full chunks, which never change, and the one that rows are added to.
#[derive(Debug)]
pub struct SeriesRows<V> {
    full: Vec<Arc<Chunk<V>>>,
    full_bytes: usize,
    open: OpenChunk<V>,
    rows: usize,
    last: Sequence,
}

impl<V: Copy> SeriesRows<V> {
    /// Bytes of a row in the open chunk.
    const ROW_BYTES: usize = 4 + 8 + 4 + 1 + size_of::<V>();

    const fn empty() -> Self {
        Self { full: Vec::new(), full_bytes: 0, open: OpenChunk::empty(), rows: 0, last: 0 }
    }

    /// Adds a row; `sequence` never goes back.
    pub fn push(&mut self, sequence: Sequence, series: SeriesNumber, time: i64, flag: Flag, value: V) {
        if self.open.rows() == 0 {
            self.open.first_sequence = sequence;
        }
        let mut position = sequence.saturating_sub(self.open.first_sequence);
        if self.open.rows() == CHUNK_ROWS || position > Sequence::from(u32::MAX) {
            // A chunk that fills up is followed by others. What room is left over counts for no bytes: one chunk's at most.
            let next =
                if self.open.rows() == CHUNK_ROWS { OpenChunk::with_room() } else { OpenChunk::empty() };
            let full = std::mem::replace(&mut self.open, next).close();
            self.full_bytes += full.bytes();
            self.full.push(Arc::new(full));
            self.open.first_sequence = sequence;
            position = 0;
        }
        let chunk = &mut self.open;
        chunk.series_less_row.push(series.wrapping_sub(chunk.value.len() as u32));
        chunk.time.push(time);
        chunk.position.push(position as u32); // fits: tested above
        chunk.flag.push(flag as u8);
        chunk.value.push(value);
        self.rows += 1;
        self.last = sequence;
    }

    /// The first `rows` rows, without copying full chunks.
    fn first(&self, mut rows: usize) -> Vec<(Arc<Chunk<V>>, usize)> {
        let mut taken = Vec::with_capacity(self.full.len() + 1);
        for chunk in &self.full {
            let length = chunk.value.len().min(rows);
            if length > 0 {
                taken.push((chunk.clone(), length));
            }
            rows -= length;
        }
        let length = self.open.rows().min(rows);
        if length > 0 {
            taken.push((Arc::new(self.open.first(length)), length));
        }
        taken
    }

    fn bytes(&self) -> usize {
        self.full_bytes + self.open.rows() * Self::ROW_BYTES
    }
}

/// What a row of `blocks` holds beside its series and time.
#[derive(Debug, Clone, Copy)]
pub struct BlockValues {
    /// Time-weighted mean.
    pub mean: f64,
    /// Smallest held value.
    pub minimum: f64,
    /// Largest held value.
    pub maximum: f64,
    /// Value held at the end.
    pub last: f64,
    /// Known time, s.
    pub known_seconds: f64,
    /// Readings judged.
    pub count: u32,
}

/// A row of one of the other tables: where it came from and its cells.
pub type PlainRow = (Sequence, Arc<[Cell]>);

/// Rows of all tables between two freezes.
#[derive(Debug)]
pub struct Part(Mutex<PartRows>);

/// What a part holds.
#[derive(Debug)]
pub struct PartRows {
    /// Rows of `samples`.
    pub samples: SeriesRows<f64>,
    /// Rows of `blocks`.
    pub blocks: SeriesRows<BlockValues>,
    plain: Vec<Vec<PlainRow>>,
    plain_bytes: usize,
}

/// How far a part had come when a query took its cut.
#[derive(Debug, Clone)]
pub struct Mark {
    samples: usize,
    blocks: usize,
    plain: Vec<usize>,
}

impl Mark {
    /// Rows of a table up to it.
    pub fn rows(&self, table: Table) -> usize {
        match table {
            Table::Samples => self.samples,
            Table::Blocks => self.blocks,
            _ => self.plain[table as usize],
        }
    }
}

impl Part {
    /// A part without rows.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self(Mutex::new(PartRows {
            samples: SeriesRows::empty(),
            blocks: SeriesRows::empty(),
            plain: vec![Vec::new(); Table::ALL.len()],
            plain_bytes: 0,
        })))
    }

    /// The rows, to add to.
    pub fn rows(&self) -> MutexGuard<'_, PartRows> {
        self.0.lock().expect("no panic while rows are added")
    }

    /// How far it has come: rows added later are not seen through this mark.
    pub fn mark(&self) -> Mark {
        let rows = self.rows();
        Mark {
            samples: rows.samples.rows,
            blocks: rows.blocks.rows,
            plain: rows.plain.iter().map(Vec::len).collect(),
        }
    }

    /// The rows of `samples` up to the mark.
    pub fn samples(&self, mark: &Mark) -> Vec<(Arc<Chunk<f64>>, usize)> {
        self.rows().samples.first(mark.samples)
    }

    /// The rows of `blocks` up to the mark.
    pub fn blocks(&self, mark: &Mark) -> Vec<(Arc<Chunk<BlockValues>>, usize)> {
        self.rows().blocks.first(mark.blocks)
    }

    /// The rows of another table up to the mark.
    pub fn plain(&self, table: Table, mark: &Mark) -> Vec<PlainRow> {
        self.rows().plain[table as usize][..mark.plain[table as usize]].to_vec()
    }

    /// The position of the table's last row; 0 without rows.
    pub fn last_sequence(&self, table: Table) -> Sequence {
        let rows = self.rows();
        match table {
            Table::Samples => rows.samples.last,
            Table::Blocks => rows.blocks.last,
            _ => rows.plain[table as usize].last().map_or(0, |(sequence, _)| *sequence),
        }
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        let rows = self.rows();
        rows.samples.bytes() + rows.blocks.bytes() + rows.plain_bytes
    }
}

impl PartRows {
    /// Adds a row of a table other than `samples` and `blocks`.
    pub fn push(&mut self, table: Table, sequence: Sequence, cells: Vec<Cell>) {
        self.plain_bytes += 24 + cells.iter().map(cell_bytes).sum::<usize>();
        self.plain[table as usize].push((sequence, cells.into()));
    }
}

// Texts count in full although names are shared: an estimate from above.
fn cell_bytes(cell: &Cell) -> usize {
    const LABEL_OVERHEAD: usize = 64;
    size_of::<Cell>()
        + match cell {
            Cell::Text(text) => text.len(),
            Cell::Labels(labels) => {
                labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_OVERHEAD).sum()
            }
            Cell::Texts(texts) => texts.iter().map(|text| text.len() + LABEL_OVERHEAD / 2).sum(),
            Cell::Null | Cell::Time(_) | Cell::Number(_) | Cell::Integer(_) | Cell::Boolean(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_s_number_is_its_place_among_all() {
        assert!(Flag::ALL.iter().enumerate().all(|(index, flag)| *flag as usize == index));
    }

    #[test]
    fn senders_that_keep_their_order_take_little_more_than_their_values() {
        let part = Part::empty();
        for scrape in 0..300_u64 {
            for series in 0..1_000 {
                part.rows().samples.push(scrape, series, scrape as i64, Flag::Ok, f64::from(series));
            }
        }
        let chunks = part.samples(&part.mark());
        let mut rows = chunks.iter().flat_map(|(chunk, rows)| (0..*rows).map(move |row| (chunk, row)));
        assert!(rows.by_ref().enumerate().all(|(index, (chunk, row))| {
            let (scrape, series) = ((index / 1_000) as u64, (index % 1_000) as u32);
            (chunk.sequence(row), chunk.time(row), chunk.series(row), chunk.value(row))
                == (scrape, scrape as i64, series, f64::from(series))
        }));
        assert!(part.bytes() < 300_000 * 13, "{}", part.bytes());
    }

    #[test]
    fn a_mark_hides_what_comes_after_it_even_when_its_chunk_fills_up() {
        let part = Part::empty();
        for row in 0..100 {
            part.rows().samples.push(row, 0, row as i64, Flag::Ok, row as f64);
        }
        let mark = part.mark();
        for row in 100..CHUNK_ROWS as u64 + 5 {
            part.rows().samples.push(row, 0, row as i64, Flag::Ok, row as f64);
        }
        let rows: usize = part.samples(&mark).iter().map(|(_, length)| length).sum();
        assert_eq!(rows, 100);
        let rows: usize = part.samples(&part.mark()).iter().map(|(_, length)| length).sum();
        assert_eq!(rows, CHUNK_ROWS + 5);
    }
}
