//! What every source is decoded to: series by their raw bytes, and points that refer to them.
//!
//! `remote_write`, `otlp`, `files` → **decoded** → `front`.

use bytes::Bytes;
use telemetry::EventTime;

use crate::key::{self, LabelError, SourceLabels};
use crate::protobuf::Torn;

/// Parts (series, points) of one request; more are refused whole, since 24 bytes of memory stand behind two of
/// the wire.
pub const PARTS_MAX: usize = 4 << 20;

/// Bytes of one series' labels; longer ones refuse their request, since they are repeated for every point.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// Bytes of all labels of one request, where they must be copied: a small request could repeat a long resource for
/// every point. The same holds for its readings that are text.
pub const KEYS_BYTES_MAX: usize = 128 << 20;

/// Metrics of one request whose metadata is read.
const METADATA_MAX: usize = 10_000;

/// First moment of year 1 and last microsecond of year 9999: what RFC 3339 can write.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Whether a time can be written as RFC 3339.
pub(crate) fn fits(time: EventTime) -> bool {
    TIMES.contains(&time.unix_micros())
}

/// One request, group of rows or message, decoded. Owns its bytes, so that it can go to another thread.
///
/// A series is a span of bytes, its *key*: equal bytes mean the same series of the same source, so that a series
/// seen before costs a comparison. Labels are read from the key only when it is new.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Who sends it: `remote_write`, `otlp`, `flight`, `file`, `dsx_bms`.
    pub source: &'static str,
    body: Bytes,
    /// Keys that are not one span of the body.
    copies: Vec<u8>,
    series: Vec<SourceSeries>,
    points: Vec<Point>,
    texts: Vec<(u32, Box<str>)>,
    texts_bytes: usize,
    /// What was said about metrics, apart from their samples.
    pub metadata: Vec<Metadata>,
    /// What was read and cannot be taken.
    pub unsupported: Unsupported,
    /// The last so many points are counts and sums of native histograms, two for each, where the protocol asks how many
    /// of these were stored.
    pub(crate) histogram_points: usize,
    /// The latest report, with or without readings: time goes on for the feed, not for a series that is missing in it.
    pub latest_report: Option<EventTime>,
    /// Readings that are missing in reports.
    pub absent: u64,
}

#[derive(Debug, Clone, Copy)]
struct SourceSeries {
    start: u32,
    end: u32,
    copied: bool,
}

/// One reading of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Position of its series in [`Decoded`].
    pub series: u32,
    /// What it is.
    pub kind: PointKind,
    /// When the sensor took it.
    pub time: EventTime,
    /// The number as the source sent it, in the source's unit.
    pub value: f64,
}

/// What a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// A number.
    Reading,
    /// A number that the source itself calls untrusted.
    Distrusted,
    /// A text where a number should be: a word for a state, a duration, `ns`, `no reading`, `#VALUE!`; see
    /// [`Decoded::texts`].
    Text,
    /// The source's word for "no value": null, or a point without one.
    Null,
    /// The series ended: stale marker, or `NO_RECORDED_VALUE`.
    Stale,
    /// A number whose time does not fit into the years 1 to 9999, or that has none.
    OutOfTime,
}

/// What was said about a metric of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the metric family.
    pub name: String,
    /// Its unit, as the source spells it; may be empty.
    pub unit: String,
    /// How its numbers add up, where that was said.
    pub kind: SourceKind,
}

/// How a source says that its numbers add up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// It does not say.
    #[default]
    Unsaid,
    /// Each value stands for itself.
    Gauge,
    /// A running total that only grows.
    Counter,
    /// What was added since the last point.
    Delta,
    /// A sum without temporality: nobody can tell what it means, so it is refused.
    Unspecified,
}

/// Parts of a request that are counted and not taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported {
    /// Points of histograms of any kind, of which count, sum, minimum and maximum are taken and the buckets are not.
    pub histograms: u64,
    /// Quantiles of summaries that are none: outside 0 to 1.
    pub summaries: u64,
    /// Exemplars.
    pub exemplars: u64,
}

/// A request that cannot be read as a whole. Nothing of it is taken; sending it again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a message of the declared type.
    #[error(
        "{message} cannot be read at byte {at}: {what}; send the message that the content type declares, whole"
    )]
    Torn {
        /// Which message was expected.
        message: &'static str,
        /// Offset in the innermost message that was read.
        at: usize,
        /// What is wrong there.
        what: String,
    },
    /// Not compressed as declared.
    #[error("the body is not {encoding}: {reason}; compress it as the header Content-Encoding says")]
    Compression {
        /// Name of the encoding.
        encoding: &'static str,
        /// What the decompressor says.
        reason: String,
    },
    /// More than a limit allows.
    #[error("{what}: {size}, more than the limit of {limit}; send smaller requests{}", or_raise(*setting))]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is, or is declared to be.
        size: u64,
        /// The limit.
        limit: u64,
        /// The setting that holds the limit; `None` where it is fixed.
        setting: Option<&'static str>,
    },
    /// A table whose columns or rows are not telemetry.
    #[error("{0}")]
    Table(String),
    /// A series whose label set breaks the protocol's rules.
    #[error("series {series} of {source_name}: {reason}")]
    Labels {
        /// Who sent it.
        source_name: &'static str,
        /// Which series: its labels as far as they can be read.
        series: String,
        /// What is wrong and how to mend it.
        reason: LabelError,
    },
}

fn or_raise(setting: Option<&str>) -> String {
    setting.map_or_else(String::new, |setting| format!(" or raise {setting}"))
}

impl DecodeError {
    pub(crate) fn torn(message: &'static str, torn: Torn) -> Self {
        Self::Torn { message, at: torn.at, what: torn.what.to_owned() }
    }
}

impl Decoded {
    /// An empty request of `source` whose keys may be spans of `body`.
    pub(crate) fn new(source: &'static str, body: Bytes) -> Self {
        Self {
            source,
            body,
            copies: Vec::new(),
            series: Vec::new(),
            points: Vec::new(),
            texts: Vec::new(),
            texts_bytes: 0,
            metadata: Vec::new(),
            unsupported: Unsupported::default(),
            histogram_points: 0,
            latest_report: None,
            absent: 0,
        }
    }

    /// The points, in the order of the request.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Position and text of the points that are [`PointKind::Text`], in order.
    pub fn texts(&self) -> &[(u32, Box<str>)] {
        &self.texts
    }

    /// Number of series that have points.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// The key of a series: equal bytes from one source mean the same series.
    #[inline]
    pub fn key(&self, series: usize) -> &[u8] {
        let span = &self.series[series];
        let buffer: &[u8] = if span.copied { &self.copies } else { &self.body };
        &buffer[span.start as usize..span.end as usize]
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.keys_bytes()
            + self.texts_bytes
            + self.points.len() * size_of::<Point>()
            + self.series.len() * size_of::<SourceSeries>()
    }

    /// Bytes of all keys together, at most.
    pub(crate) fn keys_bytes(&self) -> usize {
        self.body.len() + self.copies.len()
    }

    /// Reads a series' labels.
    ///
    /// # Errors
    /// Says which label breaks which rule.
    pub fn labels(&self, series: usize) -> Result<SourceLabels<'_>, LabelError> {
        key::read(self.key(series))
    }

    /// Notes a report at this time that lacks so many readings.
    pub(crate) fn note_report(&mut self, time: EventTime, absent: u64) {
        self.latest_report = self.latest_report.max(Some(time));
        self.absent += absent;
    }

    /// Adds a series whose key is this span of the body.
    #[inline]
    pub(crate) fn add_borrowed_series(&mut self, start: usize, end: usize) -> Result<u32, DecodeError> {
        check_limit("bytes of one series' labels", end - start, KEY_BYTES_MAX)?;
        self.add_series(SourceSeries { start: start as u32, end: end as u32, copied: false })
    }

    /// Adds a series whose key `write` appends.
    #[inline]
    pub(crate) fn add_copied_series(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<u32, DecodeError> {
        let start = self.copies.len();
        write(&mut self.copies);
        check_limit("bytes of one series' labels", self.copies.len() - start, KEY_BYTES_MAX)?;
        check_limit("bytes of all series' labels", self.copies.len(), KEYS_BYTES_MAX)?;
        self.add_series(SourceSeries { start: start as u32, end: self.copies.len() as u32, copied: true })
    }

    fn add_series(&mut self, series: SourceSeries) -> Result<u32, DecodeError> {
        check_limit("series in one request", self.series.len() + 1, PARTS_MAX)?;
        self.series.push(series);
        Ok(self.series.len() as u32 - 1)
    }

    /// Adds a point.
    #[inline]
    pub(crate) fn add_point(&mut self, point: Point) -> Result<(), DecodeError> {
        check_limit("points in one request", self.points.len() + 1, PARTS_MAX)?;
        self.points.push(point);
        Ok(())
    }

    /// Adds a reading that is text.
    pub(crate) fn add_text(
        &mut self,
        series: u32,
        time: EventTime,
        text: Box<str>,
    ) -> Result<(), DecodeError> {
        self.texts_bytes += text.len();
        check_limit("bytes of all readings that are text", self.texts_bytes, KEYS_BYTES_MAX)?;
        self.texts.push((self.points.len() as u32, text));
        self.add_point(Point { series, kind: PointKind::Text, time, value: f64::NAN })
    }

    /// Adds what was said about a metric; beyond [`METADATA_MAX`] in one request it is dropped.
    pub(crate) fn add_metadata(&mut self, metadata: Metadata) {
        if self.metadata.len() < METADATA_MAX && !metadata.name.is_empty() {
            self.metadata.push(metadata);
        }
    }

    /// Makes room for so many series with a point each.
    pub(crate) fn expect_series(&mut self, count: usize) {
        self.series.reserve(count);
        self.points.reserve(count);
    }

    /// Removes the last series again, and its points, which begin at `points`.
    pub(crate) fn drop_last_series(&mut self, points: usize) {
        self.points.truncate(points);
        if let Some(SourceSeries { start, copied: true, .. }) = self.series.pop() {
            self.copies.truncate(start as usize);
        }
    }
}

#[inline]
fn check_limit(what: &'static str, size: usize, limit: usize) -> Result<(), DecodeError> {
    if size <= limit {
        return Ok(());
    }
    Err(DecodeError::TooLarge { what, size: size as u64, limit: limit as u64, setting: None })
}
