//! A folder as an object store whose files are on the disk, not only in the system's cache, once they are there.
//!
//! The log is trimmed after rows were committed; a commit that a power failure could undo, or leave behind empty,
//! would lose them. `LocalFileSystem` does not sync.

mod listing; // the files that come after a name

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart, path,
};

use crate::failpoint;

/// Files of a listing whose sizes are asked for at once.
const LOOKED_AT_ONCE: usize = 8;

/// All folders of this machine; paths are absolute.
#[derive(Debug)]
pub struct SyncedFolder(Arc<LocalFileSystem>);

impl SyncedFolder {
    /// The folders of this machine.
    pub fn new() -> Self {
        Self(Arc::new(LocalFileSystem::new()))
    }
}

impl fmt::Display for SyncedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SyncedFolder({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for SyncedFolder {
    async fn put_opts(
        &self,
        location: &path::Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let path = self.0.path_to_filesystem(location)?;
        blocking(move || put(&path, &payload, &options.mode)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &path::Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.0.path_to_filesystem(location)?;
        let folder = path.clone();
        blocking(move || make_folder(parent(&folder)).map_err(failed)).await?;
        let upload = self.0.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { upload, path }))
    }

    async fn get_opts(&self, location: &path::Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &path::Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<path::Path>>,
    ) -> BoxStream<'static, Result<path::Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&path::Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&path::Path>,
        offset: &path::Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let library = self.0.list_with_offset(prefix, offset);
        let Some((prefix, name)) =
            prefix.and_then(|prefix| Some((prefix, listing::name_in(prefix, offset)?)))
        else {
            return library;
        };
        let Ok(folder) = self.0.path_to_filesystem(prefix) else { return library };
        let (store, prefix, name) = (self.0.clone(), prefix.clone(), name.to_owned());
        let listed = async move {
            let names = blocking(move || listing::names_after(&folder, &name).map_err(failed)).await;
            // A folder that is not there yet, or of another kind.
            let Ok(Some(names)) = names else { return library };
            let locations = stream::iter(names).map(move |name| prefix.clone().join(name));
            let found = locations.map(move |location| {
                let store = store.clone();
                async move { store.head(&location).await }
            });
            let deleted_since = |found: &Result<ObjectMeta>| matches!(found, Err(Error::NotFound { .. }));
            let found = found.buffered(LOOKED_AT_ONCE);
            found.filter(move |found| std::future::ready(!deleted_since(found))).boxed()
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&path::Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &path::Path, to: &path::Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &path::Path, to: &path::Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// A large file on its way; synced when it is complete.
#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let path = self.path.clone();
        blocking(move || {
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
            sync_folder(parent(&path)).map_err(failed)
        })
        .await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

/// Writes beside the place, syncs, then gives the file its name: it is there whole or not at all.
fn put(path: &Path, payload: &PutPayload, mode: &PutMode) -> Result<()> {
    make_folder(parent(path)).map_err(failed)?;
    let (mut file, staged) = stage(path).map_err(failed)?;
    let written = payload.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_all());
    failpoint::reach("before_file");
    let named = match (written, mode) {
        (Err(error), _) => Err(failed(error)),
        (Ok(()), PutMode::Overwrite) => fs::rename(&staged, path).map_err(failed),
        // A link fails when the name is taken: that is how two writers of one commit are told apart.
        (Ok(()), PutMode::Create) => fs::hard_link(&staged, path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Error::AlreadyExists { path: path.display().to_string(), source: Box::new(error) }
            }
            _ => failed(error),
        }),
        (Ok(()), PutMode::Update(_)) => Err(Error::NotImplemented {
            operation: "replacing one version of a file".to_owned(),
            implementer: "SyncedFolder".to_owned(),
        }),
    };
    if !matches!((&named, mode), (Ok(()), PutMode::Overwrite)) {
        let _ = fs::remove_file(&staged); // what is left behind is no file of a table
    }
    named?;
    sync_folder(parent(path)).map_err(failed)
}

/// A new file beside `path`; `#` and digits are what `LocalFileSystem` leaves out when it lists.
fn stage(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 1;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match File::create_new(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder inside one that is there, and no more than that: where a store was taken away (unmounted, moved),
/// writing must not begin a new one in its place. What was committed there would be gone once the store is back.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(io::Error::new(error.kind(), format!("cannot make the folder {}: {error}", folder.display())))
        }
        _ => sync_folder(parent(folder)),
    }
}

/// Makes a folder and all that it is in: for a new table.
pub fn make_folders(folder: &Path) -> Result<()> {
    if !parent(folder).is_dir() {
        make_folders(parent(folder))?;
    }
    make_folder(folder).map_err(failed)
}

/// Makes names in a folder last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn failed(error: io::Error) -> Error {
    Error::Generic { store: "folder", source: Box::new(error) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_refused_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = SyncedFolder::new();
        let file = folder.path().join("deep/er/commit.json");
        make_folders(&folder.path().join("deep")).unwrap();
        let location = path::Path::from_absolute_path(&file).unwrap();
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&location, "first".into(), create()).await.unwrap();
        let error = store.put_opts(&location, "second".into(), create()).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), "first");
        store.put(&location, "third".into()).await.unwrap();
        assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), "third");
        assert_eq!(names(parent(&file)), ["commit.json"]);
    }

    #[tokio::test]
    async fn where_a_table_was_taken_away_nothing_new_begins() {
        let folder = tempfile::tempdir().unwrap();
        let store = SyncedFolder::new();
        let day = folder.path().join("samples/date=2026-01-05");
        let location = path::Path::from_absolute_path(day.join("a.parquet")).unwrap();
        let message = store.put(&location, "rows".into()).await.unwrap_err().to_string();
        assert!(message.contains("cannot make the folder") && message.contains("samples/date="), "{message}");
        assert!(store.put_multipart(&location).await.is_err());
        assert_eq!(names(folder.path()), [""; 0]);
        make_folders(parent(&day)).unwrap();
        store.put(&location, "rows".into()).await.unwrap();
        assert_eq!(names(&day), ["a.parquet"]);
    }

    #[tokio::test]
    async fn what_comes_after_a_name_is_listed_as_the_library_does() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("_delta_log");
        make_folders(&log).unwrap();
        let names = ["3.json", "1.json", "2.checkpoint.parquet", "2.json", "4.json#1", "_last_checkpoint"];
        names.iter().for_each(|name| fs::write(log.join(name), name).unwrap());
        let prefix = path::Path::from_absolute_path(&log).unwrap();
        let store = SyncedFolder::new();
        let metas = |listed: BoxStream<'static, Result<ObjectMeta>>| async {
            let mut metas: Vec<ObjectMeta> = listed.try_collect().await.unwrap();
            metas.sort_by(|one, other| one.location.cmp(&other.location));
            metas
        };
        for (after, count) in [("0", 5), ("2.json", 2), ("3.json", 1), ("b", 0)] {
            let offset = prefix.clone().join(after);
            let listed = metas(store.list_with_offset(Some(&prefix), &offset)).await;
            assert_eq!(listed, metas(store.0.list_with_offset(Some(&prefix), &offset)).await, "{after}");
            assert_eq!(listed.len(), count, "{after}");
        }
        // A name that is another one as an object's, a folder, and a folder that is not there.
        fs::write(log.join("a#b"), "b").unwrap();
        make_folder(&log.join("_sidecars")).unwrap();
        fs::write(log.join("_sidecars/part.parquet"), "rows").unwrap();
        let offset = prefix.clone().join("3.json");
        assert_eq!(metas(store.list_with_offset(Some(&prefix), &offset)).await.len(), 3);
        let nowhere = prefix.clone().join("nowhere");
        let offset = nowhere.clone().join("0");
        assert_eq!(metas(store.list_with_offset(Some(&nowhere), &offset)).await, []);
    }
}
