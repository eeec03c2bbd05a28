//! Runs what reads: over one cut, within the limits, as rows of Postgres.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ParamValues;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::QueryResponse;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::TryStreamExt;
use history::query::{CATALOG, QueryError, refuse_changes, with_labels_as_text};

use super::current_setting::CurrentSetting;
use crate::shared::Shared;
use crate::sql::rows::Rows;

/// The history as Postgres clients see it, with the tables of `pg_catalog`.
pub struct Reader {
    shared: Arc<Shared>,
    /// For the library, which plans statements when they are prepared.
    pub context: Arc<SessionContext>,
}

/// A query's error with Postgres's code for it (PostgreSQL documentation, appendix A).
pub fn error(error: &QueryError) -> PgWireError {
    let code = match error {
        QueryError::Statement(_) => "42000",
        QueryError::NotReadOnly { .. } => "25006",
        QueryError::TooManyRows { .. } => "54000",
        QueryError::TooSlow { .. } => "57014",
        QueryError::OutOfMemory { .. } => "53200",
        QueryError::TooManyQueries { .. } => "53000",
        QueryError::Failed(_) => "XX000",
    };
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), error.to_string())))
}

async fn planned(session: &SessionState, statement: &Statement) -> Result<LogicalPlan, QueryError> {
    let planned = session.statement_to_plan(Parsed::Statement(Box::new(statement.clone()))).await;
    with_labels_as_text(planned.map_err(QueryError::of_plan)?)
}

impl Reader {
    /// Makes the tables that clients look into.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(shared: Arc<Shared>) -> Result<Self, DataFusionError> {
        let context = Arc::new(shared.queries.session());
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        context.register_udf(ScalarUDF::from(CurrentSetting::default()));
        Ok(Self { shared, context })
    }

    /// Plans a statement over the rows that there are now, and runs it.
    ///
    /// - `metadata`: the connection's, for how times are written.
    ///
    /// # Errors
    /// Those of a query; a limit that is reached later ends the rows with its error.
    pub async fn read(
        &self,
        statement: &Statement,
        values: Option<ParamValues>,
        format: &Format,
        metadata: &HashMap<String, String>,
    ) -> PgWireResult<QueryResponse> {
        let read = self.rows(statement, values).await;
        let rows = read.map_err(|refused| {
            self.shared.note_query(false);
            error(&refused)
        })?;
        let options = Arc::new(FormatOptions::from_client_metadata(metadata));
        let fields = Arc::new(arrow_schema_to_pg_fields(&rows.schema, format, Some(options))?);
        let encoded = fields.clone();
        let rows = rows
            .into_stream()
            .map_err(|failed| error(&failed))
            .map_ok(move |batch: RecordBatch| {
                futures::stream::iter(encode_recordbatch(encoded.clone(), batch))
            })
            .try_flatten();
        Ok(QueryResponse::new(fields, rows))
    }

    /// Plans a statement, to tell its columns and parameters.
    ///
    /// # Errors
    /// Those of a query that cannot be planned.
    pub async fn plan(&self, statement: &Statement) -> PgWireResult<LogicalPlan> {
        planned(&self.context.state(), statement).await.map_err(|refused| {
            self.shared.note_query(false);
            error(&refused)
        })
    }

    async fn rows(&self, statement: &Statement, values: Option<ParamValues>) -> Result<Rows, QueryError> {
        let queries = &self.shared.queries;
        let session = queries.at_one_cut(&self.context.state())?;
        let mut plan = planned(&session, statement).await?;
        if let Some(values) = values {
            plan = plan.with_param_values(values).map_err(QueryError::of_plan)?;
        }
        refuse_changes(&plan)?;
        let result = queries.run(session, plan).await?;
        let shared = self.shared.clone();
        Ok(Rows::fetch(result, queries.limits().seconds_max, move |well| shared.note_query(well)))
    }
}
