//! A mapping as a person writes it. Lives only between the parser and [`super::Mapping`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_saphyr::Spanned;

use crate::Name;

use super::UnmappedPolicy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MappingFile {
    pub(super) api_version: Spanned<String>,
    pub(super) kind: Spanned<String>,
    #[allow(dead_code)]
    metadata: Metadata,
    pub(super) unmapped: Option<Spanned<UnmappedPolicy>>,
    pub(super) replica_labels: Option<Vec<Name>>,
    #[serde(default)]
    pub(super) signals: BTreeMap<String, Spanned<SignalFile>>,
    #[serde(default)]
    pub(super) units: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) sources: Vec<SourceFile>,
    #[serde(default)]
    pub(super) rows: Vec<RowFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    #[allow(dead_code)]
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalFile {
    pub(super) unit: String,
    pub(super) span: Option<[f64; 2]>,
    pub(super) usual: Option<[f64; 2]>,
    #[serde(default)]
    #[allow(dead_code)]
    pub(super) meaning: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SourceFile {
    pub(super) name: Spanned<String>,
    pub(super) protocol: Option<Name>,
    #[serde(default, rename = "match")]
    pub(super) conditions: BTreeMap<String, ConditionFile>,
    pub(super) publishes: Option<PublishesFile>,
    pub(super) scrape_grid: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum PublishesFile {
    Periodic(Spanned<String>),
    OnChange(OnChangeFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnChangeFile {
    pub(super) republish: Spanned<String>,
}

pub(super) enum ConditionFile {
    One(Name),
    Several(Vec<Name>),
    Other(OtherCondition),
}

impl<'de> Deserialize<'de> for ConditionFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionVisitor)
    }
}

/// A value, a list of values, or an object. By hand, so that a message says what is wrong with which.
struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = ConditionFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values, or {not: [...]}, {like: ...}, {absent: true}")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ConditionFile, E> {
        Ok(ConditionFile::One(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ConditionFile, E> {
        Ok(ConditionFile::One(value.to_string().into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ConditionFile, E> {
        Ok(ConditionFile::One(value.to_string().into()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<ConditionFile, E> {
        Err(E::custom("a value such as y, no or true is read as a truth value: write it in quotes"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<ConditionFile, E> {
        Err(E::custom("a value with a decimal point may be written in several ways: write it in quotes"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, values: A) -> Result<ConditionFile, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(values)).map(ConditionFile::Several)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<ConditionFile, A::Error> {
        OtherCondition::deserialize(de::value::MapAccessDeserializer::new(fields)).map(ConditionFile::Other)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherCondition {
    pub(super) not: Option<Vec<Name>>,
    pub(super) like: Option<Name>,
    pub(super) absent: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RowFile {
    pub(super) metric: Spanned<String>,
    pub(super) source: Option<Name>,
    #[serde(default, rename = "match")]
    pub(super) conditions: BTreeMap<String, ConditionFile>,
    pub(super) signal: Option<Spanned<String>>,
    pub(super) ignore: Option<Name>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) scale: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) offset: f64,
    #[serde(default)]
    pub(super) states: BTreeMap<String, Spanned<String>>,
    pub(super) sensor: Option<Name>,
    pub(super) sensor_label: Option<Name>,
}
