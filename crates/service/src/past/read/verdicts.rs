//! What was said about a run: verdicts, overrides, final statuses.

use serde_json::Value;

use super::super::play::status_columns;
use super::super::{Answers, PastError, StoredVerdict, status_json};
use super::asked::Source;
use crate::stored::{VerdictRow, quoted};

impl<A: Answers> Source<'_, A> {
    /// The verdicts about a run, in order.
    pub(super) async fn verdicts(&self, run: &str) -> Result<Vec<StoredVerdict>, PastError> {
        // A policy about runs takes the active one when it is asked about racks: only its answer names the run then.
        let named = quoted(&format!("\"run_id\":{}", Value::from(run)));
        let sql = format!(
            "select {} from verdicts where run = {} or strpos(answer, {named}) > 0 order by seq",
            VerdictRow::COLUMNS,
            quoted(run)
        );
        let rows: Vec<VerdictRow> = self.rows(&sql).await?;
        let verdict = |row: VerdictRow| StoredVerdict { seq: row.seq, record: row.into() };
        Ok(rows.into_iter().map(verdict).collect())
    }

    /// The final statuses of a run, in order of their text.
    pub(super) async fn statuses(&self, run: &str) -> Result<Vec<String>, PastError> {
        let sql = format!(
            "select {} from slo_status where scope = 'run' and final and run = {}",
            status_columns(),
            quoted(run)
        );
        let rows: Vec<Value> = self.rows(&sql).await?;
        let mut statuses: Vec<String> = rows.iter().map(status_json).collect();
        statuses.sort();
        Ok(statuses)
    }

    pub(super) async fn overrides(&self, verdicts: &[StoredVerdict]) -> Result<Vec<Value>, PastError> {
        if verdicts.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = verdicts.iter().map(|verdict| quoted(&verdict.record.evaluation)).collect();
        let sql = format!(
            "select evaluation, cast(time as bigint) as time, checks, by, why, cast(until as bigint) as until \
             from overrides where evaluation in ({}) order by seq",
            ids.join(", ")
        );
        self.rows(&sql).await
    }
}
