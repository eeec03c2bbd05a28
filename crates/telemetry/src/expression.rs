//! Expressions over signals, written in objectives and policies: parsed and checked once, evaluated every slice.
//!
//! documents → **expression** → `evaluator`

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::Name;
use crate::document::nearest;
use crate::signal::{SIGNALS, Signal};
use crate::unit::{Conversion, Unit, UnitMismatch, conversion};

mod parser;

use parser::Parser;

/// Longest text of an expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1_000;
/// Deepest nesting of an expression.
pub const EXPRESSION_DEPTH_MAX: usize = 32;

/// An expression whose names and units are known to be sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: Term,
    unit: Unit,
    operands: Vec<Operand>,
}

/// A signal, and how the readings that belong to one place become one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operand {
    /// Canonical or declared name.
    pub signal: Name,
    /// How its readings are reduced.
    pub reduction: Reduction,
}

/// How the readings that belong to one place become one value. Unknown readings make no value: with one of them
/// missing, `Highest` and `Lowest` say what is known, and the caller counts the coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reduction {
    /// The place's own reading, or that of the nearest place above it that has the signal; of redundant sensors
    /// the median of the trusted ones.
    Own,
    /// The highest of the place and all below it.
    Highest,
    /// The lowest.
    Lowest,
    /// The median.
    Median,
    /// The mean.
    Mean,
}

impl Reduction {
    /// The word in an expression; none for the place's own reading.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Own => None,
            Self::Highest => Some("highest"),
            Self::Lowest => Some("lowest"),
            Self::Median => Some("median"),
            Self::Mean => Some("mean"),
        }
    }
}

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// A number and the unit it was written with.
    Number(f64, Option<Name>),
    /// A part brought to the unit that its neighbour or the whole has; not seen in the text.
    Converted(Conversion, Box<Term>),
    /// Index into the operands.
    Operand(usize),
    /// The same with the other sign.
    Negative(Box<Term>),
    /// Two parts.
    Two(Operator, Box<Term>, Box<Term>),
    /// A function of one or more parts.
    Call(Function, Vec<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    const fn binds(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide => 2,
        }
    }

    /// `None` for a division by zero.
    fn apply(self, left: f64, right: f64) -> Option<f64> {
        match self {
            Self::Add => Some(left + right),
            Self::Subtract => Some(left - right),
            Self::Multiply => Some(left * right),
            Self::Divide => (right != 0.0).then(|| left / right),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Minimum,
    Maximum,
    Absolute,
    /// The first part that is known.
    FirstKnown,
}

impl Function {
    const fn word(self) -> &'static str {
        match self {
            Self::Minimum => "min",
            Self::Maximum => "max",
            Self::Absolute => "abs",
            Self::FirstKnown => "first_known",
        }
    }
}

/// What an expression may name: canonical signals and those that a mapping declares.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct KnownSignals(BTreeMap<Name, KnownSignal>);

/// What an expression must know of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSignal {
    /// Its canonical unit.
    pub unit: Unit,
    /// Whether a low value is the dangerous one.
    pub lower_is_worse: bool,
}

impl KnownSignals {
    /// All canonical signals.
    pub fn canonical() -> Self {
        let known = |signal: &Signal| {
            (signal.name.into(), KnownSignal { unit: signal.unit, lower_is_worse: signal.lower_is_worse })
        };
        Self(SIGNALS.iter().map(known).collect())
    }

    /// Adds a signal.
    pub fn declare(&mut self, name: impl Into<Name>, unit: Unit, lower_is_worse: bool) {
        self.0.insert(name.into(), KnownSignal { unit, lower_is_worse });
    }

    /// What is known of a signal.
    pub fn get(&self, name: &str) -> Option<&KnownSignal> {
        self.0.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

/// Why a text is no expression, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at column {column} of {text:?})")]
pub struct ExpressionError {
    /// The whole text.
    pub text: String,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Expression {
    /// Reads an expression such as `coolant_return_temperature - coolant_supply_temperature` or
    /// `max(worst(gpu_temperature), 35 Cel)`.
    ///
    /// # Errors
    /// Names the place in the text; for an unknown name also the nearest known one.
    pub fn parse(text: &str, known: &KnownSignals) -> Result<Self, ExpressionError> {
        Parser::new(text, known).expression()
    }

    /// The unit of its value.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The same expression with its value in another unit of the same kind.
    ///
    /// # Errors
    /// When the two measure different things, or one is a temperature and the other a difference of temperatures.
    pub fn in_unit(mut self, unit: Unit) -> Result<Self, UnitMismatch> {
        self.root = parser::converted(self.root, self.unit, unit)?;
        self.unit = unit;
        Ok(self)
    }

    /// The signals it reads, each once, in the order of their first appearance.
    pub fn operands(&self) -> &[Operand] {
        &self.operands
    }

    /// Whether it can ever be known at a place where the signals of those operands exist for which `exists` is true:
    /// all of them must, or for `first_known` those of one of its parts.
    pub fn is_measured(&self, exists: impl Fn(usize) -> bool) -> bool {
        is_measured(&self.root, &exists)
    }

    /// Its value where operand `n` has the value `operand(n)`; `None` is unknown. Any operand unknown, a division by
    /// zero or a result that is not finite: unknown. `first_known` is unknown when all its parts are.
    pub fn evaluate(&self, mut operand: impl FnMut(usize) -> Option<f64>) -> Option<f64> {
        evaluate(&self.root, &mut operand).filter(|value| value.is_finite())
    }

    /// The operand, when the expression is nothing but one.
    pub fn as_operand(&self) -> Option<&Operand> {
        match self.root {
            Term::Operand(index) => self.operands.get(index),
            Term::Number(..) | Term::Converted(..) | Term::Negative(_) | Term::Two(..) | Term::Call(..) => {
                None
            }
        }
    }
}

fn is_measured(term: &Term, exists: &impl Fn(usize) -> bool) -> bool {
    match term {
        Term::Number(..) => true,
        Term::Operand(index) => exists(*index),
        Term::Converted(_, term) | Term::Negative(term) => is_measured(term, exists),
        Term::Two(_, left, right) => is_measured(left, exists) && is_measured(right, exists),
        Term::Call(Function::FirstKnown, terms) => terms.iter().any(|term| is_measured(term, exists)),
        Term::Call(Function::Minimum | Function::Maximum | Function::Absolute, terms) => {
            terms.iter().all(|term| is_measured(term, exists))
        }
    }
}

fn evaluate(term: &Term, operand: &mut impl FnMut(usize) -> Option<f64>) -> Option<f64> {
    match term {
        Term::Number(value, _) => Some(*value),
        Term::Operand(index) => operand(*index),
        Term::Converted(conversion, term) => evaluate(term, operand).map(|value| conversion.apply(value)),
        Term::Negative(term) => evaluate(term, operand).map(|value| -value),
        Term::Two(operator, left, right) => {
            operator.apply(evaluate(left, operand)?, evaluate(right, operand)?)
        }
        Term::Call(function, terms) => {
            let mut values = terms.iter().map(|term| evaluate(term, operand));
            match function {
                Function::Absolute => values.next()?.map(f64::abs),
                Function::FirstKnown => values.find_map(|value| value),
                Function::Minimum => values.try_fold(f64::INFINITY, |least, value| Some(least.min(value?))),
                Function::Maximum => values.try_fold(f64::NEG_INFINITY, |most, value| Some(most.max(value?))),
            }
        }
    }
}

impl fmt::Display for Expression {
    /// The shortest text that reads back as the same expression; `worst` and `best` as what they mean.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(&self.root, 0, f)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Expression {
    /// Prints `term` inside something that binds as strongly as `outside`.
    fn print(&self, term: &Term, outside: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match term {
            Term::Number(value, None) => write!(f, "{value}"),
            Term::Number(value, Some(unit)) => write!(f, "{value} {unit}"),
            Term::Operand(index) => {
                let operand = &self.operands[*index];
                match operand.reduction.word() {
                    None => f.write_str(&operand.signal),
                    Some(word) => write!(f, "{word}({})", operand.signal),
                }
            }
            Term::Converted(_, term) => self.print(term, outside, f),
            Term::Negative(term) => {
                f.write_str("-")?;
                self.print(term, 3, f)
            }
            Term::Two(operator, left, right) => {
                let binds = operator.binds();
                let brackets = binds < outside;
                f.write_str(if brackets { "(" } else { "" })?;
                self.print(left, binds, f)?;
                write!(f, " {} ", operator.sign())?;
                self.print(right, binds + 1, f)?;
                f.write_str(if brackets { ")" } else { "" })
            }
            Term::Call(function, terms) => {
                write!(f, "{}(", function.word())?;
                for (index, term) in terms.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    self.print(term, 0, f)?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests;
