//! Rows on their way to a client that may be slow: one that takes none holds a query no longer than a query may last.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use history::query::{QueryError, QueryResult};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Batches that wait for the client: one while the next is made.
const WAITING_MAX: usize = 2;

/// Rows that a task of their own fetches; dropped with this value.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    waiting: mpsc::Receiver<RecordBatch>,
    query: Option<JoinHandle<Result<(), QueryError>>>,
}

impl Rows {
    /// Begins to fetch, on the caller's runtime.
    ///
    /// - `seconds_max`: after this time the query ends, whether its rows are made slowly or taken slowly.
    /// - `ended`: told whether the query came to its end.
    pub fn fetch(
        mut result: QueryResult,
        seconds_max: u64,
        ended: impl FnOnce(bool) + Send + 'static,
    ) -> Self {
        let schema = result.schema.clone();
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let deadline = Instant::now() + Duration::from_secs(seconds_max);
        let fetch = async move {
            while let Some(batch) = result.next().await? {
                match timeout_at(deadline, sender.send(batch)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_gone)) => return Ok(()), // The client has no use for the rest.
                    Err(_) => return Err(QueryError::TooSlow { seconds_max }),
                }
            }
            Ok(())
        };
        let query = tokio::spawn(async move {
            let fetched = fetch.await;
            ended(fetched.is_ok());
            fetched
        });
        Self { schema, waiting, query: Some(query) }
    }

    /// The next rows; `None` after the last. An error comes after the rows that were made before it.
    ///
    /// # Errors
    /// [`QueryError`]: a limit was reached, or the store failed.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if let Some(batch) = self.waiting.recv().await {
            return Ok(Some(batch));
        }
        match self.query.take() {
            None => Ok(None),
            Some(query) => match query.await {
                Ok(fetched) => fetched.map(|()| None),
                Err(error) => Err(QueryError::Failed(Box::new(
                    datafusion::error::DataFusionError::External(error.into()),
                ))),
            },
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch, QueryError>> + Send {
        futures::stream::try_unfold(self, async |mut rows| Ok(rows.next().await?.map(|batch| (batch, rows))))
    }
}

/// A client that goes away ends its query at once.
impl Drop for Rows {
    fn drop(&mut self) {
        if let Some(query) = &self.query {
            query.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::query::Limits;
    use history::{History, HistorySettings};

    const SQL: &str = "SELECT * FROM generate_series(1, 1000000)";

    async fn fetched(limits: Limits) -> (history::query::QueryEngine, Rows) {
        let settings = HistorySettings { limits, ..HistorySettings::default() };
        let engine = History::open("memory://", settings).await.unwrap().query_engine();
        let result = engine.sql(SQL, &[]).await.unwrap();
        let rows = Rows::fetch(result, limits.seconds_max, |_| {});
        (engine, rows)
    }

    #[tokio::test]
    async fn a_client_that_takes_no_rows_gives_its_place_away_and_is_told_that_rows_are_missing() {
        let limits = Limits { seconds_max: 1, concurrency_max: 1, ..Limits::default() };
        let (engine, mut rows) = fetched(limits).await;
        // It waits for its turn, which comes when the first query is ended.
        engine.sql("SELECT 1", &[]).await.unwrap();
        let ended = loop {
            match rows.next().await {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert!(matches!(ended, Err(QueryError::TooSlow { seconds_max: 1 })), "not all rows came: {ended:?}");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_its_query_at_once() {
        let limits = Limits { concurrency_max: 1, ..Limits::default() };
        let (engine, rows) = fetched(limits).await;
        drop(rows);
        engine.sql("SELECT 1", &[]).await.unwrap();
    }
}
