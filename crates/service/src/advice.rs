//! Forecasts and comparisons of peers over history, on request. No gate and no evaluator sees them.
//!
//! blocks of `history`, by SQL → `advisory` → **advice** → gRPC, command line

pub mod desk; // one question at a time, on a thread of its own
pub mod forecast; // how a series goes on
pub mod message; // answers as they are sent
pub mod peers; // who behaves unlike its peers

mod rows; // columns of an answer in SQL

use telemetry::signal;

use crate::shared::Answer;
use crate::stored::quoted;

/// Why a question gets no answer. Too little data is an answer of its own: [`advisory::Refusal`].
#[derive(Debug, thiserror::Error)]
pub enum AdviceError {
    /// A field of the question: the caller's to mend.
    #[error("{field}: {message}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Nothing of that name: the caller's to mend.
    #[error("{message}")]
    NotFound {
        /// series or rack.
        kind: &'static str,
        /// What was looked for.
        name: String,
        /// What was looked for and where, and how to find what there is.
        message: String,
    },
    /// Our limit: the caller asks again.
    #[error("{questions_max} questions are being answered or wait already: ask again in a moment")]
    Busy {
        /// How many there may be.
        questions_max: usize,
    },
    /// Our limit: the question is too large, or the machine too busy.
    #[error("no answer within {seconds_max} s: ask of a shorter window, or when the service has less to do")]
    TooSlow {
        /// What a question may take.
        seconds_max: u64,
    },
    /// The history cannot be read; may pass.
    #[error("the history cannot be read: {message}")]
    Unavailable {
        /// What it said.
        message: String,
    },
    /// Ours.
    #[error("{message}")]
    Internal {
        /// What is broken.
        message: String,
    },
}

/// Whoever answers SQL about a history: a service for itself, or the command line for a folder.
pub trait AskSql {
    /// Answers a query.
    fn ask(&self, sql: String) -> impl Future<Output = Result<Answer, AdviceError>> + Send;

    /// The loop that a rack is on, where that is known otherwise than by labels: from the site file.
    fn loop_of(&self, rack: &str) -> Option<String> {
        let _ = rack;
        None
    }
}

/// The loops of a rack, as a list in SQL: rows of a rack name no loop, its readings' labels do.
fn loops_sql(rack: &str, known: Option<&str>) -> String {
    let labels = format!(
        "SELECT map_extract(labels, 'loop')[1] FROM samples \
         WHERE rack = {} AND time >= now() - INTERVAL '10 minutes'",
        quoted(rack)
    );
    known.map_or(labels, quoted)
}

/// A signal's unit as its UCUM symbol; empty where no mapping knows it.
fn unit(signal: &str) -> &'static str {
    signal::find(signal).map_or("", |signal| signal.unit.symbol())
}
