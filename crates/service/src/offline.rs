//! A data folder without a service: the lock is taken, the log's tail is judged into memory, nothing is changed; so the
//! folder may be on a disk that is mounted read-only.

use std::path::Path;
use std::sync::Arc;

use history::History;
use history::lock::FolderLock;

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
    Query(#[from] history::query::QueryError),
}

/// Answers a question from a data folder that no service runs on.
///
/// # Errors
/// [`OfflineError`].
pub async fn answer(folder: &Path, question: &Question, settings: &Settings) -> Result<Answer, OfflineError> {
    let _lock = FolderLock::take_for_reading(folder).map_err(StartError::from)?;
    let settings = {
        let mut settings = settings.clone();
        settings.data.folder = folder.to_owned();
        settings
    };
    let history = History::open(&settings.store_url(), crate::history_settings(&settings, true))
        .await
        .map_err(StartError::from)?;
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
    looking.await.map_err(|error| StartError::System(error.to_string()))?.map_err(StartError::from)?;
    Ok(ask(&history.query_engine(), question, board.progress().watermark).await?)
}
