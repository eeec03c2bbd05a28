//! What there is, for clients that list it: catalog, schema, tables and views, and what this server can do.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    SqlInfo,
};
use history::query::{CATALOG, QueryEngine};
use tonic::Status;

/// The one schema.
const SCHEMA: &str = "public";
/// As clients that know Postgres expect them.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

static INFO: LazyLock<SqlInfoData> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "thermogate");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, 0_i32); // none
    info.append(SqlInfo::FlightSqlServerCancel, false);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.build().expect("all values are of kinds that the builder takes")
});

/// Something that can be listed: its columns without and its rows with a look into the history.
pub enum Listing {
    /// The one catalog.
    Catalogs(CommandGetCatalogs),
    /// The one schema.
    Schemas(CommandGetDbSchemas),
    /// Tables and views.
    Tables(CommandGetTables),
    /// Table and view.
    TableTypes(CommandGetTableTypes),
    /// What the server can do.
    SqlInfo(CommandGetSqlInfo),
}

impl Listing {
    /// The columns of the list.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Catalogs(query) => query.into_builder().schema(),
            Self::Schemas(query) => query.clone().into_builder().schema(),
            Self::Tables(query) => query.clone().into_builder().schema(),
            Self::TableTypes(query) => query.into_builder().schema(),
            Self::SqlInfo(query) => query.clone().into_builder(&INFO).schema(),
        }
    }

    /// The list.
    ///
    /// # Errors
    /// `INTERNAL` when a table's columns cannot be told.
    pub async fn rows(self, queries: &QueryEngine) -> Result<RecordBatch, Status> {
        let internal = |error: arrow_flight::error::FlightError| Status::internal(error.to_string());
        match self {
            Self::Catalogs(query) => {
                let mut builder = query.into_builder();
                builder.append(CATALOG);
                builder.build().map_err(internal)
            }
            Self::Schemas(query) => {
                let mut builder = query.into_builder();
                builder.append(CATALOG, SCHEMA);
                builder.build().map_err(internal)
            }
            Self::Tables(query) => {
                let with_schema = query.include_schema;
                let mut builder = query.into_builder();
                let session = with_schema.then(|| queries.session());
                for table in QueryEngine::tables() {
                    let columns = match &session {
                        Some(session) => {
                            let provider = session.table_provider(table.name).await;
                            let provider =
                                provider.map_err(|error| Status::internal(error.strip_backtrace()))?;
                            provider.schema()
                        }
                        None => Schema::empty().into(), // not sent
                    };
                    let kind = if table.view.is_some() { VIEW } else { TABLE };
                    builder.append(CATALOG, SCHEMA, table.name, kind, &columns).map_err(internal)?;
                }
                builder.build().map_err(internal)
            }
            Self::TableTypes(query) => {
                let mut builder = query.into_builder();
                builder.append(TABLE);
                builder.append(VIEW);
                builder.build().map_err(internal)
            }
            Self::SqlInfo(query) => query.into_builder(&INFO).build().map_err(internal),
        }
    }
}
