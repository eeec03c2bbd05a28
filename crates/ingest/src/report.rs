//! What became of a request: told to its sender, counted by the service.
//!
//! `front` → **report** → answers of `remote_write::server`, `otlp::grpc`, `otlp::http`.

use std::collections::BTreeMap;

use telemetry::record::Flag;

use crate::decoded::Unsupported;

/// Refusals and notes that one report holds; what is beyond is counted only.
const LISTED_MAX: usize = 8;

/// What became of the points of one request.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Report {
    /// Points stored, those that were set aside among them: a resend could not help them.
    pub accepted: u64,
    /// Points stored with a flag that keeps them from being judged.
    pub quarantined: BTreeMap<Flag, u64>,
    /// Points stored with [`Flag::Unusual`], which are judged.
    pub unusual: u64,
    /// Points not stored, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// A few of the refusals, told to the sender.
    pub refusals: Vec<Refusal>,
    /// Points of metrics that no mapping knows, stored under their own name; they are in `accepted` too.
    pub unmapped_kept: u64,
    /// Points of metrics that no mapping knows, only counted.
    pub unmapped_counted: u64,
    /// Points of metrics that carry no reading, such as `target_info`.
    pub ignored: u64,
    /// Rows and reports without a reading.
    pub absent: u64,
    /// Points among the accepted that are counts and sums of native histograms, two for each, where the protocol asks
    /// how many of these were stored.
    pub histogram_points: u64,
    /// Series that were declared.
    pub new_series: u64,
    /// What was read and cannot be taken.
    pub unsupported: Unsupported,
    /// A few remarks that are worth an operator's look.
    pub notes: Vec<String>,
}

/// Why a point is not stored while its neighbours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The unit does not fit the signal.
    Unit,
    /// The mapping or the site refuses it otherwise.
    Mapping,
    /// A sum without temporality.
    Temporality,
    /// No time, or one outside the years 1 to 9999.
    Time,
    /// More labels, or longer ones, than a series may have.
    Labels,
    /// More series than a source may have.
    SeriesPerSource,
    /// More new series in one second than may come.
    NewSeries,
}

impl Reason {
    /// All, for metrics.
    pub const ALL: [Self; 7] = [
        Self::Unit,
        Self::Mapping,
        Self::Temporality,
        Self::Time,
        Self::Labels,
        Self::SeriesPerSource,
        Self::NewSeries,
    ];

    /// The word in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Mapping => "mapping",
            Self::Temporality => "temporality",
            Self::Time => "time",
            Self::Labels => "labels",
            Self::SeriesPerSource => "series_per_source",
            Self::NewSeries => "new_series",
        }
    }
}

/// Points of one series that were not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Which series, as its source names it.
    pub series: String,
    /// How many points.
    pub points: u64,
    /// What, where and how to mend it.
    pub message: String,
}

impl Report {
    /// Points that were not stored for a reason that the sender is told.
    pub fn refused_points(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(crate) fn refuse(&mut self, reason: Reason, points: u64, explain: impl FnOnce() -> (String, String)) {
        *self.refused.entry(reason).or_default() += points;
        if self.refusals.len() < LISTED_MAX {
            let (series, message) = explain();
            match self.refusals.iter_mut().find(|known| known.reason == reason && known.series == series) {
                Some(known) => known.points += points,
                None => self.refusals.push(Refusal { reason, series, points, message }),
            }
        }
    }

    pub(crate) fn note(&mut self, note: impl FnOnce() -> String) {
        if self.notes.len() < LISTED_MAX {
            self.notes.push(note());
        }
    }

    /// What the sender is told about points that were refused; empty when none was.
    pub fn refusal_text(&self) -> String {
        let refused = self.refused_points();
        if refused == 0 {
            return String::new();
        }
        let listed: Vec<String> =
            self.refusals.iter().map(|refusal| format!("{}: {}", refusal.series, refusal.message)).collect();
        let by_reason: Vec<String> =
            self.refused.iter().map(|(reason, points)| format!("{} {points}", reason.name())).collect();
        format!(
            "{refused} of {} points refused ({}), the rest is stored: {}",
            refused + self.accepted,
            by_reason.join(", "),
            listed.join("; ")
        )
    }

    /// What the sender is told beside a full success; empty when there is nothing to tell.
    pub fn warning_text(&self) -> String {
        let Unsupported { histograms, summaries, exemplars } = self.unsupported;
        let counts = [
            (histograms, "histogram points were stored without their buckets, which are not supported"),
            (summaries, "quantiles of summaries are outside 0 to 1 and were not stored"),
            (exemplars, "exemplars are not supported and were not stored"),
            (
                self.unmapped_counted,
                "points of unmapped metrics were counted and not stored: see ingest.unmapped",
            ),
        ];
        let told: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, text)| format!("{count} {text}"))
            .collect();
        told.join("; ")
    }
}
