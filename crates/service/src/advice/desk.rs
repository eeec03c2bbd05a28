//! Where questions are answered: one at a time, on a thread of its own, so that a forecast takes a core from neither
//! gates nor ingest; few may wait, and each has its time.

use std::sync::Arc;
use std::time::Duration;

use history::query::{QueryEngine, QueryError};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};

use super::forecast::{ForecastAnswer, ForecastQuestion, forecast};
use super::peers::{PeersAnswer, PeersQuestion, compare};
use super::{AdviceError, AskSql};
use crate::board::Board;
use crate::metrics::{Id, Metrics};
use crate::shared::Answer;

/// Questions that are answered or wait.
pub const QUESTIONS_MAX: usize = 8;
/// Name of the threads that questions are answered on.
pub const THREAD: &str = "thermogate-advisory";
/// What one question may take, with its waiting.
pub const SECONDS_MAX: u64 = 20;

/// Answers questions.
pub struct Desk {
    threads: Handle,
    history: Queries,
    room: Arc<Semaphore>,
    turn: Arc<Mutex<()>>,
    metrics: Arc<Metrics>,
}

/// The service's own history.
#[derive(Clone)]
struct Queries {
    engine: QueryEngine,
    board: Arc<Board>,
}

impl AskSql for Queries {
    async fn ask(&self, sql: String) -> Result<Answer, AdviceError> {
        let result = self.engine.sql(&sql, &[]).await.map_err(of_query)?;
        let schema = result.schema.clone();
        Ok(Answer { schema, batches: result.collect().await.map_err(of_query)? })
    }

    fn loop_of(&self, rack: &str) -> Option<String> {
        self.board.rack(rack)?.place.cooling_loop.as_deref().map(str::to_owned)
    }
}

fn of_query(error: QueryError) -> AdviceError {
    AdviceError::Unavailable { message: error.to_string() }
}

/// Ends work that nobody waits for any more.
struct EndWithWaiter(tokio::task::AbortHandle);

impl Drop for EndWithWaiter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Desk {
    /// On these threads, over this history; the board tells which loop a rack is on.
    pub fn new(threads: Handle, engine: QueryEngine, board: Arc<Board>, metrics: Arc<Metrics>) -> Self {
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Self { threads, history: Queries { engine, board }, room, turn: Arc::new(Mutex::new(())), metrics }
    }

    /// How a series goes on.
    ///
    /// # Errors
    /// [`AdviceError`].
    pub async fn forecast(&self, question: ForecastQuestion) -> Result<ForecastAnswer, AdviceError> {
        let history = self.history.clone();
        let answered = self.work(async move { forecast(&question, &history).await }).await;
        self.count("forecast", answered.as_ref().map(|answer| answer.outcome.is_ok()));
        answered
    }

    /// Who behaves unlike its peers.
    ///
    /// # Errors
    /// [`AdviceError`].
    pub async fn compare(&self, question: PeersQuestion) -> Result<PeersAnswer, AdviceError> {
        let history = self.history.clone();
        let answered = self.work(async move { compare(&question, &history).await }).await;
        self.count("peers", answered.as_ref().map(|answer| answer.outcome.is_ok()));
        answered
    }

    fn count(&self, question: &str, answered: Result<bool, &AdviceError>) {
        let result = match answered {
            Ok(true) => "answered",
            Ok(false) => "refused",
            Err(_) => "failed",
        };
        self.metrics.add(Id::Advisory, &[question, result], 1);
    }

    /// Takes a place, waits for its turn, works; gives up after [`SECONDS_MAX`].
    async fn work<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, AdviceError>> + Send + 'static,
    ) -> Result<T, AdviceError> {
        let place = self.room.clone().try_acquire_owned();
        let place = place.map_err(|_| AdviceError::Busy { questions_max: QUESTIONS_MAX })?;
        let turn = self.turn.clone();
        let working = self.threads.spawn(async move {
            // A place is free again when its work has ended, not when its waiter has gone.
            let _place = place;
            let _turn = turn.lock().await;
            job.await
        });
        let _end = EndWithWaiter(working.abort_handle());
        match tokio::time::timeout(Duration::from_secs(SECONDS_MAX), working).await {
            Err(_) => Err(AdviceError::TooSlow { seconds_max: SECONDS_MAX }),
            Ok(Err(error)) => {
                Err(AdviceError::Internal { message: format!("the answer was not finished: {error}") })
            }
            Ok(Ok(answer)) => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::threads::{Threads, Turn};

    fn desk(folder: &std::path::Path, threads: &Threads) -> Arc<Desk> {
        let mut settings = crate::settings::Settings::load(None, std::iter::empty(), &[]).unwrap();
        settings.data.folder = folder.to_owned();
        let open = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, settings) = (settings.store_url(), crate::history_settings(&settings, false));
        let history = open.block_on(history::History::open(&store, settings)).unwrap();
        let board = Arc::new(Board::default());
        Arc::new(Desk::new(threads.handle().clone(), history.query_engine(), board, Arc::new(Metrics::new())))
    }

    #[test]
    fn questions_are_answered_one_at_a_time_and_more_than_fit_are_refused() {
        let threads = Threads::start("advice-test", 1, Turn::Last).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path(), &threads);
        let at_work = Arc::new(AtomicUsize::new(0));
        let together = Arc::new(AtomicUsize::new(0));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let answers = runtime.block_on(async {
            let asked = (0..QUESTIONS_MAX + 3).map(|_| {
                let (desk, at_work, together) = (desk.clone(), at_work.clone(), together.clone());
                async move {
                    desk.work(async move {
                        let others = at_work.fetch_add(1, Ordering::SeqCst);
                        together.fetch_max(others + 1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        at_work.fetch_sub(1, Ordering::SeqCst);
                        let name = std::thread::current().name().unwrap_or_default().to_owned();
                        Ok(name)
                    })
                    .await
                }
            });
            futures::future::join_all(asked).await
        });
        let busy = answers.iter().filter(|answer| matches!(answer, Err(AdviceError::Busy { .. }))).count();
        assert_eq!(busy, 3);
        assert_eq!(together.load(Ordering::SeqCst), 1);
        assert!(answers.iter().flatten().all(|name| name == "thermogate-advice-test"), "{answers:?}");
        let after = runtime.block_on(desk.work(async { Ok(1) }));
        assert!(after.is_ok(), "there is room again: {after:?}");
    }

    #[test]
    fn an_answer_that_panics_is_a_fault_of_its_own_and_the_next_one_is_given() {
        let threads = Threads::start("advisory", 1, Turn::Last).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path(), &threads);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let broken = desk.work(async { Vec::<Result<(), AdviceError>>::new().remove(0) }).await;
            assert!(matches!(broken, Err(AdviceError::Internal { .. })), "{broken:?}");
            let name = desk.work(async { Ok(std::thread::current().name().map(str::to_owned)) }).await;
            assert_eq!(name.unwrap().as_deref(), Some(THREAD), "what the process does not end for");
        });
    }

    #[test]
    fn who_stops_waiting_leaves_the_place_to_others() {
        let threads = Threads::start("advice-test", 1, Turn::Last).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path(), &threads);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for _ in 0..2 * QUESTIONS_MAX {
                let never = desk.work(std::future::pending::<Result<(), AdviceError>>());
                assert!(tokio::time::timeout(Duration::from_millis(5), never).await.is_err());
                // The work ends where it waits, a moment later.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(desk.work(async { Ok(()) }).await.is_ok());
        });
    }
}
