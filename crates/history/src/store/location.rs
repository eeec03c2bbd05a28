//! Where the tables are: a folder, memory, or an object store by URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake_core::logstore::{
    LogStoreRef, ObjectStoreRef, StorageConfig, logstore_factories, logstore_with,
};
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use telemetry::table::Table;
use url::{Position, Url};

use super::folder::{SyncedFolder, make_folders};
use crate::HistoryError;

/// Where the tables are; each is a folder of its name below the root.
#[derive(Debug, Clone)]
pub struct Location {
    given: String,
    root: Url,
    /// Where files and logs of all tables are, addressed from the bucket's or machine's root.
    objects: ObjectStoreRef,
}

impl Location {
    /// Understands a store's URL: a folder, `file:///…`, `memory://` or `s3://bucket/prefix`. A folder is created unless `read_only`.
    ///
    /// # Errors
    /// [`HistoryError::Location`] for another scheme, or a folder that is not there or cannot be made.
    pub fn parse(store: &str, read_only: bool) -> Result<Self, HistoryError> {
        let refused = |reason: String| HistoryError::Location { store: store.to_owned(), reason };
        let scheme = store.split_once("://").map(|(scheme, _)| scheme);
        let folders = || Arc::new(SyncedFolder::new()) as ObjectStoreRef;
        let (root, objects) = match scheme {
            None => (folder_url(Path::new(store), read_only).map_err(refused)?, folders()),
            Some("file") => {
                let path: PathBuf = Url::parse(store)
                    .ok()
                    .and_then(|url| url.to_file_path().ok())
                    .ok_or_else(|| refused("write it as file:///absolute/path".to_owned()))?;
                (folder_url(&path, read_only).map_err(refused)?, folders())
            }
            Some("memory") => {
                (Url::parse("memory:///").expect("a constant"), Arc::new(InMemory::new()) as ObjectStoreRef)
            }
            Some("s3") => bucket(store).map_err(refused)?,
            Some(scheme) => {
                return Err(refused(format!(
                    "the scheme {scheme:?} is not known: give a folder, file:///path, memory:// or s3://bucket/prefix"
                )));
            }
        };
        Ok(Self { given: store.to_owned(), root, objects })
    }

    /// As it was given, for messages.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Log and files of a table.
    ///
    /// # Errors
    /// [`HistoryError::Store`] when the store's settings do not work.
    pub fn log_store(&self, table: Table) -> Result<LogStoreRef, HistoryError> {
        let url = self.root.join(table.name()).expect("a table's name is a path");
        let opened = logstore_with(self.objects.clone(), &url, StorageConfig::default());
        opened.map_err(HistoryError::store(table, "open"))
    }

    /// Makes the folder of a new table's log, where tables are folders.
    ///
    /// # Errors
    /// [`HistoryError::Store`] when it cannot be made.
    pub fn make_table_folder(&self, table: Table) -> Result<(), HistoryError> {
        if self.root.scheme() != "file" {
            return Ok(());
        }
        let Ok(root) = self.root.to_file_path() else { return Ok(()) };
        make_folders(&root.join(table.name()).join("_delta_log"))
            .map_err(|error| HistoryError::store(table, "create")(error.into()))
    }

    /// Whether rows are still there when this process has ended: not those in memory.
    pub fn outlives_the_process(&self) -> bool {
        self.root.scheme() != "memory"
    }

    /// The root under which plans address the store's files: bucket or machine.
    pub fn objects_url(&self) -> &str {
        &self.root[..Position::BeforePath]
    }

    /// A table's folder below that root.
    ///
    /// # Errors
    /// When the store's path is none that an object can have.
    pub fn folder_of(&self, table: Table) -> Result<object_store::path::Path, object_store::path::Error> {
        let url = self.root.join(table.name()).expect("a table's name is a path");
        object_store::path::Path::from_url_path(url.path())
    }

    /// Lets plans that run in `runtime` read the store's files.
    pub fn register(&self, runtime: &RuntimeEnv) {
        runtime.register_object_store(&self.root, self.objects.clone());
    }
}

/// The bucket of `s3://bucket/prefix`, with keys, region and endpoint from the usual `AWS_…` variables.
///
/// Commits are conditional PUTs (`If-None-Match: *`), which S3, MinIO and R2 keep; no lock table is needed.
fn bucket(store: &str) -> Result<(Url, ObjectStoreRef), String> {
    let root = Url::parse(&format!("{}/", store.trim_end_matches('/')))
        .ok()
        .filter(Url::has_host)
        .ok_or("write it as s3://bucket/prefix")?;
    let bucket = AmazonS3Builder::from_env().with_url(root.as_str()).with_retry(retries()).build();
    let bucket = bucket.map_err(|error| error.to_string())?;
    let scheme = |name: &str| Url::parse(&format!("{name}://")).expect("a constant");
    let factories = logstore_factories();
    let plain = factories.get(&scheme("file")).map(|factory| factory.value().clone());
    if let Some(plain) = plain {
        factories.insert(scheme("s3"), plain);
    }
    Ok((root, Arc::new(bucket)))
}

/// Few tries: whoever asked hears of it soon, and the committer tries again as long as it takes.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() }
}

fn folder_url(path: &Path, read_only: bool) -> Result<Url, String> {
    if !read_only {
        std::fs::create_dir_all(path).map_err(|error| {
            format!("its folder cannot be made ({error}): give a folder that this user may write")
        })?;
    }
    let absolute = path
        .canonicalize()
        .map_err(|error| format!("there is no such folder ({error}): give one that thermogate wrote"))?;
    Url::from_directory_path(absolute).map_err(|()| "its path cannot be a URL".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_stores_are_refused_with_what_would_work() {
        let cases = [
            (
                "gs://bucket",
                "the scheme \"gs\" is not known: give a folder, file:///path, memory:// or s3://",
            ),
            ("file://relative/path", "file:///absolute/path"),
        ];
        for (store, expected) in cases {
            let message = Location::parse(store, false).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(store), "{message}");
        }
        let message = Location::parse("/no/such/folder", true).unwrap_err().to_string();
        assert!(message.contains("no such folder"), "{message}");
    }

    #[test]
    fn tables_in_memory_make_no_folder() {
        let memory = Location::parse("memory://", false).unwrap();
        memory.make_table_folder(Table::DrillEvents).unwrap();
        assert!(!Path::new("/drill_events").exists(), "its path is not one of this machine");
        assert!(!memory.outlives_the_process());
    }
}
