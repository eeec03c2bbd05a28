//! Which statements are allowed, and how the rows of cursors come within the limits.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Declare, DeclareType, Statement};
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::api::stmt::StoredStatement;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use history::query::QueryError;

use super::reader::{Reader, error};

/// What is to be done with a statement.
pub enum Kind<'a> {
    /// Rows are asked for.
    Read,
    /// Rows are asked for, to be fetched in parts.
    Declare(&'a [Declare]),
    /// About the connection itself: the library answers.
    Polite,
    /// Lets go of something that is not kept here.
    Forget(&'static str),
    /// Would change something.
    Refused,
}

impl Kind<'_> {
    /// The list of what is allowed: what is not on it is refused, also what a later parser knows.
    pub fn of(statement: &Statement) -> Kind<'_> {
        match statement {
            Statement::Query(_)
            | Statement::Explain { .. }
            | Statement::ExplainTable { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. } => Kind::Read,
            Statement::Declare { stmts } => Kind::Declare(stmts),
            Statement::Set(_)
            | Statement::ShowVariable { .. }
            | Statement::ShowStatus { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Fetch { .. }
            | Statement::Close { .. } => Kind::Polite,
            Statement::Deallocate { .. } => Kind::Forget("DEALLOCATE"),
            Statement::Discard { .. } => Kind::Forget("DISCARD"),
            _ => Kind::Refused,
        }
    }
}

fn not_allowed(statement: &Statement) -> PgWireError {
    let text = statement.to_string();
    let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    error(&QueryError::NotReadOnly { what: format!("{verb} is not allowed") })
}

/// Comes before the library's own answers: refuses what is not allowed, before it is planned, and opens cursors, whose
/// rows the library would fetch without limits.
pub struct Allowed(pub Arc<Reader>);

impl Allowed {
    async fn answer(
        &self,
        statement: &Statement,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match Kind::of(statement) {
            Kind::Refused => Some(Err(not_allowed(statement))),
            Kind::Declare(declared) => Some(self.declare(declared, client).await),
            Kind::Forget(tag) => Some(Ok(Response::Execution(Tag::new(tag)))),
            Kind::Read | Kind::Polite => None,
        }
    }

    async fn declare(&self, declared: &[Declare], client: &mut dyn HookClient) -> PgWireResult<Response> {
        for cursor in declared {
            let (Some(name), Some(query), Some(DeclareType::Cursor)) =
                (cursor.names.first(), &cursor.for_query, &cursor.declare_type)
            else {
                let what = "DECLARE is allowed as DECLARE name CURSOR FOR SELECT … only".to_owned();
                return Err(error(&QueryError::NotReadOnly { what }));
            };
            let statement = Statement::Query(query.clone());
            let rows = self.0.read(&statement, None, &Format::UnifiedText, client.metadata()).await?;
            let name = name.value.clone();
            // Its plan tells the columns to whoever fetches.
            let plan = self.0.plan(&statement).await?;
            let kept = (statement.to_string(), Some((statement, plan)));
            let stored = StoredStatement::new(name.clone(), kept, Vec::new());
            let portal = Portal::new_cursor(name, Arc::new(stored));
            portal.start(rows).await;
            client.portal_store().put_portal(Arc::new(portal));
        }
        Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
    }
}

#[async_trait]
impl QueryHook for Allowed {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        _: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        self.answer(statement, client).await
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        match Kind::of(statement) {
            Kind::Refused => Some(Err(not_allowed(statement))),
            Kind::Forget(_) => Some(Ok(LogicalPlan::default())),
            Kind::Read => Some(self.0.plan(statement).await),
            Kind::Declare(_) | Kind::Polite => None,
        }
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _: &LogicalPlan,
        _: &ParamValues,
        _: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        self.answer(statement, client).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn is_refused(sql: &str) -> bool {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        statements.iter().any(|statement| matches!(Kind::of(statement), Kind::Refused))
    }

    #[test]
    fn only_what_reads_or_is_polite_is_allowed() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "EXPLAIN SELECT 1",
            "SHOW TABLES",
            "BEGIN",
            "SET application_name = 'x'",
            "COMMIT",
            "DISCARD ALL",
            "VALUES (1)",
        ] {
            assert!(!is_refused(sql), "{sql}");
        }
        for sql in [
            "COPY samples TO '/tmp/x'",
            "INSERT INTO samples VALUES (1)",
            "DELETE FROM samples",
            "UPDATE samples SET value = 1",
            "DROP TABLE samples",
            "CREATE TABLE x (a INT)",
            "CREATE VIEW x AS SELECT 1",
            "TRUNCATE samples",
            "GRANT SELECT ON samples TO x",
            "VACUUM",
        ] {
            assert!(is_refused(sql), "{sql}");
        }
    }
}
