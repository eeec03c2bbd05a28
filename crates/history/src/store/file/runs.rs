//! A column whose rows repeat, encoded run by run: what a series says of itself is the same in all its rows.
//!
//! The library's encoder looks every row up in its dictionary, and nine texts and the labels of each reading took a
//! quarter of the service's processor time. The pages are those that the library would write: a dictionary, and its
//! indices as [`Hybrid`].

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::hybrid::Hybrid;
use crate::changes;

/// Rows of a page: what is decoded at least when one row is wanted; the library's default.
const PAGE_ROWS: usize = 20_000;
/// A column chunk of up to so many bytes is not compressed: it would be a few kB smaller, and each reader begins a
/// decompressor for each chunk, which took a seventh of a query that reads few pages of many row groups.
pub const PLAIN_BYTES_MAX: usize = 8 << 10;
/// So many rows of one value have a page of their own, and fewer share one: each takes about 90 bytes.
const PAGE_ROWS_MIN: usize = 1_024;

/// Where pages end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// When they are full.
    Full,
    /// Where the value changes, too: whoever asks for one value decodes few others. For texts.
    AtChanges,
}

/// One leaf column of a row group.
pub struct RunColumn {
    descriptor: ColumnDescPtr,
    /// Whether smallest and largest values are kept, by which readers skip pages.
    bounded: bool,
    pages: Pages,
    numbers: HashMap<Box<[u8]>, u32>,
    values: Vec<Box<[u8]>>,
    page: OpenPage,
    done: Vec<DonePage>,
}

/// Rows that are in no page yet.
#[derive(Default)]
struct OpenPage {
    rows: usize,
    runs: Vec<Run>,
    /// Where the last text begins, when others are before it.
    changed: Position,
    repetitions: Vec<u32>,
    definitions: Vec<u32>,
    numbers: Vec<u32>,
}

/// A place within a page.
#[derive(Default, Clone, Copy)]
struct Position {
    runs: usize,
    rows: usize,
}

/// Equal rows.
struct Run {
    rows: usize,
    levels: Range<usize>,
    numbers: Range<usize>,
}

struct DonePage {
    bytes: Vec<u8>,
    rows: usize,
    count: usize,
    nulls: usize,
    /// Numbers of the smallest and largest value.
    bounds: Option<(u32, u32)>,
}

impl RunColumn {
    /// Begins a column chunk; `bounded` only for texts.
    pub fn new(descriptor: ColumnDescPtr, bounded: bool, pages: Pages) -> Self {
        Self {
            descriptor,
            bounded,
            pages,
            numbers: HashMap::new(),
            values: Vec::new(),
            page: OpenPage::default(),
            done: Vec::new(),
        }
    }

    /// Whether columns of this type, or run-length encoded ones of it, can be written so.
    pub fn takes(kind: &DataType) -> bool {
        match kind {
            DataType::RunEndEncoded(_, values) => Self::takes(values.data_type()),
            DataType::Map(entry, _) => {
                matches!(entry.data_type(), DataType::Struct(fields)
                    if fields.iter().all(|field| *field.data_type() == DataType::Utf8))
            }
            DataType::Utf8 | DataType::Int32 => true,
            _ => false,
        }
    }

    /// Adds rows.
    ///
    /// - `leaf`: of a map 0 for the keys, 1 for the values; else 0.
    ///
    /// # Errors
    /// When the column is none that [`RunColumn::takes`].
    pub fn write(&mut self, column: &ArrayRef, leaf: usize) -> Result<(), ParquetError> {
        let values = column.as_run_opt::<Int32Type>().map_or(column, |column| column.values());
        let mut last = None;
        for (row, mut rows) in runs(column)? {
            if self.pages == Pages::AtChanges && 0 < self.page.rows && self.last_text() != text(values, row) {
                match PAGE_ROWS_MIN <= self.page.rows {
                    true => self.end_page(),
                    false => {
                        self.page.changed = Position { runs: self.page.runs.len(), rows: self.page.rows }
                    }
                }
            }
            while rows > 0 {
                let taken = rows.min(PAGE_ROWS - self.page.rows);
                self.add(values, leaf, row, taken, &mut last);
                rows -= taken;
                if 0 < self.page.changed.rows && PAGE_ROWS_MIN <= self.page.rows - self.page.changed.rows {
                    let long = self.page.split_at_change();
                    self.end_page();
                    self.page = long;
                }
                if self.page.rows == PAGE_ROWS {
                    self.end_page();
                }
            }
        }
        Ok(())
    }

    /// What the last row of the open page says.
    fn last_text(&self) -> Option<&[u8]> {
        let last = self.page.runs.last()?;
        let number = self.page.numbers[last.numbers.clone()].last()?;
        Some(&self.values[*number as usize])
    }

    /// Adds row `row` of the values `rows` times to the open page.
    fn add(&mut self, values: &ArrayRef, leaf: usize, row: usize, rows: usize, last: &mut Option<u32>) {
        let (levels, numbers) = (self.page.definitions.len(), self.page.numbers.len());
        match values.data_type() {
            DataType::Map(_, _) => self.row_of_map(values.as_map(), leaf, row),
            _ if values.is_null(row) => self.page.push_level(0, 0),
            kind => {
                self.page.push_level(0, 1);
                let number = match kind {
                    DataType::Int32 => {
                        self.number(&values.as_primitive::<Int32Type>().value(row).to_le_bytes(), *last)
                    }
                    _ => self.number(values.as_string::<i32>().value(row).as_bytes(), *last),
                };
                *last = Some(number);
                self.page.numbers.push(number);
            }
        }
        self.page.rows += rows;
        let (levels, numbers) = (levels..self.page.definitions.len(), numbers..self.page.numbers.len());
        self.page.runs.push(Run { rows, levels, numbers });
    }

    /// Levels: 0 no map, 1 one without entries, 2 a key, or a value that is missing, 3 a value.
    fn row_of_map(&mut self, map: &MapArray, leaf: usize, row: usize) {
        let entries = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
        if map.is_null(row) {
            return self.page.push_level(0, 0);
        }
        if entries.is_empty() {
            return self.page.push_level(0, 1);
        }
        let texts: &StringArray = map.entries().column(leaf).as_string();
        let first = entries.start;
        let highest = self.descriptor.max_def_level() as u32;
        for entry in entries {
            let known = texts.is_valid(entry);
            self.page.push_level(u32::from(entry > first), if known { highest } else { highest - 1 });
            if known {
                let number = self.number(texts.value(entry).as_bytes(), None);
                self.page.numbers.push(number);
            }
        }
    }

    fn number(&mut self, value: &[u8], last: Option<u32>) -> u32 {
        if let Some(last) = last.filter(|last| &*self.values[*last as usize] == value) {
            return last;
        }
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.values.len() as u32; // a row group has fewer rows than that
        self.values.push(value.into());
        self.numbers.insert(value.into(), number);
        number
    }

    fn end_page(&mut self) {
        let page = std::mem::take(&mut self.page);
        if page.rows == 0 {
            return;
        }
        let highest = self.descriptor.max_def_level() as u32;
        let levels = |levels: &[u32], largest: u32| -> Vec<u8> {
            let mut hybrid = Hybrid::new(Hybrid::width_of(largest));
            page.runs.iter().for_each(|run| hybrid.push_rows(&levels[run.levels.clone()], run.rows));
            hybrid.finish()
        };
        let mut bytes = Vec::new();
        if self.descriptor.max_rep_level() > 0 {
            push_sized(&mut bytes, &levels(&page.repetitions, 1));
        }
        if highest > 0 {
            push_sized(&mut bytes, &levels(&page.definitions, highest));
        }
        let width = Hybrid::width_of(self.values.len().saturating_sub(1) as u32);
        bytes.push(width as u8);
        let mut numbers = Hybrid::new(width);
        page.runs.iter().for_each(|run| numbers.push_rows(&page.numbers[run.numbers.clone()], run.rows));
        bytes.extend_from_slice(&numbers.finish());

        let count: usize = page.runs.iter().map(|run| run.rows * run.levels.len()).sum();
        let known: usize = page.runs.iter().map(|run| run.rows * run.numbers.len()).sum();
        self.done.push(DonePage {
            bytes,
            rows: page.rows,
            count,
            nulls: count - known,
            bounds: self.bounds(page.numbers.iter().copied()),
        });
    }

    fn bounds(&self, numbers: impl Iterator<Item = u32>) -> Option<(u32, u32)> {
        let smaller = |left: u32, right: u32| self.values[left as usize] < self.values[right as usize];
        let mut bounds: Option<(u32, u32)> = None;
        let mut last = None;
        for number in numbers.filter(|_| self.bounded) {
            if last == Some(number) {
                continue;
            }
            last = Some(number);
            bounds = Some(match bounds {
                None => (number, number),
                Some((least, greatest)) => (
                    if smaller(number, least) { number } else { least },
                    if smaller(greatest, number) { number } else { greatest },
                ),
            });
        }
        bounds
    }

    /// Ends the chunk: its bytes, and what the file's footer says of them.
    ///
    /// - `plain_bytes_max`: up to so many bytes are not compressed.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn close(
        mut self,
        compressor: &mut Compressor<'_>,
        plain_bytes_max: usize,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        self.end_page();
        let text = matches!(self.descriptor.physical_type(), parquet::basic::Type::BYTE_ARRAY);
        let mut dictionary = Vec::new();
        for value in &self.values {
            if text {
                push_sized(&mut dictionary, value);
            } else {
                dictionary.extend_from_slice(value);
            }
        }
        let bytes = dictionary.len() + self.done.iter().map(|page| page.bytes.len()).sum::<usize>();
        let is_plain = bytes <= plain_bytes_max;
        let mut stored = |bytes: Vec<u8>| -> Result<Bytes, ParquetError> {
            Ok(if is_plain { bytes.into() } else { compressor.compress(&bytes)?.into() })
        };
        let uncompressed = dictionary.len();
        let page = Page::DictionaryPage {
            buf: stored(dictionary)?,
            num_values: self.values.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut sink = TrackedWrite::new(Vec::new());
        let mut writer = SerializedPageWriter::new(&mut sink);
        let first = writer.write_page(CompressedPage::new(page, uncompressed))?;
        let mut uncompressed = first.uncompressed_size;
        let mut offsets = OffsetIndexBuilder::new();
        let mut index = ColumnIndexBuilder::new(self.descriptor.physical_type());
        let (mut rows, mut count, mut nulls) = (0, 0, 0);
        let mut all_bounds = Vec::new();
        for done in std::mem::take(&mut self.done) {
            let value = |number: u32| self.values[number as usize].to_vec();
            let (least, greatest) = done.bounds.map_or_else(Default::default, |bounds| {
                all_bounds.extend([bounds.0, bounds.1]);
                (value(bounds.0), value(bounds.1))
            });
            index.append(done.bounds.is_none(), least, greatest, done.nulls as i64);
            let length = done.bytes.len();
            let page = Page::DataPage {
                buf: stored(done.bytes)?,
                num_values: done.count as u32,
                encoding: Encoding::RLE_DICTIONARY,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let written = writer.write_page(CompressedPage::new(page, length))?;
            offsets.append_row_count(done.rows as i64);
            offsets.append_offset_and_size(written.offset as i64, written.compressed_size as i32);
            uncompressed += written.uncompressed_size;
            count += written.num_values as usize;
            rows += done.rows;
            nulls += done.nulls;
        }
        writer.close()?;
        let bytes = sink.into_inner()?;
        let mut metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_compression(if is_plain {
                Compression::UNCOMPRESSED
            } else {
                Compression::ZSTD(Default::default())
            })
            .set_num_values(count as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(first.bytes_written as i64);
        if self.bounded {
            let bounds = self.bounds(all_bounds.into_iter());
            metadata = metadata.set_statistics(self.statistics(bounds, nulls as u64));
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: self.bounded.then(|| index.build()).transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok((bytes.into(), close))
    }

    fn statistics(&self, bounds: Option<(u32, u32)>, nulls: u64) -> Statistics {
        let value = |number: u32| &self.values[number as usize];
        let (least, greatest) = (bounds.map(|(least, _)| value(least)), bounds.map(|(_, most)| value(most)));
        let bytes = |value: &[u8]| ByteArray::from(value.to_vec());
        Statistics::new(
            least.map(|value| bytes(value)),
            greatest.map(|value| bytes(value)),
            None,
            Some(nulls),
            false,
        )
    }
}

impl OpenPage {
    fn push_level(&mut self, repetition: u32, definition: u32) {
        self.repetitions.push(repetition);
        self.definitions.push(definition);
    }

    /// Takes what begins with the last text; what is before it stays.
    fn split_at_change(&mut self) -> Self {
        let at = std::mem::take(&mut self.changed);
        let mut runs = self.runs.split_off(at.runs);
        let first = runs.first().map_or((0, 0), |run| (run.levels.start, run.numbers.start));
        for run in &mut runs {
            run.levels = run.levels.start - first.0..run.levels.end - first.0;
            run.numbers = run.numbers.start - first.1..run.numbers.end - first.1;
        }
        let rows = self.rows - at.rows;
        self.rows = at.rows;
        Self {
            rows,
            runs,
            changed: Position::default(),
            repetitions: self.repetitions.split_off(first.0),
            definitions: self.definitions.split_off(first.0),
            numbers: self.numbers.split_off(first.1),
        }
    }
}

fn push_sized(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// Runs of equal rows: the number of one of its values, and how many rows.
fn runs(column: &ArrayRef) -> Result<Vec<(usize, usize)>, ArrowError> {
    if let Some(column) = column.as_run_opt::<Int32Type>() {
        let (ends, mut start) = (column.run_ends(), 0);
        let first = ends.get_start_physical_index();
        let lengths = ends.sliced_values().map(|end| {
            let length = end as usize - start;
            start = end as usize;
            length
        });
        return Ok(lengths.enumerate().map(|(run, length)| (first + run, length)).collect());
    }
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (row, begins) in changes::begins(std::slice::from_ref(column), column.len())?.into_iter().enumerate()
    {
        match runs.last_mut() {
            Some((_, rows)) if !begins => *rows += 1,
            _ => runs.push((row, 1)),
        }
    }
    Ok(runs)
}

fn text(values: &ArrayRef, row: usize) -> Option<&[u8]> {
    values.as_string_opt::<i32>().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row).as_bytes())
}
