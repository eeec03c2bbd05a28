//! Which file a query could not read: the error of a damaged page does not say where it is.
//!
//! plan, its error → **damage** → an error that names the file

use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// No longer than this is looked for the file.
const LOOK: Duration = Duration::from_secs(20);

/// The files that a plan reads.
#[derive(Clone, Default)]
pub(super) struct Files(Vec<(Arc<dyn ObjectStore>, Path)>);

impl Files {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv) -> Self {
        let mut files = Vec::new();
        let looked = plan.apply(|node| {
            let scan = node.downcast_ref::<DataSourceExec>();
            let scan = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
            if let Some(scan) = scan {
                let store = runtime.object_store(&scan.object_store_url)?;
                let paths = scan.file_groups.iter().flat_map(|group| group.files());
                files.extend(paths.map(|file| (store.clone(), file.object_meta.location.clone())));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        // Without a store for a file the query fails for that, and says so.
        if looked.is_err() {
            files.clear();
        }
        files.sort_by(|(_, one), (_, other)| one.cmp(other));
        files.dedup_by(|(_, one), (_, other)| one == other);
        Self(files)
    }

    /// The same error, with the name of the file where a damaged one is the reason.
    pub(super) async fn named(&self, error: DataFusionError) -> DataFusionError {
        if !is_of_a_file(&error) {
            return error;
        }
        let found = tokio::time::timeout(LOOK, self.damaged()).await.ok().flatten();
        match found {
            Some(path) => error.context(format!("{path} is damaged: restore it from a copy")),
            None => error,
        }
    }

    async fn damaged(&self) -> Option<&Path> {
        for (store, path) in &self.0 {
            // One that is away is named by its own error.
            let Ok(answer) = store.get(path).await else { continue };
            let Ok(bytes) = answer.bytes().await else { continue };
            let read = tokio::task::spawn_blocking(move || {
                let rows = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|reader| reader.build());
                rows.is_ok_and(|mut rows| rows.all(|batch| batch.is_ok()))
            });
            // A decoder that panics has seen damage too.
            if !read.await.unwrap_or(false) {
                return Some(path);
            }
        }
        None
    }
}

fn is_of_a_file(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(error, _) => {
            matches!(**error, ArrowError::ParquetError(_) | ArrowError::ExternalError(_))
        }
        DataFusionError::External(error) => error.is::<parquet::errors::ParquetError>(),
        _ => false,
    }
}
