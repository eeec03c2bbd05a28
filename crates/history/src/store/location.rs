//! Where the tables are: a folder, memory, or an object store by URL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake_core::DeltaTableBuilder;
use deltalake_core::logstore::{LogStoreRef, ObjectStoreRef};
use object_store::memory::InMemory;
use telemetry::table::Table;
use url::Url;

use crate::HistoryError;

/// Where the tables are; each is a folder of its name below the root.
#[derive(Debug, Clone)]
pub struct Location {
    given: String,
    root: Url,
    /// The store that all tables share, when it is only in this process.
    memory: Option<Arc<InMemory>>,
    options: HashMap<String, String>,
}

impl Location {
    /// Understands a store's URL: a folder, `file:///…`, `memory://` or, in a build with the feature `s3`,
    /// `s3://bucket/prefix`. A folder is created unless `read_only`.
    ///
    /// # Errors
    /// [`HistoryError::Location`] for another scheme, or a folder that is not there or cannot be made.
    pub fn parse(store: &str, read_only: bool) -> Result<Self, HistoryError> {
        let refused = |reason: String| HistoryError::Location { store: store.to_owned(), reason };
        let scheme = store.split_once("://").map(|(scheme, _)| scheme);
        let (root, memory) = match scheme {
            None => (folder_url(Path::new(store), read_only).map_err(refused)?, None),
            Some("file") => {
                let path: PathBuf = Url::parse(store)
                    .ok()
                    .and_then(|url| url.to_file_path().ok())
                    .ok_or_else(|| refused("write it as file:///absolute/path".to_owned()))?;
                (folder_url(&path, read_only).map_err(refused)?, None)
            }
            Some("memory") => {
                (Url::parse("memory:///").expect("a constant"), Some(Arc::new(InMemory::new())))
            }
            Some("s3" | "s3a") => return Self::object_store(store),
            Some(scheme) => {
                return Err(refused(format!(
                    "the scheme {scheme:?} is not known: give a folder, file:///path, memory:// or s3://bucket/prefix"
                )));
            }
        };
        Ok(Self { given: store.to_owned(), root, memory, options: HashMap::new() })
    }

    #[cfg(not(feature = "s3"))]
    fn object_store(store: &str) -> Result<Self, HistoryError> {
        Err(HistoryError::Location {
            store: store.to_owned(),
            reason: "this build has no object store: build with the feature \"s3\", or give a folder"
                .to_owned(),
        })
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
        let opened = DeltaTableBuilder::from_url(url.clone()).and_then(|builder| {
            let builder = builder.with_storage_options(self.options.clone());
            match &self.memory {
                Some(memory) => builder.with_storage_backend(memory.clone() as ObjectStoreRef, url),
                None => builder,
            }
            .build_storage()
        });
        opened.map_err(HistoryError::store(table, "open"))
    }

    /// Lets plans that run in `runtime` read the store's files.
    pub fn register(&self, runtime: &RuntimeEnv, log_store: &LogStoreRef) {
        runtime.register_object_store(&self.root, log_store.root_object_store(None));
    }
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
            #[cfg(not(feature = "s3"))]
            ("s3://bucket/thermogate", "build with the feature \"s3\""),
        ];
        for (store, expected) in cases {
            let message = Location::parse(store, false).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(store), "{message}");
        }
        let message = Location::parse("/no/such/folder", true).unwrap_err().to_string();
        assert!(message.contains("no such folder"), "{message}");
    }
}
