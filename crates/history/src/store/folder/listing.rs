//! Which files of a folder come after a name, without a look at each of those before it.
//!
//! A commit lists its table's log several times, from the last checkpoint on. `LocalFileSystem` makes a URL and a path of
//! every name in the folder each time, to compare it, so that commits took the longer the more there had been.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_one_come_in_order_and_a_folder_of_another_kind_is_left_to_the_library() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        let after = |name: &str| names_after(folder.path(), name).unwrap();
        ["3.json", "2.json", "2.checkpoint.parquet", "4.json#1", "_last_checkpoint"]
            .into_iter()
            .for_each(write);
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(after("2.checkpoint.parquet"), names(&["2.json", "3.json", "_last_checkpoint"]));
        assert_eq!(after("_last_checkpoint"), names(&[]));
        write("a#b");
        assert_eq!(after("2.json"), None, "it has another name as an object");
        fs::remove_file(folder.path().join("a#b")).unwrap();
        fs::create_dir(folder.path().join("_sidecars")).unwrap();
        assert_eq!(after("2.json"), None, "a folder in it");
        assert!(names_after(&folder.path().join("nowhere"), "0").is_err());
    }

    #[test]
    fn a_name_is_of_a_folder_and_of_none_in_it() {
        let [log, file, deeper] =
            ["t/_delta_log", "t/_delta_log/1.json", "t/_delta_log/a/1.json"].map(path::Path::from);
        assert_eq!(name_in(&log, &file), Some("1.json"));
        assert_eq!(name_in(&log, &deeper), None);
        assert_eq!(name_in(&log, &log), None);
        assert_eq!(name_in(&file, &log), None);
    }
}
