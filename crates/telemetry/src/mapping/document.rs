//! Reading mappings: from what users write to rows, signals and sources, with everything that is wrong on the way.
//!
//! ```yaml
//! apiVersion: thermogate.dev/v1alpha1
//! kind: Mapping
//! metadata: {name: plant}
//! unmapped: count                        # keep (default) or count metrics that no row knows
//! replicaLabels: [prometheus_replica]    # instead of the default list
//! signals:                               # signals of your own: no physics, but objectives and SQL take them
//!   machine_temperature: {unit: "1", span: null, usual: [70, 100]}
//! units: {cdu_supply_temp: degF}         # whatever the source says about its unit
//! sources:
//!   - {name: plc, protocol: otlp, match: {job: cdu}, publishes: {onChange: {republish: 100s}}}
//!   - {name: remote_write, publishes: {periodic: 15s}, scrapeGrid: 15s}
//! rows:
//!   - {metric: cdu_t, source: plc, match: {side: supply, mode: {not: [test]}}, signal: coolant_supply_temperature, unit: Cel, scale: 0.1}
//!   - {metric: leak, match: {id: {like: "LD_#"}}, signal: leak_state, states: {0: ok, 1: critical, 9: unavailable}, sensorLabel: id}
//!   - {metric: cdu_debug, ignore: no reading}
//! ```

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use crate::document::{self, DocumentError};
use crate::record::{Document, Feed};
use crate::signal::{self, Span};
use crate::unit::Unit;
use crate::{Microseconds, Name};

use super::file::{
    ConditionFile, MappingFile, OtherCondition, PublishesFile, RowFile, SignalFile, SourceFile,
};
use super::labels::normal;
use super::row::{Condition, Reading, Row, Target};
use super::{DeclaredSignal, Mapping, Source, UnmappedPolicy};

/// Whether a document says what to do with metrics that no row knows; `false` for one that cannot be read.
pub(super) fn says_unmapped(document: &Document) -> bool {
    document::read_yaml::<MappingFile>(document)
        .is_ok_and(|files| files.iter().any(|file| file.unmapped.is_some()))
}

/// Adds the documents to `mapping`: all their signals first, so that a row may use a signal of another document.
pub(super) fn read(documents: &[Document], mapping: Mapping) -> Result<Mapping, Vec<DocumentError>> {
    let mut reader = Reader { mapping, errors: Vec::new(), unmapped: None };
    let mut files = Vec::new();
    for document in documents {
        match document::read_yaml::<MappingFile>(document) {
            Ok(read) => files.extend(read.into_iter().map(|file| (document, file))),
            Err(error) => reader.errors.push(error),
        }
    }
    for (document, file) in &mut files {
        reader.read_head(document, file);
    }
    for (document, file) in files {
        for row in file.rows {
            reader.read_row(document, row);
        }
    }
    if reader.errors.is_empty() { Ok(reader.mapping) } else { Err(reader.errors) }
}

struct Reader {
    mapping: Mapping,
    errors: Vec<DocumentError>,
    unmapped: Option<UnmappedPolicy>,
}

impl Reader {
    fn read_head(&mut self, document: &Document, file: &mut MappingFile) {
        if file.api_version.value != document::API_VERSION {
            self.refuse(
                document,
                &file.api_version,
                format!("apiVersion is {:?}: write {}", file.api_version.value, document::API_VERSION),
            );
        }
        if file.kind.value != "Mapping" {
            self.refuse(document, &file.kind, format!("kind is {:?}: write Mapping", file.kind.value));
        }
        if let Some(unmapped) = &file.unmapped {
            if self.unmapped.is_some_and(|before| before != unmapped.value) {
                self.refuse(
                    document,
                    unmapped,
                    "unmapped is keep in one mapping and count in another: say it once",
                );
            }
            self.unmapped = Some(unmapped.value);
            self.mapping.unmapped = unmapped.value;
        }
        if let Some(labels) = file.replica_labels.take() {
            self.mapping.replica_labels = labels;
        }
        for (name, file) in &file.signals {
            self.declare(document, name, file);
        }
        for (metric, spelt) in &file.units {
            if let Some(unit) = self.unit(document, spelt) {
                self.mapping.units.insert(normal(metric).into(), unit);
            }
        }
        for source in std::mem::take(&mut file.sources) {
            self.read_source(document, source);
        }
    }

    fn declare(&mut self, document: &Document, name: &str, file: &Spanned<SignalFile>) {
        let Some(unit) = Unit::parse(&file.value.unit) else {
            let near = Unit::nearest(&file.value.unit)
                .map(|near| format!("; did you mean {near:?}?"))
                .unwrap_or_default();
            self.refuse(
                document,
                file,
                format!(
                    "signal {name:?} has the unknown unit {:?}: write a UCUM symbol{near}",
                    file.value.unit
                ),
            );
            return;
        };
        let range = |range: Option<[f64; 2]>| range.map(|[lowest, highest]| Span::new(lowest, highest));
        let (span, usual) = (range(file.value.span), range(file.value.usual));
        if [span, usual].into_iter().flatten().any(|range| range.lowest >= range.highest) {
            self.refuse(
                document,
                file,
                format!("a range of signal {name:?} is empty: write [lowest, highest], or null for none"),
            );
        }
        if self.mapping.declared.get(name).is_some_and(|before| before.unit != unit) {
            self.refuse(
                document,
                file,
                format!("signal {name:?} is declared twice, in two units: declare it once"),
            );
        }
        let declared = DeclaredSignal { name: name.into(), unit, span, usual };
        if let Err(message) = self.mapping.declare(declared) {
            self.refuse(document, file, message);
        }
    }

    fn read_source(&mut self, document: &Document, file: SourceFile) {
        if self.mapping.sources.iter().any(|source| *source.name == *file.name.value) {
            self.refuse(
                document,
                &file.name,
                format!("source {:?} is there twice: give each source a name of its own", file.name.value),
            );
        }
        let feed = match &file.publishes {
            None => Feed::Unsaid,
            Some(PublishesFile::Periodic(interval)) => {
                self.length(document, interval).map_or(Feed::Unsaid, |interval| Feed::Periodic { interval })
            }
            Some(PublishesFile::OnChange(on_change)) => self
                .length(document, &on_change.republish)
                .map_or(Feed::Unsaid, |republish| Feed::OnChange { republish }),
        };
        let scrape_grid = file.scrape_grid.as_ref().and_then(|grid| self.length(document, grid));
        let conditions = self.conditions(document, &file.name, file.conditions);
        let name = file.name.value.as_str().into();
        self.mapping.sources.push(Source { name, protocol: file.protocol, conditions, feed, scrape_grid });
    }

    fn read_row(&mut self, document: &Document, file: RowFile) {
        let line = document::line_of(&file.metric).unwrap_or_default();
        let target = match (&file.signal, &file.ignore) {
            (Some(signal), None) => Target::Signal(Box::new(self.reading(document, &file, signal))),
            (None, Some(reason)) => Target::Ignored(reason.clone()),
            (Some(_), Some(_)) | (None, None) => {
                self.refuse(
                    document,
                    &file.metric,
                    "a row needs either signal or ignore: say what the metric is, or why it is dropped",
                );
                return;
            }
        };
        let row = Row {
            origin: format!("{}:{line}", document.name).into(),
            source: file.source,
            metric: normal(&file.metric.value).into(),
            conditions: self.conditions(document, &file.metric, file.conditions),
            target,
        };
        if let Err(message) = self.mapping.add_row(row) {
            let signal = file.signal.as_ref().filter(|_| message.starts_with("no signal"));
            self.refuse(document, signal.unwrap_or(&file.metric), message);
        }
    }

    fn reading(&mut self, document: &Document, file: &RowFile, signal: &Spanned<String>) -> Reading {
        let unit = file.unit.as_ref().and_then(|unit| self.unit(document, unit));
        if let (Some(unit), Some(wanted), Some(spelt)) =
            (unit, self.mapping.unit_of(&signal.value), &file.unit)
            && let Err(mismatch) = crate::unit::conversion(unit, wanted)
        {
            self.refuse(document, spelt, format!("{} is kept in {wanted}: {mismatch}", signal.value));
        }
        let scale = file.scale.as_ref().map_or(1.0, |scale| scale.value);
        if let Some(spelt) = file.scale.as_ref().filter(|scale| !scale.value.is_normal()) {
            self.refuse(
                document,
                spelt,
                format!("scale is {scale}: give the factor that a reading is multiplied by, such as 0.1"),
            );
        }
        let mut states = Vec::new();
        for (number, word) in &file.states {
            match signal::state_code(&word.value) {
                Some(code) => states.push((number.clone(), code)),
                None => self.refuse(
                    document,
                    word,
                    format!(
                        "state {:?} is none of ok, warning, critical, unavailable, absent: write one of them",
                        word.value
                    ),
                ),
            }
        }
        Reading {
            unit,
            scale,
            offset: file.offset,
            states,
            sensor: file.sensor.clone(),
            sensor_label: file.sensor_label.as_ref().map(|label| normal(label).into()),
            ..Reading::of(&signal.value)
        }
    }

    fn conditions<T>(
        &mut self,
        document: &Document,
        at: &Spanned<T>,
        file: BTreeMap<String, ConditionFile>,
    ) -> Vec<(Name, Condition)> {
        let mut conditions = Vec::new();
        for (label, condition) in file {
            let condition = match condition {
                ConditionFile::One(value) => Condition::In(vec![value]),
                ConditionFile::Several(values) => Condition::In(values),
                ConditionFile::Other(OtherCondition { not: Some(values), like: None, absent: None }) => {
                    Condition::NotIn(values)
                }
                ConditionFile::Other(OtherCondition { not: None, like: Some(pattern), absent: None }) => {
                    Condition::Like(pattern)
                }
                ConditionFile::Other(OtherCondition { not: None, like: None, absent: Some(true) }) => {
                    Condition::Absent
                }
                ConditionFile::Other(_) => {
                    self.refuse(document, at, format!("match of {label:?} needs one of not, like, absent: true: write a value, a list, or one of them"));
                    continue;
                }
            };
            conditions.push((normal(&label).into(), condition));
        }
        conditions
    }

    fn unit(&mut self, document: &Document, spelt: &Spanned<String>) -> Option<Unit> {
        let unit = Unit::parse(&spelt.value);
        if unit.is_none() {
            let near = Unit::nearest(&spelt.value)
                .map(|near| format!("; did you mean {near:?}?"))
                .unwrap_or_default();
            self.refuse(
                document,
                spelt,
                format!("unit {:?} is unknown: write a UCUM symbol{near}", spelt.value),
            );
        }
        unit
    }

    fn length(&mut self, document: &Document, text: &Spanned<String>) -> Option<Microseconds> {
        match text.value.parse::<Microseconds>() {
            Ok(length) if length > Microseconds::ZERO => Some(length),
            Ok(_) => {
                self.refuse(
                    document,
                    text,
                    format!("{:?} is no time at all: write a length such as 15s", text.value),
                );
                None
            }
            Err(message) => {
                self.refuse(document, text, message);
                None
            }
        }
    }

    fn refuse<T>(&mut self, document: &Document, at: &Spanned<T>, message: impl Into<String>) {
        self.errors.push(DocumentError::new(document, document::line_of(at), message));
    }
}
