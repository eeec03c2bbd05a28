//! Plans of the queries that were asked last: a dashboard asks the same every few seconds, and planning a small query takes
//! longer than answering it.
//!
//! text → plan, optimized, with rows and `now()` left open → **plans** → the plan at one cut and one moment

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::execution::cache::lru_queue::LruQueue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use telemetry::table::Table;

use super::functions::is_open;
use super::provider::{AS_STORED, CutTable, Source};
use super::repeats;
use crate::cut::Cut;

/// So many plans are kept; the one that was not asked for longest goes first.
const PLANS_MAX: usize = 64;

/// A longer text is planned each time.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// And so is one of more nodes: a view stands for many in few words.
const NODES_MAX: usize = 500;

/// The plans that are kept, by the text of their query. Clones share them.
#[derive(Clone)]
pub struct Plans {
    kept: Arc<Mutex<LruQueue<String, Arc<Open>>>>,
}

/// A plan that is kept: optimized, without a cut, and with `now()` left open.
pub struct Open {
    plan: LogicalPlan,
    /// Whether readings may have come again when it was planned; `None` when it reads none. `samples` is another plan then.
    repeats: Option<bool>,
}

impl Plans {
    /// None as yet.
    pub fn new() -> Self {
        Self { kept: Arc::new(Mutex::new(LruQueue::new())) }
    }

    /// The plan that was kept for a query, if it is the one to answer it from this cut.
    pub fn get(&self, text: &str, cut: &Cut) -> Option<Arc<Open>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&text.to_owned()).cloned();
        kept.filter(|open| open.repeats.is_none_or(|repeats| repeats == repeats::are_possible(cut)))
    }

    /// Keeps the plan of a query.
    pub fn put(&self, text: &str, plan: Arc<Open>) {
        if TEXT_BYTES_MAX < text.len() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(text.to_owned(), plan);
        while PLANS_MAX < kept.len() {
            kept.pop();
        }
    }
}

impl Open {
    /// Whether the plan of a query may be kept: it tells of nothing but rows of ours, and is not too large.
    pub fn can_be_of(plan: &LogicalPlan) -> bool {
        if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) {
            return false;
        }
        let (mut nodes, mut can_be) = (0, true);
        let walked = plan.apply_with_subqueries(|node| {
            nodes += 1;
            can_be &= nodes <= NODES_MAX;
            if let LogicalPlan::TableScan(scan) = node {
                can_be &= source_as_provider(&scan.source)?.downcast_ref::<CutTable>().is_some();
            }
            Ok(if can_be { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        can_be && walked.is_ok()
    }

    /// An optimized plan without the cut that it was planned over.
    ///
    /// # Errors
    /// Never for the plan of a query whose plan may be kept.
    pub fn of(plan: LogicalPlan) -> Result<Self> {
        let mut repeats = None;
        let plan = plan.transform_up_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = &node {
                match scan.table_name.table() {
                    name if name == Table::Samples.name() => repeats = Some(false),
                    AS_STORED => repeats = repeats.or(Some(true)),
                    _ => {}
                }
            }
            over(node, &Source::Newest)
        });
        Ok(Self { plan: plan.data()?, repeats })
    }

    /// The plan over the rows of `source`, beginning when the session does.
    ///
    /// # Errors
    /// When what follows from now cannot be calculated.
    pub fn over(&self, source: &Source, session: &SessionState) -> Result<LogicalPlan> {
        let simplify = SimplifyExpressions::new();
        let closed = self.plan.clone().transform_up_with_subqueries(|node| {
            // What follows from now is a constant again: files are left out by constants.
            over(node, source)?.transform_data(|node| match has_open(&node)? {
                true => simplify.rewrite(node, session),
                false => Ok(Transformed::no(node)),
            })
        });
        closed.data()
    }
}

/// Whether a node asks for `now()` itself.
fn has_open(node: &LogicalPlan) -> Result<bool> {
    let mut has_open = false;
    node.apply_expressions(|expression| {
        has_open |= expression.exists(|part| Ok(is_open(part)))?;
        Ok(if has_open { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(has_open)
}

/// A scan of a table of ours over the rows of another source; any other node as it is.
fn over(node: LogicalPlan, source: &Source) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = provider.downcast_ref::<CutTable>() else {
        return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
    };
    scan.source = provider_as_source(Arc::new(table.over(source.clone())));
    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
}

#[cfg(test)]
mod tests {
    use telemetry::EventTime;

    use super::*;
    use crate::query::functions::begin_at;
    use crate::{History, HistorySettings};

    async fn kept(history: &History, text: &str) -> Option<Arc<Open>> {
        history.query_engine().open(text, &Arc::new(history.cut())).await.unwrap()
    }

    fn filters_of_scans(plan: &LogicalPlan) -> Vec<String> {
        let mut filters = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                filters.extend(scan.filters.iter().map(ToString::to_string));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        filters
    }

    #[tokio::test]
    async fn a_scan_is_asked_for_constants_once_it_is_said_when_now_is() {
        let history = History::open("memory://", HistorySettings::default()).await.unwrap();
        let text = "SELECT max(mean) FROM blocks WHERE time >= now() - INTERVAL '1 hour'";
        let open = kept(&history, text).await.unwrap();
        assert!(filters_of_scans(&open.plan)[0].contains("now()"), "{:?}", filters_of_scans(&open.plan));
        let mut session = history.query_engine().state(Source::Newest);
        begin_at(&mut session, EventTime::from_unix_micros(7_200_000_000));
        let closed = open.over(&Source::Newest, &session).unwrap();
        let expected = "blocks.time >= TimestampMicrosecond(3600000000, Some(\"UTC\"))";
        assert_eq!(filters_of_scans(&closed), [expected]);
    }

    #[tokio::test]
    async fn only_plans_over_our_own_rows_are_kept() {
        let history = History::open("memory://", HistorySettings::default()).await.unwrap();
        for (text, is_kept) in [
            ("SELECT rack FROM rack_now", true),
            ("SELECT 1 WHERE EXISTS (SELECT 1 FROM runs)", true),
            ("EXPLAIN SELECT run FROM runs", false),
            ("SELECT table_name FROM information_schema.tables", false),
            ("SELECT value FROM generate_series(1, 3)", false),
            (&["SELECT rack FROM rack_now"; 100].join(" UNION ALL "), false),
        ] {
            assert_eq!(kept(&history, text).await.is_some(), is_kept, "{text}");
        }
    }

    #[tokio::test]
    async fn the_plans_that_were_asked_for_longest_ago_are_forgotten() {
        let history = History::open("memory://", HistorySettings::default()).await.unwrap();
        let (engine, cut) = (history.query_engine(), Arc::new(history.cut()));
        let text = |number: usize| format!("SELECT {number}");
        for number in 0..=PLANS_MAX {
            engine.open(&text(number), &cut).await.unwrap();
            engine.open(&text(0), &cut).await.unwrap();
        }
        let is_kept = |number| engine.plans().get(&text(number), &cut).is_some();
        assert!(is_kept(0) && !is_kept(1) && is_kept(2) && is_kept(PLANS_MAX));
        let long = format!("SELECT 1 -- {}", "-".repeat(TEXT_BYTES_MAX));
        engine.open(&long, &cut).await.unwrap();
        assert!(engine.plans().get(&long, &cut).is_none());
    }
}
