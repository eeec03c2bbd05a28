//! Files of objectives, policies, sites and mappings: the only place where the command line opens documents.

use std::path::{Path, PathBuf};

use telemetry::record::Document;

use crate::failure::Failure;

/// Reads files, and the `*.yaml` and `*.yml` of folders and their folders, in order of their names.
///
/// # Errors
/// Names the file.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
                .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
            entries.sort();
            let wanted: Vec<PathBuf> = entries
                .into_iter()
                .filter(|path| path.is_dir() || has_extension(path, &["yaml", "yml"]))
                .collect();
            documents.extend(read(&wanted)?);
        } else {
            documents.push(read_one(path)?);
        }
    }
    Ok(documents)
}

/// Reads one file.
///
/// # Errors
/// Names the file.
pub fn read_one(path: &Path) -> Result<Document, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
    Ok(Document { name: path.display().to_string(), text })
}

/// Whether a file's name ends like that.
pub fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| extensions.contains(&extension))
}
