//! How many cores a query is given: one that reads few rows is planned and answered by one sooner than by several, which
//! hand its rows to each other.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::provider::CutTable;

/// The session to plan this with, which is optimized.
///
/// - `few`: so many rows are few.
///
/// # Errors
/// Never.
pub fn suited(mut session: SessionState, plan: &LogicalPlan, few: usize) -> Result<SessionState> {
    if reads_few_rows(plan, few)? {
        session.config_mut().options_mut().execution.target_partitions = 1;
    }
    Ok(session)
}

/// Whether all that it reads is tables of ours with few rows, before any filter, and none of them is put together with each
/// other. A join by a key that most rows share makes many of few, too, and is left to one core.
fn reads_few_rows(plan: &LogicalPlan, few: usize) -> Result<bool> {
    let mut rows = Some(0_usize);
    plan.apply_with_subqueries(|node| {
        let read = match node {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                provider.downcast_ref::<CutTable>().map(CutTable::rows)
            }
            // Each row with each other row, or again and again.
            LogicalPlan::Join(join) if join.on.is_empty() => None,
            LogicalPlan::RecursiveQuery(_) => None,
            _ => Some(0),
        };
        rows = rows.zip(read).map(|(rows, read)| rows.saturating_add(read)).filter(|rows| *rows <= few);
        Ok(if rows.is_some() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(rows.is_some())
}
