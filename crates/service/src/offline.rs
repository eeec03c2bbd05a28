//! A data folder without a service: the lock is taken, the log's tail is judged into memory, nothing is changed; so the
//! folder may be on a disk that is mounted read-only.

use std::path::Path;
use std::sync::Arc;

use history::History;
use history::lock::FolderLock;
use history::query::{QueryEngine, QueryError};
use telemetry::EventTime;

use crate::board::Board;
use crate::metrics::Metrics;
use crate::pipeline::engine::Outlets;
use crate::pipeline::recovery::look;
use crate::question::Question;
use crate::running::StartError;
use crate::settings::Settings;
use crate::shared::{Answer, ask};
use crate::tell::Tell;

/// Why a folder does not answer.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// It cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The query.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// A data folder that is looked at: its lock is held, and nobody else takes it meanwhile.
pub struct Folder {
    queries: QueryEngine,
    watermark: Option<EventTime>,
    _lock: FolderLock,
}

impl Folder {
    /// Takes a folder that no service runs on, and judges the log's tail into memory.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(folder: &Path, settings: &Settings) -> Result<Self, StartError> {
        let lock = FolderLock::take_for_reading(folder)?;
        let settings = {
            let mut settings = settings.clone();
            settings.data.folder = folder.to_owned();
            settings
        };
        let history = History::open(&settings.store_url(), crate::history_settings(&settings, true)).await?;
        let board = Arc::new(Board::default());
        let outlets = Outlets {
            history: history.clone(),
            board: board.clone(),
            tell: Tell::new(None),
            metrics: Arc::new(Metrics::new()),
        };
        let looking = {
            let (folder, history) = (folder.to_owned(), history.clone());
            tokio::task::spawn_blocking(move || look(&folder, &history, outlets))
        };
        looking.await.map_err(|error| StartError::System(error.to_string()))??;
        Ok(Self { queries: history.query_engine(), watermark: board.progress().watermark, _lock: lock })
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The caller's: SQL that is refused or wrong, or a limit that is reached.
    pub async fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        ask(&self.queries, question, self.watermark).await
    }
}

/// Answers one question from a data folder that no service runs on.
///
/// # Errors
/// [`OfflineError`].
pub async fn answer(folder: &Path, question: &Question, settings: &Settings) -> Result<Answer, OfflineError> {
    Ok(Folder::open(folder, settings).await?.ask(question).await?)
}
