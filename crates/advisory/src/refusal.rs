//! Why nothing can be said. An answer of its own, never a number.

use telemetry::{EventTime, Microseconds};

/// Too little is known, or what is known carries no forecast and no comparison.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Fewer steps than the method needs.
    #[error(
        "too little is known: {known} steps of {step} where {wanted} are needed; ask again later, or of a longer window"
    )]
    TooLittle {
        /// Known steps.
        known: usize,
        /// Steps that are needed.
        wanted: usize,
        /// Length of a step.
        step: Microseconds,
    },
    /// Too much of the window is unknown.
    #[error(
        "too many gaps: {share_percent} % of the window is unknown, at most {share_percent_max} % may be"
    )]
    TooManyGaps {
        /// Unknown share, rounded up, %.
        share_percent: u32,
        /// What may be unknown, %.
        share_percent_max: u32,
    },
    /// One gap is too long to be bridged.
    #[error("a gap of {length} from {from} is too long to be bridged (at most {longest})")]
    GapTooLong {
        /// Where it begins.
        from: EventTime,
        /// How long it is.
        length: Microseconds,
        /// What may be bridged.
        longest: Microseconds,
    },
    /// The series ended some time ago: what comes next has come already.
    #[error(
        "nothing is known since {last}: the series is silent, and a forecast from there would be of the past"
    )]
    Silent {
        /// Until when it is known.
        last: EventTime,
    },
    /// A value that is no number, or one beyond all quantities that are measured.
    #[error("the value at {time} is no measurement (not finite, or beyond ±{magnitude_max:e})")]
    NotMeasured {
        /// When.
        time: EventTime,
        /// The largest magnitude that is taken.
        magnitude_max: f64,
    },
    /// Nothing moved: there is no scatter to make an interval from.
    #[error(
        "all {known} values are equal: there is no scatter that an interval could be made from; is the sensor stuck?"
    )]
    NoScatter {
        /// Known steps.
        known: usize,
    },
    /// More steps than the method is kept to.
    #[error("{steps} steps are more than the {steps_max} that one question may take: ask of a shorter time")]
    TooMuch {
        /// Steps that were given.
        steps: usize,
        /// The most that are taken.
        steps_max: usize,
    },
    /// Farther ahead than the data carries.
    #[error(
        "{horizon} ahead is farther than the {known} that are known: ask of a nearer time, or of a longer window"
    )]
    TooFar {
        /// What was asked.
        horizon: Microseconds,
        /// The length of what is known.
        known: Microseconds,
    },
    /// Too few peers for a comparison.
    #[error("too few peers: {known} are known well enough, {wanted} are needed for a comparison")]
    TooFewPeers {
        /// Peers that are known.
        known: usize,
        /// Peers that are needed.
        wanted: usize,
    },
    /// The model found no answer.
    #[error("the model {model} found no answer in these values: {message}")]
    NoModel {
        /// Which.
        model: String,
        /// What it said.
        message: String,
    },
}

impl Refusal {
    /// Its word for programs, in capitals.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLittle { .. } => "TOO_LITTLE",
            Self::TooManyGaps { .. } => "TOO_MANY_GAPS",
            Self::GapTooLong { .. } => "GAP_TOO_LONG",
            Self::Silent { .. } => "SILENT",
            Self::NotMeasured { .. } => "NOT_MEASURED",
            Self::NoScatter { .. } => "NO_SCATTER",
            Self::TooMuch { .. } => "TOO_MUCH",
            Self::TooFar { .. } => "TOO_FAR",
            Self::TooFewPeers { .. } => "TOO_FEW_PEERS",
            Self::NoModel { .. } => "NO_MODEL",
        }
    }
}
