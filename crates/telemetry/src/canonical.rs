//! Canonical JSON: one text for one document, so that its hash is its identity.

use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use serde_json::ser::Formatter;
use sha2::{Digest, Sha256};

/// The canonical JSON of a value: keys sorted by their code points, no blanks, numbers as `serde_json` prints them.
///
/// # Panics
/// When the value cannot be JSON at all (a map with keys that are not text): our bug, never the user's.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> String {
    let text = Text::default();
    let formatter = Sorting { text: text.clone(), open: Vec::new() };
    let mut serializer = serde_json::Serializer::with_formatter(text.clone(), formatter);
    value.serialize(&mut serializer).expect("documents have text keys");
    drop(serializer);
    String::from_utf8(text.0.take()).expect("JSON is UTF-8, and members are moved whole")
}

/// SHA-256 of a text or of a file's bytes, as 64 lower-case hex digits.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is written so far: the serializer appends to it, and the formatter puts members in order.
#[derive(Debug, Default, Clone)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Text {
    fn length(&self) -> usize {
        self.0.borrow().len()
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a member of an object stands.
#[derive(Debug)]
struct Member {
    /// Its key, quotes included.
    key: Range<usize>,
    /// The end of its value.
    end: usize,
}

/// Sorts the members of each object when it ends: its values are sorted already.
///
/// A tree of `serde_json::Value` would sort as well, and costs an allocation for each key and value of the facts that
/// are written with every verdict.
#[derive(Debug)]
struct Sorting {
    text: Text,
    /// The objects that have not ended, outermost first.
    open: Vec<Vec<Member>>,
}

impl Sorting {
    fn member(&mut self) -> &mut Member {
        self.open.last_mut().and_then(|members| members.last_mut()).expect("a key begins a member")
    }
}

impl Formatter for Sorting {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open.push(Vec::new());
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let begin = self.text.length();
        let members = self.open.last_mut().expect("a key stands in an object");
        members.push(Member { key: begin..begin, end: begin });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.member().key.end = self.text.length();
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.member().end = self.text.length();
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let members = self.open.pop().expect("an object ends that has begun");
        sort(&mut self.text.0.borrow_mut(), members);
        writer.write_all(b"}")
    }
}

/// Puts the members that the text ends with into order.
fn sort(text: &mut Vec<u8>, mut members: Vec<Member>) {
    let key = |member: &Member| Key::of(&text[member.key.clone()]);
    if members.is_sorted_by(|one, other| key(one) <= key(other)) {
        return;
    }
    let begin = members.first().map_or(text.len(), |member| member.key.start);
    members.sort_by(|one, other| key(one).cmp(&key(other)));
    let mut sorted = Vec::with_capacity(text.len() - begin);
    for (number, member) in members.iter().enumerate() {
        if number > 0 {
            sorted.push(b',');
        }
        sorted.extend_from_slice(&text[member.key.start..member.end]);
    }
    text.truncate(begin);
    text.extend_from_slice(&sorted);
}

/// A key as it is sorted: as it is written, unless it has escapes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(std::borrow::Cow<'a, [u8]>);

impl<'a> Key<'a> {
    fn of(quoted: &'a [u8]) -> Self {
        let written = &quoted[1..quoted.len() - 1];
        if !written.contains(&b'\\') {
            return Self(written.into());
        }
        let plain: String = serde_json::from_slice(quoted).expect("the serializer wrote it");
        Self(plain.into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serializer;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_order_of_fields_does_not_change_the_text() {
        #[derive(Serialize)]
        struct Document {
            b: u8,
            a: Option<f64>,
        }
        assert_eq!(canonical_json(&Document { b: 1, a: None }), r#"{"a":null,"b":1}"#);
        assert_eq!(canonical_json(&BTreeMap::<String, u8>::new()), "{}");
        assert_eq!(canonical_json(&[Document { b: 1, a: Some(f64::NAN) }]), r#"[{"a":null,"b":1}]"#);
    }

    /// A document whose members are written last to first.
    struct Backwards<'a>(&'a Value);

    impl Serialize for Backwards<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                Value::Array(values) => serializer.collect_seq(values.iter().map(Backwards)),
                Value::Object(members) => {
                    serializer.collect_map(members.iter().rev().map(|(key, value)| (key, Backwards(value))))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    self.0.serialize(serializer)
                }
            }
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\\n\u{7f}é]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_order_members_are_written_in_they_are_sorted(document in documents()) {
            // A tree of values holds its members in order.
            prop_assert_eq!(canonical_json(&Backwards(&document)), document.to_string());
            prop_assert_eq!(canonical_json(&document), document.to_string());
        }
    }
}
