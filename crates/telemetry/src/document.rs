//! Reading documents: strict YAML whose every error names file, line and the nearest word that would have done.

use serde::de::DeserializeOwned;

use crate::record::Document;

/// What every document of a kind of our own says in `apiVersion`.
pub const API_VERSION: &str = "thermogate.dev/v1alpha1";

/// A document that cannot be read, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", at(document, *line))]
pub struct DocumentError {
    /// File name.
    pub document: String,
    /// Line, from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong and how to mend it.
    pub message: String,
}

fn at(document: &str, line: Option<u64>) -> String {
    line.map_or_else(|| document.to_owned(), |line| format!("{document}:{line}"))
}

impl DocumentError {
    /// An error at a line of `document`.
    pub fn new(document: &Document, line: Option<u64>, message: impl Into<String>) -> Self {
        Self { document: document.name.clone(), line, message: message.into() }
    }
}

/// The line of a value, where the parser knows it.
pub fn line_of<T>(value: &serde_saphyr::Spanned<T>) -> Option<u64> {
    Some(value.referenced.line()).filter(|line| *line > 0)
}

/// Reads all YAML documents of a file. Unknown fields are refused where `T` denies them; duplicate keys always.
///
/// # Errors
/// Names file and line; for an unknown field also the nearest known one.
pub fn read_yaml<T: DeserializeOwned>(document: &Document) -> Result<Vec<T>, DocumentError> {
    serde_saphyr::from_multiple(&document.text).map_err(|error| {
        let bare = error.without_snippet();
        let line = bare.location().map(|location| location.line()).filter(|line| *line > 0);
        DocumentError {
            document: document.name.clone(),
            line,
            message: explain(&first_line(&bare.to_string())),
        }
    })
}

/// The parser's message without the location that [`DocumentError`] tells in its own way.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.rfind(" at line ") {
        Some(end) => line[..end].to_owned(),
        None => line.to_owned(),
    }
}

/// Adds the nearest known word to a message such as "unknown field `windw`, expected one of window, target", and says of
/// a duplicate key what the writer can do, where the parser tells what its caller could.
fn explain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.rsplit_once(", set DuplicateKeyPolicy").map_or(rest, |(key, _)| key);
        return format!("duplicate key `{key}`: it is there above already, remove one of them");
    }
    let near = message.strip_prefix("unknown").and_then(|rest| {
        let wrong = rest.split('`').nth(1)?;
        let (_, known) = rest.split_once("expected ")?;
        let known = known.trim_start_matches("one of ");
        nearest(wrong, known.split([',', ' ', '`']).filter(|word| !word.is_empty() && *word != "or"))
    });
    near.map_or_else(|| message.to_owned(), |near| format!("{message}; did you mean `{near}`?"))
}

/// The known word that is most like `wrong`, if any is like it at all: a single slip of the keys away (Damerau and
/// Levenshtein's distance; Jaro-Winkler does not see a transposition in a word of three letters), or of a
/// Jaro-Winkler similarity of .7 or more.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.7;
    known
        .map(|word| (is_slip(wrong, word), strsim::jaro_winkler(wrong, word), word))
        .filter(|(slip, likeness, _)| *slip || *likeness >= ALIKE)
        .max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))
        .map(|(_, _, word)| word)
}

/// Whether a letter is missing, too many, wrong or changed over. In two letters that would be half of the word.
fn is_slip(wrong: &str, word: &str) -> bool {
    wrong.chars().count() > 2 && strsim::osa_distance(wrong, word) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Window {
        window: String,
        target: f64,
    }

    #[test]
    fn two_letters_changed_over_are_alike_in_the_shortest_word() {
        assert_eq!(nearest("onw", ["own", "other"].into_iter()), Some("own"));
        assert_eq!(nearest("zebra", ["own", "other"].into_iter()), None);
    }

    fn message(text: &str) -> String {
        let document = Document { name: "slo/a.yaml".into(), text: text.into() };
        read_yaml::<Window>(&document).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_field_names_its_line_and_the_nearest_known_one() {
        assert_eq!(
            message("target: 1\nwindw: 5m\n"),
            "slo/a.yaml:2: unknown field `windw`, expected one of window, target; did you mean `window`?"
        );
    }

    #[test]
    fn a_duplicate_key_is_refused_with_its_line() {
        let message = message("window: 5m\nwindow: 6m\ntarget: 1\n");
        assert_eq!(
            message,
            "slo/a.yaml:2: duplicate key `window`: it is there above already, remove one of them"
        );
    }

    #[test]
    fn several_documents_are_read_in_order() {
        let text = "window: a\ntarget: 1\n---\nwindow: b\ntarget: 2\n";
        let document = Document { name: "x".into(), text: text.into() };
        let windows: Vec<Window> = read_yaml(&document).unwrap();
        assert_eq!(windows.iter().map(|w| w.window.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
