//! Which files of a folder come after a name, without a look at each of those before it.
//!
//! A commit lists its table's log several times, from the last checkpoint on. `LocalFileSystem` asks the system about
//! every file of the folder each time, so that commits took the longer the more there had been.

use std::path::Path;
use std::{fs, io};

use object_store::path;

/// The name in `prefix` that `offset` is, where it is one of its files and of no folder in it.
pub fn name_in<'a>(prefix: &path::Path, offset: &'a path::Path) -> Option<&'a str> {
    let mut parts = offset.prefix_match(prefix)?;
    match (parts.next(), parts.next()) {
        (Some(_), None) => offset.filename(),
        _ => None,
    }
}

/// Names of files that come after one, in their order; `None` for a folder that holds more than files with plain names.
pub fn names_after(folder: &Path, name: &str) -> io::Result<Option<Vec<String>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(found) = entry.file_name().into_string() else { return Ok(None) };
        if is_staged(&found) {
            continue;
        }
        if !entry.file_type()?.is_file() || !found.chars().all(is_plain) {
            return Ok(None);
        }
        if name < found.as_str() {
            names.push(found);
        }
    }
    names.sort();
    Ok(Some(names))
}

/// Characters that are the same in the path of an object.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._-=".contains(character)
}

/// Whether a file is on its way: `#` and digits, as `LocalFileSystem` leaves it out.
fn is_staged(name: &str) -> bool {
    let after = name.split_once('#').map(|(_, after)| after);
    after.is_some_and(|after| !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()))
}
