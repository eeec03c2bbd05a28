//! A table's Parquet files as plans read them.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use deltalake_core::kernel::LogicalFileView;
use object_store::ObjectMeta;
use object_store::path::Path;
use telemetry::table::Table;

use super::file::file_schema;
use super::location::Location;
use crate::schema::{DATE, viewed};

/// Where a file is, with the value of its partition column.
///
/// # Errors
/// When its path is none that an object can have.
pub fn partitioned(file: &LogicalFileView, location: &Location, table: Table) -> Result<PartitionedFile> {
    let folder = location.folder_of(table).map_err(|error| DataFusionError::External(error.into()))?;
    let meta = ObjectMeta {
        location: folder.parts().chain(file.object_store_path().parts()).collect::<Path>(),
        last_modified: file.modification_datetime()?,
        size: u64::try_from(file.size()).unwrap_or_default(),
        e_tag: None,
        version: None,
    };
    let date = file.partition_values_map().remove(DATE).flatten();
    Ok(PartitionedFile { partition_values: vec![ScalarValue::Utf8View(date)], ..meta.into() })
}

/// All rows of one file as they are in it, `rows_max` at a time, with the columns of [`file_schema`] and texts as views.
/// Of the file only the row group that is read is kept in memory, and not where its pages are.
///
/// # Errors
/// When the file's path is none that an object can have, or the store is not known to `runtime`.
pub fn rows_of(
    file: &LogicalFileView,
    location: &Location,
    table: Table,
    runtime: &Arc<RuntimeEnv>,
    rows_max: usize,
) -> Result<SendableRecordBatchStream> {
    let url = ObjectStoreUrl::parse(location.objects_url())?;
    let mut options = TableParquetOptions::default();
    options.global.enable_page_index = false;
    let source = ParquetSource::new(viewed(&file_schema(table)))
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(DefaultParquetFileReaderFactory::new(
            runtime.object_store(&url)?,
        )));
    let mut file = partitioned(file, location, table)?;
    file.partition_values.clear();
    let scan = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(vec![FileGroup::new(vec![file])])
        .build();
    let session = SessionConfig::new().with_batch_size(rows_max);
    let context = TaskContext::default().with_session_config(session).with_runtime(runtime.clone());
    DataSourceExec::from_data_source(scan).execute(0, Arc::new(context))
}
