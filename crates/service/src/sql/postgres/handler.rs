//! The messages of one connection, in the simple and in the extended protocol.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{
    DescribePortalResponse, DescribeStatementResponse, Response,
};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, PgWireServerHandlers, Type,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::{DfSessionService, Parser, QueryHook};
use futures::Sink;
use history::query::QueryError;

use super::allowed::{Allowed, Kind};
use super::login::Login;
use super::reader::{Reader, error};
use crate::shared::Shared;

/// A statement as the library keeps it: its text, and what it parsed and planned.
type Stored = (String, Option<(Statement, LogicalPlan)>);

/// What all connections share.
pub struct Session {
    reader: Arc<Reader>,
    /// Parses and prepares, and answers statements of politeness.
    library: DfSessionService,
    parser: PostgresCompatibilityParser,
    /// Whose queries can be cancelled from another connection.
    pub connections: Arc<ConnectionManager>,
}

impl Session {
    /// # Errors
    /// When the tables that clients look into cannot be made.
    pub fn new(shared: Arc<Shared>) -> Result<Self, DataFusionError> {
        let reader = Arc::new(Reader::new(shared)?);
        let hooks: Vec<Arc<dyn QueryHook>> = vec![
            Arc::new(Allowed(reader.clone())),
            Arc::new(CursorStatementHook),
            Arc::new(SetShowHook),
            Arc::new(TransactionStatementHook),
        ];
        let library = DfSessionService::new_with_hooks(reader.context.clone(), hooks);
        let parser = PostgresCompatibilityParser::new();
        Ok(Self { reader, library, parser, connections: Arc::new(ConnectionManager::new()) })
    }
}

/// As in Postgres, after an error all is refused until the transaction ends.
fn in_order(client: &impl ClientInfo) -> PgWireResult<()> {
    if client.transaction_status() != TransactionStatus::Error {
        return Ok(());
    }
    let message = "the transaction is aborted: end it with ROLLBACK".to_owned();
    Err(error(&QueryError::Statement(message)))
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parsed = self.parser.parse(query);
        let statements = parsed.map_err(|failed| error(&QueryError::Statement(failed.to_string())))?;
        let mut responses = Vec::with_capacity(statements.len());
        for statement in statements {
            match Kind::of(&statement) {
                Kind::Read => {
                    in_order(client)?;
                    let read = self.reader.read(&statement, None, &Format::UnifiedText, client.metadata());
                    responses.push(Response::Query(read.await?));
                }
                Kind::Declare(_) | Kind::Forget(_) | Kind::Polite | Kind::Refused => {
                    let text = statement.to_string();
                    responses.extend(SimpleQueryHandler::do_query(&self.library, client, &text).await?);
                }
            }
        }
        Ok(if responses.is_empty() { vec![Response::EmptyQuery] } else { responses })
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = Stored;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        self.library.query_parser()
    }

    async fn do_describe_statement<C>(
        &self,
        client: &mut C,
        target: &StoredStatement<Stored>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Some(cursor) = fetched_from(client, &target.statement) else {
            return self.library.do_describe_statement(client, target).await;
        };
        let columns = self.query_parser().get_result_schema(&cursor.statement.statement, None)?;
        Ok(DescribeStatementResponse::new(Vec::new(), columns))
    }

    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        target: &Portal<Stored>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Some(cursor) = fetched_from(client, &target.statement.statement) else {
            return self.library.do_describe_portal(client, target).await;
        };
        // The rows of a cursor are text, whatever is asked for: what is told is what comes.
        let columns = self.query_parser().get_result_schema(&cursor.statement.statement, None)?;
        Ok(DescribePortalResponse::new(columns))
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Stored>,
        rows_max: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Some((statement, plan)) = &portal.statement.statement.1 else { return Ok(Response::EmptyQuery) };
        if !matches!(Kind::of(statement), Kind::Read) {
            return ExtendedQueryHandler::do_query(&self.library, client, portal, rows_max).await;
        }
        in_order(client)?;
        let types = parameter_types(plan)?;
        let told = self.query_parser().get_parameter_types(&portal.statement.statement)?;
        let types: Vec<Option<&DataType>> = types.iter().map(Option::as_ref).collect();
        let told: Vec<Option<&Type>> = told.iter().map(Some).collect();
        let values = deserialize_parameters_with_server_types(portal, &types, &told)?;
        let values = (!types.is_empty()).then_some(values);
        let read = self.reader.read(statement, values, &portal.result_column_format, client.metadata());
        Ok(Response::Query(read.await?))
    }
}

/// What is fetched from has the columns; the library tells none for `FETCH`, and clients trust what they were told.
fn fetched_from<C>(client: &C, statement: &Stored) -> Option<Arc<Portal<Stored>>>
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore<Statement = Stored>,
{
    match statement {
        (_, Some((Statement::Fetch { name, .. }, _))) => {
            client.portal_store().get_portal(&name.value)?.value().cloned()
        }
        _ => None,
    }
}

/// The types of `$1`, `$2` …, as far as the plan tells them.
fn parameter_types(plan: &LogicalPlan) -> PgWireResult<Vec<Option<DataType>>> {
    let types = plan.get_parameter_types().map_err(|failed| error(&QueryError::of_plan(failed)))?;
    let mut types: Vec<_> = types.into_iter().collect();
    types.sort_by_key(|(name, _)| name.trim_start_matches('$').parse().unwrap_or(u32::MAX));
    Ok(types.into_iter().map(|(_, kind)| kind).collect())
}

/// One connection.
pub struct Connection {
    session: Arc<Session>,
    login: Arc<Login>,
    cancel: Arc<DefaultCancelHandler>,
}

impl Connection {
    /// Begins with its login.
    pub fn new(session: Arc<Session>, login: Login) -> Self {
        let cancel = Arc::new(DefaultCancelHandler::new(session.connections.clone()));
        Self { session, login: Arc::new(login), cancel }
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.session.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.session.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.login.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}
