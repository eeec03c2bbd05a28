//! Flight SQL on the gRPC port: statements, prepared statements, listings. Telemetry by Flight comes in beside it, since
//! a server has one Flight service.
//!
//! A query sees one cut of the history: the one at `GetFlightInfo`, which its ticket names.

mod catalog; // what there is
mod handles; // prepared statements and tickets
mod parameters; // values of placeholders

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery, CommandStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage,
    SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use history::query::{Prepared, QueryError};
use ingest::RequestLimits;
use ingest::flight::envelope::Envelope;
use ingest::flight::server::do_put;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::rows::Rows;
use crate::access::{Access, Caller, Role};
use crate::shared::Shared;
use catalog::Listing;
use handles::Handles;

/// Queries that were planned and not fetched: each keeps the rows of its cut in memory.
const TICKETS_MAX: usize = 64;
const TICKET_LIFE: Duration = Duration::from_secs(60);
/// Statements that are prepared: texts, and values of their placeholders.
const STATEMENTS_MAX: usize = 1_000;
const STATEMENT_LIFE: Duration = Duration::from_secs(3_600);
/// Length of a statement's text, and of the values of its placeholders.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The Flight service.
pub struct FlightSql {
    shared: Arc<Shared>,
    access: Access,
    limits: RequestLimits,
    tickets: Handles<Prepared>,
    statements: Handles<Statement>,
}

/// A prepared statement. Its rows are those of the moment at which it is executed, so no cut is kept.
#[derive(Clone)]
struct Statement {
    text: Arc<str>,
    parameters: Arc<[String]>,
    bound: Option<Arc<[RecordBatch]>>,
}

/// The Flight service as part of the gRPC port; `limits` are those of telemetry.
pub fn server(shared: Arc<Shared>, access: Access, limits: RequestLimits) -> FlightServiceServer<FlightSql> {
    let service = FlightSql {
        shared,
        access,
        limits,
        tickets: Handles::new("ticket", TICKETS_MAX, TICKET_LIFE),
        statements: Handles::new("prepared statement", STATEMENTS_MAX, STATEMENT_LIFE),
    };
    FlightServiceServer::new(service).max_decoding_message_size(limits.decompressed_bytes)
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Data = Response<<FlightSql as FlightService>::DoGetStream>;
type Put = Response<<FlightSql as FlightService>::DoPutStream>;

impl FlightSql {
    async fn plan(&self, text: &str) -> Result<Prepared, Status> {
        if text.len() > REQUEST_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "a statement has at most {REQUEST_BYTES_MAX} bytes"
            )));
        }
        let planned = self.shared.queries.prepare(text, &[]).await;
        planned.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &QueryError) -> Status {
        self.shared.note_query(false);
        status(error)
    }

    /// Keeps a planned query for the call that fetches it.
    fn ticket(&self, prepared: Prepared, request: Request<FlightDescriptor>) -> Result<FlightInfo, Status> {
        let schema = prepared.schema();
        let statement_handle = self.tickets.keep(prepared)?;
        let ticket = Ticket::new(TicketStatementQuery { statement_handle }.as_any().encode_to_vec());
        info(&schema, ticket, request.into_inner())
    }

    fn listed(
        &self,
        listing: &Listing,
        command: impl ProstMessageExt,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = Ticket::new(command.as_any().encode_to_vec());
        Ok(Response::new(info(&listing.schema(), ticket, request.into_inner())?))
    }

    async fn list(&self, listing: Listing) -> Result<Data, Status> {
        let batch = listing.rows(&self.shared.queries).await?;
        Ok(data(batch.schema(), futures::stream::once(async { Ok(batch) })))
    }
}

fn info(schema: &Schema, ticket: Ticket, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| Status::internal(format!("the columns cannot be written: {error}")))?;
    Ok(info
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor)
        .with_total_records(-1)
        .with_total_bytes(-1)
        .with_ordered(true))
}

fn data(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> Data {
    let batches = batches.map_err(|status| FlightError::Tonic(Box::new(status)));
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    Response::new(encoded.map_err(Status::from).boxed())
}

fn encoded(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|message| message.0).map_err(|error| Status::internal(error.to_string()))
}

/// A query's error by who must act.
fn status(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Statement(_) | QueryError::NotReadOnly { .. } => Status::invalid_argument(message),
        QueryError::TooManyRows { .. }
        | QueryError::OutOfMemory { .. }
        | QueryError::TooManyQueries { .. } => Status::resource_exhausted(message),
        QueryError::TooSlow { .. } => Status::deadline_exceeded(message),
        QueryError::Failed(_) => Status::internal(message),
    }
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    /// `Basic` with any name and a token as password is answered with the token as `Bearer`, as JDBC wants it.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Answers<HandshakeResponse>>, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = self.access.token_of_basic(header).map_err(Status::unauthenticated)?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into_bytes().into() };
        let mut response: Response<Answers<HandshakeResponse>> =
            Response::new(futures::stream::once(async { Ok(answer) }).boxed());
        let value = format!("Bearer {token}")
            .parse()
            .map_err(|_| Status::unauthenticated("the token has characters that no header takes"))?;
        response.metadata_mut().insert("authorization", value);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let prepared = self.plan(&query.query).await?;
        Ok(Response::new(self.ticket(prepared, request)?))
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = self.statements.get(&query.prepared_statement_handle)?;
        let mut prepared = self.plan(&statement.text).await?;
        if !statement.parameters.is_empty() {
            let bound = statement.bound.as_deref().unwrap_or_default();
            let values = parameters::values(&statement.parameters, bound)?;
            prepared = prepared.bind(values).map_err(|error| self.refused(&error))?;
        }
        Ok(Response::new(self.ticket(prepared, request)?))
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _: Request<Ticket>,
    ) -> Result<Data, Status> {
        let prepared = self.tickets.take(&ticket.statement_handle)?;
        let result = prepared.run().await.map_err(|error| self.refused(&error))?;
        let shared = self.shared.clone();
        let seconds_max = shared.queries.limits().seconds_max;
        let rows = Rows::fetch(result, seconds_max, move |well| shared.note_query(well));
        let schema = rows.schema.clone();
        Ok(data(schema, rows.into_stream().map_err(|error| status(&error))))
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let prepared = self.plan(&query.query).await?;
        let parameters = prepared.parameters().map_err(|error| self.refused(&error))?;
        let statement = Statement {
            text: query.query.into(),
            parameters: parameters.iter().map(|(name, _)| name.clone()).collect(),
            bound: None,
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: self.statements.keep(statement)?,
            dataset_schema: encoded(&prepared.schema())?,
            parameter_schema: encoded(&parameters::schema(&parameters))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        // One that is forgotten already is closed.
        let _ = self.statements.take(&query.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        allowed(&request, Role::Read)?;
        let mut bytes = 0;
        let mut envelope = Envelope::default();
        let data = request.into_inner().map(move |data| {
            let checked = data.and_then(|data| {
                bytes += data.data_header.len() + data.data_body.len();
                if bytes > REQUEST_BYTES_MAX {
                    let message = format!("values of placeholders have at most {REQUEST_BYTES_MAX} bytes");
                    return Err(Status::invalid_argument(message));
                }
                envelope.check(&data).map_err(Status::invalid_argument)?;
                Ok(data)
            });
            checked.map_err(|status| FlightError::Tonic(Box::new(status)))
        });
        let bound: Vec<RecordBatch> =
            FlightRecordBatchStream::new_from_flight_data(data).try_collect().await.map_err(Status::from)?;
        let handle = query.prepared_statement_handle;
        // What is wrong with the values is told here, where they come, and not first when the statement runs.
        let statement = self.statements.get(&handle)?;
        parameters::values(&statement.parameters, &bound)?;
        self.statements.change(&handle, |statement| statement.bound = Some(bound.into()))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn do_put_fallback(
        &self,
        request: Request<PeekableFlightDataStream>,
        _: arrow_flight::sql::Any,
    ) -> Result<Put, Status> {
        allowed(&request, Role::Ingest)?;
        let pipeline = self.shared.pipeline.clone();
        let results = do_put(request.into_inner(), pipeline, self.limits).await?;
        Ok(Response::new(results))
    }

    async fn do_put_error_callback(
        &self,
        _: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Put, Status> {
        Err(Status::invalid_argument(format!(
            "{error}: the first message carries a descriptor: path `telemetry` for readings, or a command of Flight SQL"
        )))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.listed(&Listing::Catalogs(query.clone()), query, request)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.listed(&Listing::Schemas(query.clone()), query, request)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.listed(&Listing::Tables(query.clone()), query, request)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.listed(&Listing::TableTypes(query.clone()), query, request)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.listed(&Listing::SqlInfo(query.clone()), query, request)
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, _: Request<Ticket>) -> Result<Data, Status> {
        self.list(Listing::Catalogs(query)).await
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, _: Request<Ticket>) -> Result<Data, Status> {
        self.list(Listing::Schemas(query)).await
    }

    async fn do_get_tables(&self, query: CommandGetTables, _: Request<Ticket>) -> Result<Data, Status> {
        self.list(Listing::Tables(query)).await
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _: Request<Ticket>,
    ) -> Result<Data, Status> {
        self.list(Listing::TableTypes(query)).await
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _: Request<Ticket>) -> Result<Data, Status> {
        self.list(Listing::SqlInfo(query)).await
    }

    // What the server can do is one constant, so nothing is registered.
    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

/// `DoPut` is one path for values of placeholders and for telemetry, which need different roles.
fn allowed<T>(request: &Request<T>, role: Role) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(caller) if !caller.may(role) => {
            Err(Status::permission_denied(format!("this call needs the role {role}, the token has another")))
        }
        Some(_) | None => Ok(()),
    }
}
