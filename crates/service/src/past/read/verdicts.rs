//! What was said about a run: verdicts, overrides, final statuses.

use serde::Deserialize;
use serde_json::Value;
use telemetry::record::{Sequence, VerdictRecord};
use telemetry::{EventTime, Name};

use super::super::play::status_columns;
use super::super::{Answers, PastError, StoredVerdict, status_json};
use super::asked::{Source, quoted};

impl<A: Answers> Source<'_, A> {
    /// The verdicts about a run, in order.
    pub(super) async fn verdicts(&self, run: &str) -> Result<Vec<StoredVerdict>, PastError> {
        #[derive(Deserialize)]
        struct VerdictRow {
            seq: Sequence,
            evaluation: Name,
            policy: Name,
            policy_hash: Name,
            scope: String,
            run: Option<Name>,
            verdict: Name,
            answer: String,
            facts: String,
            watermark: i64,
            wait_until: Option<i64>,
            time: i64,
            engine: Name,
        }
        // A policy about runs takes the active one when it is asked about racks: only its answer names the run then.
        let named = quoted(&format!("\"run_id\":{}", Value::from(run)));
        let sql = format!(
            "select seq, evaluation, policy, policy_hash, scope, run, verdict, answer, facts, \
             cast(watermark as bigint) as watermark, cast(wait_until as bigint) as wait_until, \
             cast(time as bigint) as time, engine from verdicts \
             where run = {} or strpos(answer, {named}) > 0 order by seq",
            quoted(run)
        );
        let rows: Vec<VerdictRow> = self.rows(&sql).await?;
        let verdict = |row: VerdictRow| StoredVerdict {
            seq: row.seq,
            record: VerdictRecord {
                evaluation: row.evaluation,
                policy: row.policy,
                policy_hash: row.policy_hash,
                racks: serde_json::from_str(&row.scope).unwrap_or_default(),
                run: row.run,
                verdict: row.verdict,
                answer: row.answer,
                facts: row.facts,
                watermark: EventTime::from_unix_micros(row.watermark),
                wait_until: row.wait_until.map(EventTime::from_unix_micros),
                time: EventTime::from_unix_micros(row.time),
                engine: row.engine,
            },
        };
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
