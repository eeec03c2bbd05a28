//! Walks a tree field by field and notes every error with kind, field, reason and line, instead of the first only.

use std::cell::RefCell;

use telemetry::Microseconds;
use telemetry::document::{DocumentError, nearest};
use telemetry::record::Document;

use super::tree::{Key, Node, Value};

/// The errors of one file, in the order they were found.
pub struct Errors<'a> {
    document: &'a Document,
    /// Kind and name of the object that is being read: `SLO rack-coolant-dt`.
    subject: RefCell<String>,
    found: RefCell<Vec<DocumentError>>,
}

impl<'a> Errors<'a> {
    pub fn of(document: &'a Document) -> Self {
        Self { document, subject: RefCell::default(), found: RefCell::default() }
    }

    /// From here on errors are about this object.
    pub fn about(&self, subject: impl Into<String>) {
        *self.subject.borrow_mut() = subject.into();
    }

    /// Notes an error.
    pub fn refuse(&self, line: u64, message: impl std::fmt::Display) {
        let subject = self.subject.borrow();
        let message = if subject.is_empty() { message.to_string() } else { format!("{subject}: {message}") };
        self.found.borrow_mut().push(DocumentError::new(self.document, Some(line), message));
    }

    /// All of them, by line.
    pub fn into_list(self) -> Vec<DocumentError> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|error| error.line);
        found
    }
}

/// The fields of a map. Those that nobody asked for by the time of [`Fields::close`] are unknown.
pub struct Fields<'a> {
    path: String,
    pub line: u64,
    entries: &'a [(Key, Node)],
    asked: RefCell<Vec<&'static str>>,
    errors: &'a Errors<'a>,
}

/// A value and the path to it.
pub struct Field<'a> {
    path: String,
    node: &'a Node,
    errors: &'a Errors<'a>,
}

impl<'a> Fields<'a> {
    /// The fields of a whole object.
    pub fn of(node: &'a Node, errors: &'a Errors<'a>) -> Option<Self> {
        Field { path: String::new(), node, errors }.fields()
    }

    /// The field, if it is there.
    pub fn get(&self, name: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(name);
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        Some(Field { path: self.path_to(name), node, errors: self.errors })
    }

    /// The field; its absence is an error.
    pub fn require(&self, name: &'static str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.errors.refuse(self.line, format!("{} is missing", self.path_to(name)));
        }
        field
    }

    /// All fields, for maps whose keys are free.
    pub fn all(&self) -> impl Iterator<Item = (&'a Key, Field<'a>)> {
        self.entries.iter().map(|(key, node)| {
            let path = format!("{}[{:?}]", self.path, key.name);
            (key, Field { path, node, errors: self.errors })
        })
    }

    /// Refuses every field that nobody asked for, with the nearest one that somebody did.
    pub fn close(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries.iter().filter(|(key, _)| !asked.contains(&key.name.as_str())) {
            let near = nearest(&key.name, asked.iter().copied()).map_or_else(
                || format!("expected one of {}", asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.errors.refuse(key.line, format!("{}: unknown field; {near}", self.path_to(&key.name)));
        }
    }

    /// A field that may be left out: `Some(None)` when it is, `None` when it is there and wrong.
    pub fn given<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(name).map_or(Some(None), |field| read(&field).map(Some))
    }

    /// Notes an error about the whole map.
    pub fn refuse(&self, message: impl std::fmt::Display) {
        let separator = if self.path.is_empty() { "" } else { ": " };
        self.errors.refuse(self.line, format!("{}{separator}{message}", self.path));
    }

    fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'a> Field<'a> {
    pub const fn value(&self) -> &'a Value {
        &self.node.value
    }

    /// Notes an error about this value and gives none.
    pub fn refuse<T>(&self, message: impl std::fmt::Display) -> Option<T> {
        let separator = if self.path.is_empty() { "" } else { ": " };
        self.errors.refuse(self.node.line, format!("{}{separator}{message}", self.path));
        None
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.refuse(format!("expected {what}, found {}", self.node.value.what()))
    }

    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => self.expected("a text"),
        }
    }

    /// A text that may be empty.
    pub fn any_text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.expected("a text"),
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self.node.value {
            Value::Number(number) if number.is_finite() => Some(number),
            Value::Number(_) => self.refuse("expected a finite number"),
            _ => self.expected("a number"),
        }
    }

    pub fn truth(&self) -> Option<bool> {
        match self.node.value {
            Value::Truth(truth) => Some(truth),
            _ => self.expected("true or false"),
        }
    }

    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(entries) => {
                let entry = |(index, node)| Field {
                    path: format!("{}[{index}]", self.path),
                    node,
                    errors: self.errors,
                };
                Some(entries.iter().enumerate().map(entry).collect())
            }
            _ => self.expected("a list"),
        }
    }

    /// The only entry of a list.
    pub fn only(&self) -> Option<Field<'a>> {
        let mut entries = self.list()?;
        match entries.len() {
            1 => entries.pop(),
            found => self.refuse(format!("exactly one entry is allowed, found {found}")),
        }
    }

    pub fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(entries) => {
                let (line, asked) = (self.node.line, RefCell::default());
                Some(Fields { path: self.path.clone(), line, entries, asked, errors: self.errors })
            }
            _ => self.expected("a map"),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, known.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        self.refuse(format!("{text:?} is none of {}{near}", known.join(", ")))
    }

    /// A length of time of ours, which knows seconds: `500ms`, `10s`, `4h`.
    pub fn length(&self) -> Option<Microseconds> {
        match self.text()?.parse() {
            Ok(length) => Some(length),
            Err(message) => self.refuse(message),
        }
    }

    /// A length of time that is more than none.
    pub fn positive_length(&self) -> Option<Microseconds> {
        match self.length()? {
            Microseconds(0) => self.refuse("must be longer than no time"),
            length => Some(length),
        }
    }

    /// A number from `0` to `1` in parts per million, exactly.
    pub fn share_ppm(&self) -> Option<u64> {
        let share = self.number()?;
        if !(0.0..=1.0).contains(&share) {
            return self.refuse(format!("{share} is no share: give a number from 0 to 1, such as 0.95"));
        }
        self.millionths(share)
    }

    /// A number that is not negative in millionths, exactly.
    pub fn millionths(&self, number: f64) -> Option<u64> {
        let millionths = number * 1e6;
        let whole = libm::round(millionths);
        if number < 0.0 || whole > 1e15 {
            return self.refuse(format!("{number} is out of range: give a number from 0 to a billion"));
        }
        // Six decimals are read exactly; the tolerance is for the binary form of numbers such as 0.995.
        if (millionths - whole).abs() > 1e-3 {
            return self.refuse(format!(
                "{number} has more than six decimals: shares are kept in parts per million"
            ));
        }
        Some(whole as u64)
    }
}
