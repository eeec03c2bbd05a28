//! Who answers about past runs: a data folder, or the service on it or elsewhere.
//!
//! `--data`, `--http` → **past** → `service::past`

use history::lock::{self, Holder};
use service::offline::Folder;
use service::past::{Answers, PastError};
use service::question::Question;
use service::settings::Settings;
use service::shared::Answer;
use telemetry::Microseconds;

use crate::arguments::{HttpArguments, PastArguments};
use crate::command::sql;
use crate::failure::{Failure, UNREACHABLE};

/// Answers SQL.
pub enum Source {
    /// A folder that no service runs on.
    Folder(Box<Folder>),
    /// A service.
    Service(HttpArguments),
}

/// Finds out who answers.
///
/// # Errors
/// Exit code 2 for a folder that is none, 5 for one that cannot be taken now.
pub async fn source(arguments: &PastArguments) -> Result<Source, Failure> {
    let Some(folder) = &arguments.data else { return Ok(Source::Service(arguments.service.clone())) };
    let holder = lock::holder(folder).map_err(|error| Failure::bad_input(error.to_string()))?;
    match holder {
        Some(Holder { address: Some(http), .. }) => {
            Ok(Source::Service(sql::service_on_folder(&http, &arguments.service)))
        }
        Some(Holder { pid, address: None }) => Err(sql::held(folder, pid)),
        None => {
            let settings = Settings::load(None, std::iter::empty(), &[])?;
            let opened = Folder::open(folder, &settings).await;
            let folder = opened.map_err(|error| Failure::bad_input(error.to_string()))?;
            Ok(Source::Folder(Box::new(folder)))
        }
    }
}

/// `--warm-up`.
///
/// # Errors
/// Names the flag.
pub fn warm_up(arguments: &PastArguments) -> Result<Microseconds, Failure> {
    arguments.warm_up.parse().map_err(|message| Failure::bad_input(format!("--warm-up: {message}")))
}

impl Answers for Source {
    async fn answer(&self, sql: String) -> Result<Answer, PastError> {
        let question = Question { sql: Some(sql), query: None, parameters: Default::default() };
        match self {
            Self::Folder(folder) => {
                folder.ask(&question).await.map_err(|error| PastError::Refused(error.to_string()))
            }
            Self::Service(service) => {
                sql::ask_service(service, &question).await.map_err(|failure| match failure.code {
                    UNREACHABLE => PastError::Unreachable(failure.message),
                    _ => PastError::Refused(failure.message),
                })
            }
        }
    }
}

impl From<PastError> for Failure {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Refused(message) => Self::bad_input(message),
            PastError::Unreachable(message) => Self::unreachable(message),
        }
    }
}
