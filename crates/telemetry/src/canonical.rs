//! Canonical JSON: one text for one document, so that its hash is its identity.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The canonical JSON of a value: keys sorted, no blanks, numbers as `serde_json` prints them.
///
/// # Panics
/// When the value cannot be JSON at all (a map with keys that are not text): our bug, never the user's.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> String {
    // `serde_json::Value` keeps its objects in a BTreeMap, so going through it sorts the keys.
    serde_json::to_value(value).expect("documents have text keys").to_string()
}

/// SHA-256 of a text, as 64 lower-case hex digits.
pub fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_does_not_change_the_text() {
        #[derive(Serialize)]
        struct Document {
            b: u8,
            a: Option<f64>,
        }
        assert_eq!(canonical_json(&Document { b: 1, a: None }), r#"{"a":null,"b":1}"#);
    }
}
