//! What a query's filters say of rows in memory, before these become columns.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::PhysicalExpr;

/// The filters that ask for nothing but some columns, ready to be evaluated. Rows that they drop would be dropped by the
/// whole filter too.
#[derive(Clone)]
pub struct Asked {
    /// The columns that are asked for.
    pub schema: SchemaRef,
    filter: Arc<dyn PhysicalExpr>,
}

impl Asked {
    /// - `known`: the columns that filters may ask for to be taken.
    ///
    /// `None` when no filter asks only for these.
    ///
    /// # Errors
    /// When a filter cannot be planned.
    pub fn new(session: &dyn Session, known: &Schema, filters: &[Expr]) -> Result<Option<Self>> {
        let asks_known = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty() && columns.iter().all(|column| known.index_of(&column.name).is_ok())
        };
        let taken = filters.iter().filter(asks_known).cloned();
        let Some(filter) = conjunction(taken) else { return Ok(None) };
        let asked = filter.column_refs();
        let fields =
            known.fields().iter().filter(|field| asked.iter().any(|column| column.name == *field.name()));
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let filter =
            session.create_physical_expr(unqualified(filter)?, &DFSchema::try_from(schema.clone())?)?;
        Ok(Some(Self { schema, filter }))
    }

    /// Which rows of these columns pass; `None` when the filter does not say.
    ///
    /// # Errors
    /// When it cannot be evaluated, such as a division by zero.
    pub fn passed(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
        let passed = self.filter.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(passed.as_boolean_opt().cloned())
    }
}

/// A filter without the names of tables.
///
/// # Errors
/// Never.
pub fn unqualified(filter: Expr) -> Result<Expr> {
    let stripped = filter.transform(|expression| {
        Ok(match expression {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(stripped.data)
}
