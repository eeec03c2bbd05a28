//! A document as a tree of values that know their lines, so that every error of a file can be told at once.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use telemetry::document::{DocumentError, read_yaml};
use telemetry::record::Document;

/// A value and the line that it begins on.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub line: u64,
    pub value: Value,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nothing,
    Truth(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key and its line.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub line: u64,
    pub name: String,
}

impl Value {
    /// What it is, for messages.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Truth(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// The objects of a file: its YAML documents, and the entries of those that are lists.
///
/// # Errors
/// When it is no YAML or has a key twice; names file and line.
pub fn objects(document: &Document) -> Result<Vec<Node>, DocumentError> {
    let documents: Vec<Node> = read_yaml(document)?;
    let flat = documents.into_iter().flat_map(|node| match node.value {
        Value::List(entries) => entries,
        Value::Nothing => Vec::new(),
        Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => vec![node],
    });
    Ok(flat.collect())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned: Spanned<Value> = Spanned::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push((Key { line: key.referenced.line(), name: key.value }, node));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "a: 1\nb:\n  - x\n  - {c: 2.5}\n---\n- d: yes\n- e:\n";
        let objects = objects(&Document { name: "x".into(), text: text.into() }).unwrap();
        let [first, second, third] = &objects[..] else { panic!("{objects:?}") };
        let Value::Map(entries) = &first.value else { panic!("{first:?}") };
        assert_eq!(entries[1].0, Key { line: 2, name: "b".into() });
        let Value::List(list) = &entries[1].1.value else { panic!("{entries:?}") };
        assert_eq!(list[0], Node { line: 3, value: Value::Text("x".into()) });
        let Value::Map(inner) = &list[1].value else { panic!("{list:?}") };
        assert_eq!(inner[0].1, Node { line: 4, value: Value::Number(2.5) });
        assert_eq!((second.line, third.line), (6, 7));
        let Value::Map(last) = &third.value else { panic!("{third:?}") };
        assert_eq!(last[0].1.value, Value::Nothing);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let document = Document { name: "x.yaml".into(), text: "a: {b: 1,\n  b: 2}\n".into() };
        let message = objects(&document).unwrap_err().to_string();
        assert!(message.starts_with("x.yaml:2: ") && message.contains("duplicate"), "{message}");
    }
}
