//! A data folder belongs to one process: its marker says that it is thermogate's, its lock says who has it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The marker's file name.
pub const MARKER_FILE: &str = "thermogate.json";
/// The lock's file name.
pub const LOCK_FILE: &str = "thermogate.lock";
/// Format of the folders that this version writes and reads.
pub const FOLDER_FORMAT: u32 = 1;

/// The marker: what the folder is.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// Format of everything in the folder.
    format: u32,
    /// Version of the engine that made it.
    engine: String,
}

/// Who has a folder.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Where its gRPC port answers; `None` until it serves, and for a command that does not.
    pub address: Option<String>,
}

/// Why a folder cannot be had. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("data folder {} is held by {}: stop that process, or name another folder", folder.display(), told(holder.as_ref()))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who, as far as the lock says.
        holder: Option<Holder>,
    },
    /// It holds other things.
    #[error(
        "{} is not a thermogate data folder ({MARKER_FILE} is not in it) and not empty: \
         name an empty folder, or one that thermogate made",
        folder.display()
    )]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// It is not there.
    #[error("data folder {} does not exist: start `thermogate serve` with it first, or correct its name", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// An older version wrote it.
    #[error(
        "data folder {} has format {found}, this version reads format {FOLDER_FORMAT}: \
         run the version that wrote it, or name another data.folder to begin anew; \
         the tables in `store` stay readable by any engine that reads Delta",
        folder.display()
    )]
    Older {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A newer version wrote it.
    #[error(
        "data folder {} has format {found}, written by thermogate {engine}; this version reads format \
         {FOLDER_FORMAT}: use that version or a later one",
        folder.display()
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
        /// Who wrote it.
        engine: String,
    },
    /// Its marker cannot be read.
    #[error(
        "{} is not a marker that thermogate wrote ({what}): restore it from a copy of the folder, \
         or name another folder",
        marker.display()
    )]
    TornMarker {
        /// The marker.
        marker: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system says no.
    #[error("cannot {act} in data folder {}: {source}", folder.display())]
    Unusable {
        /// What was tried.
        act: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn told(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, address: Some(address) }) => format!("process {pid}, which serves at {address}"),
        Some(Holder { pid, address: None }) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// A data folder that this process has until this is dropped; the system ends it too when the process dies.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    file: File,
}

impl FolderLock {
    /// Takes a folder, and makes it first when it is missing or empty.
    ///
    /// # Errors
    /// [`FolderError`] says who has it, or what it is.
    pub fn take_or_make(folder: &Path) -> Result<Self, FolderError> {
        if !folder.join(MARKER_FILE).exists() {
            let unusable = |source| unusable("make files", folder, source);
            fs::create_dir_all(folder).map_err(unusable)?;
            // A lock alone is what a process leaves that died before it wrote the marker.
            let foreign = fs::read_dir(folder)
                .map_err(unusable)?
                .filter_map(Result::ok)
                .any(|entry| !entry.file_name().to_string_lossy().starts_with("thermogate."));
            if foreign {
                return Err(FolderError::NotOurs { folder: folder.to_owned() });
            }
            let lock = Self::lock(folder)?;
            lock.write_marker().map_err(unusable)?;
            return Ok(lock);
        }
        Self::take(folder)
    }

    /// Takes a folder that thermogate made.
    ///
    /// # Errors
    /// [`FolderError`] says who has it, or what it is.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        check_marker(folder)?;
        Self::lock(folder)
    }

    /// Takes a folder that thermogate made to read it: also on a disk that is mounted read-only, where it is shared with
    /// other readers.
    ///
    /// # Errors
    /// [`FolderError`] says who has it, or what it is.
    pub fn take_for_reading(folder: &Path) -> Result<Self, FolderError> {
        match Self::take(folder) {
            Err(FolderError::Unusable { source, .. })
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                Self::share(folder)
            }
            taken => taken,
        }
    }

    fn share(folder: &Path) -> Result<Self, FolderError> {
        let file =
            File::open(folder.join(LOCK_FILE)).map_err(|source| unusable("read the lock", folder, source))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), file }),
            Err(TryLockError::WouldBlock) => {
                Err(FolderError::Held { folder: folder.to_owned(), holder: read_holder(&file) })
            }
            Err(TryLockError::Error(source)) => Err(unusable("lock files", folder, source)),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes into the lock where this process answers, for others who want the folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tell_address(&mut self, address: &str) -> Result<(), FolderError> {
        let holder = Holder { pid: std::process::id(), address: Some(address.to_owned()) };
        self.write_holder(&holder).map_err(|source| unusable("write the lock", &self.folder, source))
    }

    fn lock(folder: &Path) -> Result<Self, FolderError> {
        let unusable = |source| unusable("lock files", folder, source);
        let path = folder.join(LOCK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::Held { folder: folder.to_owned(), holder: read_holder(&file) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let mut lock = Self { folder: folder.to_owned(), file };
        lock.write_holder(&Holder { pid: std::process::id(), address: None }).map_err(unusable)?;
        Ok(lock)
    }

    fn write_holder(&mut self, holder: &Holder) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(serde_json::to_string(holder)?.as_bytes())
    }

    fn write_marker(&self) -> io::Result<()> {
        let marker = Marker { format: FOLDER_FORMAT, engine: env!("CARGO_PKG_VERSION").to_owned() };
        let temporary = self.folder.join("thermogate.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(serde_json::to_string(&marker)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, self.folder.join(MARKER_FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Who has the folder now, without taking it. `None` when nobody has.
///
/// # Errors
/// When it is no folder of ours.
pub fn holder(folder: &Path) -> Result<Option<Holder>, FolderError> {
    match FolderLock::take_for_reading(folder) {
        Ok(_) => Ok(None),
        Err(FolderError::Held { holder, .. }) => Ok(Some(holder.unwrap_or_default())),
        Err(error) => Err(error),
    }
}

fn check_marker(folder: &Path) -> Result<(), FolderError> {
    if !folder.is_dir() {
        return Err(FolderError::Missing { folder: folder.to_owned() });
    }
    let path = folder.join(MARKER_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FolderError::NotOurs { folder: folder.to_owned() });
        }
        Err(source) => return Err(unusable("read the marker", folder, source)),
    };
    let marker: Marker = serde_json::from_str(&text)
        .map_err(|error| FolderError::TornMarker { marker: path, what: error.to_string() })?;
    let folder = folder.to_owned();
    match marker.format.cmp(&FOLDER_FORMAT) {
        std::cmp::Ordering::Less => Err(FolderError::Older { folder, found: marker.format }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            Err(FolderError::Newer { folder, found: marker.format, engine: marker.engine })
        }
    }
}

fn read_holder(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn unusable(act: &'static str, folder: &Path, source: io::Error) -> FolderError {
    FolderError::Unusable { act, folder: folder.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = FolderLock::take_or_make(folder.path()).unwrap();
        first.tell_address("127.0.0.1:7070").unwrap();
        let expected = format!(
            "data folder {} is held by process {}, which serves at 127.0.0.1:7070: \
             stop that process, or name another folder",
            folder.path().display(),
            std::process::id()
        );
        assert_eq!(FolderLock::take_or_make(folder.path()).unwrap_err().to_string(), expected);
        assert_eq!(holder(folder.path()).unwrap().unwrap().address.as_deref(), Some("127.0.0.1:7070"));
        drop(first);
        assert_eq!(holder(folder.path()).unwrap(), None);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "mine").unwrap();
        let message = FolderLock::take_or_make(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("is not a thermogate data folder") && message.contains("name an empty folder"),
            "{message}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was added");
    }

    #[test]
    fn a_missing_folder_is_made_for_a_service_and_refused_for_a_reader() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/er");
        let message = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(message.contains("does not exist"), "{message}");
        drop(FolderLock::take_or_make(&folder).unwrap());
        FolderLock::take(&folder).unwrap();
    }

    #[test]
    fn a_folder_of_another_format_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        drop(FolderLock::take_or_make(folder.path()).unwrap());
        let cases = [
            (r#"{"format":0,"engine":"0.0.1"}"#, "name another data.folder to begin anew"),
            (r#"{"format":9,"engine":"7.0.0"}"#, "written by thermogate 7.0.0"),
            (r#"{"format""#, "restore it from a copy of the folder"),
        ];
        for (marker, expected) in cases {
            fs::write(folder.path().join(MARKER_FILE), marker).unwrap();
            let message = FolderLock::take_or_make(folder.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_process_that_died_before_its_marker_leaves_a_usable_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK_FILE), "").unwrap();
        FolderLock::take_or_make(folder.path()).unwrap();
    }
}
