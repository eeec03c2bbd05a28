//! Declarations as a checkpoint keeps them, for `#[serde(with = "telemetry::names::table")]`: a table of all texts, and
//! numbers in it. Read back, equal texts are one again, and none is read twice.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Known;
use crate::place::{PartitionKey, Place, SeriesIdentity};
use crate::record::{Feed, SeriesDeclaration, SeriesId, Temporality};
use crate::{Labels, Name};

/// Number of a text in the table.
type Number = u32;

#[derive(Serialize, Deserialize)]
struct Table {
    names: Vec<Name>,
    partitions: Vec<PartitionKey>,
    rows: Vec<Row>,
}

/// A declaration with numbers for texts.
#[derive(Serialize, Deserialize)]
struct Row {
    partition: Number,
    id: SeriesId,
    site: Number,
    /// Loop, rack, node, device.
    levels: [Option<Number>; 4],
    signal: Number,
    sensor: Option<Number>,
    cooling_loop: Option<Number>,
    declared: bool,
    unit: Number,
    source: Number,
    source_name: Number,
    source_unit: Number,
    temporality: Temporality,
    feed: Feed,
    labels: Vec<(Number, Number)>,
}

/// A value's number: values are numbered in order of first use.
fn number<T: Hash + Eq + Clone>(known: &mut Known<T>, value: &T) -> Number {
    let number = known.get_index_of(value).unwrap_or_else(|| known.insert_full(value.clone()).0);
    Number::try_from(number).expect("fewer than four billion texts fit in memory")
}

/// Writes declarations.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(
    declarations: &[Arc<SeriesDeclaration>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (mut names, mut partitions) = (Known::default(), Known::default());
    let rows = declarations.iter().map(|declaration| row(declaration, &mut names, &mut partitions)).collect();
    let (names, partitions) = (names.into_iter().collect(), partitions.into_iter().collect());
    Table { names, partitions, rows }.serialize(serializer)
}

fn row(
    declaration: &SeriesDeclaration,
    names: &mut Known<Name>,
    partitions: &mut Known<PartitionKey>,
) -> Row {
    let SeriesDeclaration {
        partition,
        id,
        identity:
            SeriesIdentity { place: Place { site, cooling_loop: of_place, rack, node, device }, signal, sensor },
        cooling_loop,
        declared,
        unit,
        source,
        source_name,
        source_unit,
        temporality,
        feed,
        labels,
    } = declaration;
    let partition = number(partitions, partition);
    let mut number = |name: &Name| number(names, name);
    Row {
        partition,
        id: *id,
        site: number(site),
        levels: [of_place, rack, node, device].map(|level| level.as_ref().map(&mut number)),
        signal: number(signal),
        sensor: sensor.as_ref().map(&mut number),
        cooling_loop: cooling_loop.as_ref().map(&mut number),
        declared: *declared,
        unit: number(unit),
        source: number(source),
        source_name: number(source_name),
        source_unit: number(source_unit),
        temporality: *temporality,
        feed: *feed,
        labels: labels.iter().map(|(name, value)| (number(name), number(value))).collect(),
    }
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// Those of the deserializer, and a number that is not in the table.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Arc<SeriesDeclaration>>, D::Error> {
    let Table { names, partitions, rows } = Table::deserialize(deserializer)?;
    let mut declarations = Vec::with_capacity(rows.len());
    let mut labels = BTreeMap::new();
    for row in &rows {
        let declaration = declaration(row, &names, &partitions, &mut labels);
        let missing = || D::Error::custom("a declaration names a text that is not there");
        declarations.push(Arc::new(declaration.ok_or_else(missing)?));
    }
    Ok(declarations)
}

fn declaration<'a>(
    row: &'a Row,
    names: &[Name],
    partitions: &[PartitionKey],
    known_labels: &mut BTreeMap<&'a [(Number, Number)], Arc<Labels>>,
) -> Option<SeriesDeclaration> {
    let name = |number: Number| names.get(number as usize).cloned();
    let level = |number: Option<Number>| match number {
        Some(number) => name(number).map(Some),
        None => Some(None),
    };
    let labels = match known_labels.get(&*row.labels) {
        Some(known) => known.clone(),
        None => {
            let pairs = row.labels.iter().map(|(key, value)| Some((name(*key)?, name(*value)?)));
            let labels = Arc::new(pairs.collect::<Option<Labels>>()?);
            known_labels.insert(&row.labels, labels.clone());
            labels
        }
    };
    let [cooling_loop, rack, node, device] = row.levels;
    let place = Place {
        site: name(row.site)?,
        cooling_loop: level(cooling_loop)?,
        rack: level(rack)?,
        node: level(node)?,
        device: level(device)?,
    };
    Some(SeriesDeclaration {
        partition: partitions.get(row.partition as usize)?.clone(),
        id: row.id,
        identity: SeriesIdentity { place, signal: name(row.signal)?, sensor: level(row.sensor)? },
        cooling_loop: level(row.cooling_loop)?,
        declared: row.declared,
        unit: name(row.unit)?,
        source: name(row.source)?,
        source_name: name(row.source_name)?,
        source_unit: name(row.source_unit)?,
        temporality: row.temporality,
        feed: row.feed,
        labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tests::declaration;

    #[derive(Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<Arc<SeriesDeclaration>>);

    #[test]
    fn declarations_come_back_as_they_were_and_hold_each_text_once() {
        let declarations = vec![Arc::new(declaration("n1")), Arc::new(declaration("n2"))];
        let text = serde_json::to_string(&Kept(declarations.clone())).unwrap();
        assert_eq!(text.matches("gpu_power").count(), 1);
        let Kept(read) = serde_json::from_str(&text).unwrap();
        assert_eq!(read, declarations);
        assert!(Name::ptr_eq(&read[0].identity.place.site, &read[1].identity.place.site));
        assert!(Name::ptr_eq(&read[0].unit, &read[1].source_unit));
        assert!(Arc::ptr_eq(&read[0].labels, &read[1].labels));
    }

    #[test]
    fn a_number_beyond_the_table_is_refused() {
        let text = serde_json::to_string(&Kept(vec![Arc::new(declaration("n1"))])).unwrap();
        let torn = text.replace("\"signal\":", "\"signal\":9");
        assert_ne!(torn, text);
        let error = serde_json::from_str::<Kept>(&torn).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("not there"), "{error}");
    }
}
