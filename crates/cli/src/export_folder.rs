//! An exported run as a folder: a manifest with the SHA-256 of each file, records as JSON lines, samples as Parquet.
//!
//! `Past`, `Readings` → **export_folder** → files → `replay`

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::past::{self, Head, IDENTITY, Numbers, Past, PastError, Readings};
use telemetry::place::SeriesIdentity;
use telemetry::{EventTime, Name, sha256_hex};

use crate::failure::Failure;

/// What every such folder has: it is known by it.
pub const MANIFEST: &str = "manifest.json";
/// Grows with each change of what stands in the files.
const FORMAT: u32 = 1;
/// zstd of the samples: as the history's own merged files.
const COMPRESSION: i32 = 3;
/// Samples of a row group.
const ROW_GROUP: usize = 131_072;
/// Samples that are written at once.
const BATCH: usize = 8_192;

const CONFIGURATION: &str = "configuration.json";
const LOG: &str = "log.jsonl";
const TICKS: &str = "ticks.jsonl";
const RUN: &str = "run.jsonl";
const STATUSES: &str = "slo_status.jsonl";
const VERDICTS: &str = "verdicts.jsonl";
const OVERRIDES: &str = "overrides.jsonl";
const SAMPLES: &str = "samples.parquet";
const FILES: [&str; 8] = [CONFIGURATION, LOG, TICKS, RUN, STATUSES, VERDICTS, OVERRIDES, SAMPLES];

/// `manifest.json`
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    #[serde(flatten)]
    head: Head,
    files: Vec<Listed>,
}

/// A file of the folder.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    name: String,
    /// Of its bytes, 64 hex digits.
    sha256: String,
    rows: u64,
}

/// Writes a folder; the manifest comes last, so that one that was broken off is none.
pub struct Writer {
    folder: PathBuf,
    past: Past,
    numbers: Numbers,
    samples: ArrowWriter<File>,
    schema: SchemaRef,
    rows: u64,
}

impl Writer {
    /// Begins a folder, which must be empty or not there.
    ///
    /// # Errors
    /// Names the folder.
    pub fn begin(folder: &Path, past: Past) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
        let mut entries = folder.read_dir().map_err(|error| at(folder, &error))?;
        if entries.next().is_some() {
            return Err(Failure::bad_input(format!(
                "{}: is not empty: name a folder that is not there yet",
                folder.display()
            )));
        }
        let path = folder.join(SAMPLES);
        let file = File::create(&path).map_err(|error| at(&path, &error))?;
        let schema = Arc::new(schema(&DataType::Utf8));
        let level = ZstdLevel::try_new(COMPRESSION).expect("a level that zstd knows");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let samples = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|error| at(&path, &error))?;
        let numbers = past.numbers()?;
        Ok(Self { folder: folder.to_owned(), past, numbers, samples, schema, rows: 0 })
    }

    /// Adds samples, in the canonical order.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, readings: &Readings) -> Result<(), PastError> {
        let failed = |error: &dyn std::fmt::Display| {
            PastError::Refused(format!("{}: {error}", self.folder.join(SAMPLES).display()))
        };
        // A page's texts all at once would take several times what its numbers do.
        for from in (0..readings.len()).step_by(BATCH) {
            let rows = from..readings.len().min(from + BATCH);
            let batch = batch(&self.schema, &self.numbers, readings, rows).map_err(|error| failed(&error))?;
            self.samples.write(&batch).map_err(|error| failed(&error))?;
        }
        self.rows += readings.len() as u64;
        Ok(())
    }

    /// Writes all else, and the manifest. Returns the number of samples.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn finish(self) -> Result<u64, Failure> {
        let Self { folder, past, samples, rows, .. } = self;
        samples.close().map_err(|error| at(&folder.join(SAMPLES), &error))?;
        let configuration =
            serde_json::to_string_pretty(&past.configuration).map_err(|error| unwritable(&error))?;
        let texts = [
            (CONFIGURATION, (configuration + "\n", 1)),
            (LOG, lines(&past.log)?),
            (TICKS, lines(&past.ticks)?),
            (RUN, lines(&past.run_rows)?),
            (STATUSES, joined(past.statuses.iter().cloned())),
            (VERDICTS, lines(&past.verdicts)?),
            (OVERRIDES, lines(&past.overrides)?),
        ];
        let mut files = Vec::new();
        for (name, (text, rows)) in texts {
            let path = folder.join(name);
            std::fs::write(&path, &text).map_err(|error| at(&path, &error))?;
            files.push(Listed { name: name.to_owned(), sha256: sha256_hex(&text), rows });
        }
        let path = folder.join(SAMPLES);
        let bytes = std::fs::read(&path).map_err(|error| at(&path, &error))?;
        files.push(Listed { name: SAMPLES.to_owned(), sha256: sha256_hex(&bytes), rows });
        let manifest = Manifest { format: FORMAT, head: past.head, files };
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| unwritable(&error))?;
        let path = folder.join(MANIFEST);
        std::fs::write(&path, text + "\n").map_err(|error| at(&path, &error))?;
        Ok(rows)
    }
}

/// Reads a folder, after the SHA-256 of each of its files was found to be that of the manifest.
///
/// # Errors
/// Names the file that is missing, was changed, or cannot be read.
pub fn read(
    folder: &Path,
) -> Result<(Past, impl Iterator<Item = Result<Readings, PastError>> + use<>), Failure> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_str(&text).map_err(|error| at(&path, &error))?;
    if format != FORMAT {
        return Err(Failure::bad_input(format!(
            "{}: is of format {format}, and this version reads {FORMAT}: use the version that wrote it",
            path.display()
        )));
    }
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| at(&path, &error))?;
    let mut checked = std::collections::BTreeMap::new();
    for name in FILES {
        let listed = manifest.files.iter().find(|listed| listed.name == name);
        let listed = listed.ok_or_else(|| {
            Failure::bad_input(format!("{}: does not list {name}: export the run again", path.display()))
        })?;
        let bytes = bytes_of(folder, listed)?;
        if name != SAMPLES {
            checked.insert(name, bytes);
        }
    }
    let file = |name: &str| checked.get(name).map_or(&[][..], Vec::as_slice);
    let past = Past {
        head: manifest.head,
        configuration: serde_json::from_slice(file(CONFIGURATION))
            .map_err(|error| at(&folder.join(CONFIGURATION), &error))?,
        log: values(folder, LOG, file(LOG))?,
        ticks: values(folder, TICKS, file(TICKS))?,
        run_rows: values(folder, RUN, file(RUN))?,
        statuses: String::from_utf8_lossy(file(STATUSES)).lines().map(str::to_owned).collect(),
        verdicts: values(folder, VERDICTS, file(VERDICTS))?,
        overrides: values(folder, OVERRIDES, file(OVERRIDES))?,
    };
    let path = folder.join(SAMPLES);
    let opened = File::open(&path).map_err(|error| at(&path, &error))?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema(&past::text_type())));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options)
        .and_then(|builder| builder.with_batch_size(ROW_GROUP).build())
        .map_err(|error| at(&path, &error))?;
    let numbers = past.numbers()?;
    Ok((past, read_ahead(Samples { reader, numbers, path })))
}

/// A file's bytes, which must be those that were written.
fn bytes_of(folder: &Path, listed: &Listed) -> Result<Vec<u8>, Failure> {
    let path = folder.join(&listed.name);
    let bytes = std::fs::read(&path).map_err(|error| at(&path, &error))?;
    let found = sha256_hex(&bytes);
    if found == listed.sha256 {
        return Ok(bytes);
    }
    Err(Failure::bad_input(format!(
        "{}: its SHA-256 is {found} and {MANIFEST} says {}: the file was changed or damaged, export the run again",
        path.display(),
        listed.sha256
    )))
}

/// Reads on a thread of its own while what was read is evaluated.
fn read_ahead(samples: Samples) -> impl Iterator<Item = Result<Readings, PastError>> {
    /// Batches that wait.
    const AHEAD: usize = 2;
    let (ahead, batches) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        for batch in samples {
            if ahead.send(batch).is_err() {
                return;
            }
        }
    });
    batches.into_iter()
}

/// The samples of a folder, in their order.
struct Samples {
    reader: ParquetRecordBatchReader,
    numbers: Numbers,
    path: PathBuf,
}

impl Iterator for Samples {
    type Item = Result<Readings, PastError>;

    fn next(&mut self) -> Option<Self::Item> {
        let failed =
            |error: &dyn std::fmt::Display| PastError::Refused(format!("{}: {error}", self.path.display()));
        let batch = self.reader.next()?;
        Some(batch.map_err(|error| failed(&error)).and_then(|batch| self.numbers.readings(&[batch])))
    }
}

fn schema(text: &DataType) -> Schema {
    let mut fields: Vec<Field> =
        IDENTITY.into_iter().map(|name| Field::new(name, text.clone(), name != "site")).collect();
    fields.push(Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false));
    fields.push(Field::new("value", DataType::Float64, true));
    fields.push(Field::new("flag", text.clone(), false));
    Schema::new(fields)
}

fn batch(
    schema: &SchemaRef,
    numbers: &Numbers,
    readings: &Readings,
    rows: Range<usize>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut identity: Vec<StringBuilder> = IDENTITY.iter().map(|_| StringBuilder::new()).collect();
    for row in rows.clone() {
        let declared = numbers.declaration((readings.partition[row], readings.series[row]));
        let texts =
            declared.map_or([None; 7], |declared| texts(&declared.identity, declared.cooling_loop.as_ref()));
        for (column, text) in identity.iter_mut().zip(texts) {
            column.append_option(text.map(|text| &**text));
        }
    }
    let mut columns: Vec<ArrayRef> =
        identity.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
    let times = readings.time[rows.clone()].iter().copied().map(EventTime::unix_micros);
    columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")));
    let values = readings.value[rows.clone()].iter().map(|value| (!value.is_nan()).then_some(*value));
    columns.push(Arc::new(Float64Array::from_iter(values)));
    columns.push(Arc::new(StringArray::from_iter_values(readings.flag[rows].iter().map(|flag| flag.name()))));
    RecordBatch::try_new(schema.clone(), columns)
}

/// In the order of [`IDENTITY`]; a rack's loop is shown, as in table `samples`.
fn texts<'a>(identity: &'a SeriesIdentity, cooling_loop: Option<&'a Name>) -> [Option<&'a Name>; 7] {
    let place = &identity.place;
    [
        Some(&place.site),
        place.cooling_loop.as_ref().or(cooling_loop),
        place.rack.as_ref(),
        place.node.as_ref(),
        place.device.as_ref(),
        Some(&identity.signal),
        identity.sensor.as_ref(),
    ]
}

/// Values as JSON lines, and how many.
fn lines<T: Serialize>(values: &[T]) -> Result<(String, u64), Failure> {
    let lines: Result<Vec<String>, _> = values.iter().map(serde_json::to_string).collect();
    Ok(joined(lines.map_err(|error| unwritable(&error))?.into_iter()))
}

fn joined(lines: impl Iterator<Item = String>) -> (String, u64) {
    lines.fold((String::new(), 0), |(text, rows), line| (text + &line + "\n", rows + 1))
}

fn values<T: DeserializeOwned>(folder: &Path, name: &str, bytes: &[u8]) -> Result<Vec<T>, Failure> {
    serde_json::Deserializer::from_slice(bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| at(&folder.join(name), &error))
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::bad_input(format!("{}: {error}", path.display()))
}

fn unwritable(error: &dyn std::fmt::Display) -> Failure {
    Failure::unreachable(format!("a record cannot be written: {error}"))
}
