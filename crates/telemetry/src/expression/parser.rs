//! Reads the text of an expression: one function a level of the grammar.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = factor  { ("*" | "/") factor }
//! factor  = "-" factor | number [unit] | "(" sum ")" | signal
//!         | ("min" | "max" | "abs" | "first_known") "(" sum { "," sum } ")"
//!         | ("worst" | "best" | "highest" | "lowest" | "median" | "mean") "(" signal ")"
//! ```

use super::*;
use crate::unit::Scale;

/// A part of an expression and its unit.
type Typed = (Term, Unit);

/// Words that are called, so no signal can be named by them.
const FUNCTIONS: [&str; 10] =
    ["min", "max", "abs", "first_known", "worst", "best", "highest", "lowest", "median", "mean"];

pub(super) struct Parser<'a> {
    text: &'a str,
    known: &'a KnownSignals,
    /// Position in bytes.
    at: usize,
    depth: usize,
    operands: Vec<Operand>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, known: &'a KnownSignals) -> Self {
        Self { text, known, at: 0, depth: 0, operands: Vec::new() }
    }

    /// All of the text.
    pub(super) fn expression(mut self) -> Result<Expression, ExpressionError> {
        if self.text.len() > EXPRESSION_BYTES_MAX {
            let message = format!(
                "{} bytes are too long for an expression: at most {EXPRESSION_BYTES_MAX}",
                self.text.len()
            );
            return Err(ExpressionError { text: self.text.chars().take(40).collect(), column: 1, message });
        }
        let (root, unit) = self.sum()?;
        match self.peek() {
            None => {}
            Some(other) => {
                return self
                    .refuse(self.at, format!("expected an operator (+ - * /) or the end, found {other:?}"));
            }
        }
        if self.operands.is_empty() {
            return self.refuse(0, "names no signal: there is nothing to measure");
        }
        Ok(Expression { root, unit, operands: self.operands })
    }

    fn sum(&mut self) -> Result<Typed, ExpressionError> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return self.refuse(self.at, format!("is nested more than {EXPRESSION_DEPTH_MAX} deep"));
        }
        let mut left = self.product()?;
        while let Some((at, operator)) = self.operator(&[('+', Operator::Add), ('-', Operator::Subtract)]) {
            let right = self.product()?;
            left = self.checked(at, combined(operator, left, right))?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Typed, ExpressionError> {
        let mut left = self.factor()?;
        while let Some((at, operator)) = self.operator(&[('*', Operator::Multiply), ('/', Operator::Divide)])
        {
            let right = self.factor()?;
            left = self.checked(at, combined(operator, left, right))?;
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Typed, ExpressionError> {
        match self.peek() {
            Some('-') => {
                self.at += 1;
                self.depth += 1;
                if self.depth > EXPRESSION_DEPTH_MAX {
                    return self.refuse(self.at, format!("is nested more than {EXPRESSION_DEPTH_MAX} deep"));
                }
                let (term, unit) = self.factor()?;
                self.depth -= 1;
                match unit.scale() {
                    Scale::Amount => Ok((Term::Negative(Box::new(term)), unit)),
                    Scale::Point | Scale::Code => {
                        self.refuse(self.at, format!("a value in {unit} has no opposite: only amounts have"))
                    }
                }
            }
            Some('(') => {
                self.at += 1;
                let term = self.sum()?;
                self.expect(')')?;
                Ok(term)
            }
            Some(digit) if digit.is_ascii_digit() || digit == '.' => self.number(),
            Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => self.name_or_call(),
            Some(other) => {
                self.refuse(self.at, format!("expected a signal, a number or a bracket, found {other:?}"))
            }
            None => self.refuse(self.at, "expected a signal, a number or a bracket, found the end"),
        }
    }

    fn number(&mut self) -> Result<Typed, ExpressionError> {
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                let (name, unit) = self.unit().map_or((None, Unit::ONE), |(name, unit)| (Some(name), unit));
                Ok((Term::Number(value, name), unit))
            }
            Ok(_) | Err(_) => self.refuse(start, format!("{digits:?} is not a number")),
        }
    }

    /// The longest known unit that follows; `30 L/min` is one, `10 K/coolant_flow` is `K` and a division.
    fn unit(&mut self) -> Option<(Name, Unit)> {
        let blanks = self.rest().len() - self.rest().trim_start().len();
        let from = self.at + blanks;
        let word = |c: char| c.is_ascii_alphanumeric() || "%°µ_/.".contains(c);
        let length = self.text[from..].find(|c| !word(c)).unwrap_or(self.text.len() - from);
        let candidate = &self.text[from..from + length];
        let ends = candidate.char_indices().map(|(at, _)| at).chain([candidate.len()]).skip(1);
        let units = ends.filter(|end| is_whole_word(candidate, *end));
        let (end, unit) = units.filter_map(|end| Some((end, Unit::parse(&candidate[..end])?))).last()?;
        self.at = from + end;
        Some((candidate[..end].into(), unit))
    }

    fn name_or_call(&mut self) -> Result<Typed, ExpressionError> {
        let start = self.at;
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || "_:.".contains(c));
        if self.peek() != Some('(') {
            return self.operand(start, word, |_| Reduction::Own);
        }
        self.at += 1;
        let term = match word {
            "min" => self.call(Function::Minimum)?,
            "max" => self.call(Function::Maximum)?,
            "abs" => self.call(Function::Absolute)?,
            "first_known" => self.call(Function::FirstKnown)?,
            "highest" => self.reduced(word, |_| Reduction::Highest)?,
            "lowest" => self.reduced(word, |_| Reduction::Lowest)?,
            "worst" => {
                self.reduced(word, |s| if s.lower_is_worse { Reduction::Lowest } else { Reduction::Highest })?
            }
            "best" => {
                self.reduced(word, |s| if s.lower_is_worse { Reduction::Highest } else { Reduction::Lowest })?
            }
            "median" => self.reduced(word, |_| Reduction::Median)?,
            "mean" => self.reduced(word, |_| Reduction::Mean)?,
            other => {
                let near = nearest(other, FUNCTIONS.into_iter())
                    .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                return self.refuse(
                    start,
                    format!("{other:?} is not a function, expected one of {}{near}", FUNCTIONS.join(", ")),
                );
            }
        };
        self.expect(')')?;
        Ok(term)
    }

    fn call(&mut self, function: Function) -> Result<Typed, ExpressionError> {
        let (first, unit) = self.sum()?;
        let mut terms = vec![first];
        while self.peek() == Some(',') {
            if function == Function::Absolute {
                return self.refuse(self.at, "abs takes one value");
            }
            self.at += 1;
            let at = self.at;
            let (term, other) = self.sum()?;
            terms.push(self.checked(at, converted(term, other, unit))?);
        }
        Ok((Term::Call(function, terms), unit))
    }

    fn reduced(
        &mut self,
        word: &str,
        reduction: fn(&KnownSignal) -> Reduction,
    ) -> Result<Typed, ExpressionError> {
        self.peek();
        let start = self.at;
        let signal = self.take_while(|c| c.is_ascii_alphanumeric() || "_:.".contains(c));
        if signal.is_empty() || self.peek() != Some(')') {
            return self.refuse(start, format!("{word} takes one signal, such as {word}(gpu_temperature)"));
        }
        self.operand(start, signal, reduction)
    }

    fn operand(
        &mut self,
        start: usize,
        signal: &str,
        reduction: fn(&KnownSignal) -> Reduction,
    ) -> Result<Typed, ExpressionError> {
        let Some(known) = self.known.get(signal) else {
            let near = match nearest(signal, self.known.names()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "declare it under `signals` in a mapping".to_owned(),
            };
            return self.refuse(
                start,
                format!("{signal:?} is neither a canonical signal nor declared by a mapping; {near}"),
            );
        };
        let unit = known.unit;
        let operand = Operand { signal: signal.into(), reduction: reduction(known) };
        let index = self.operands.iter().position(|known| *known == operand).unwrap_or_else(|| {
            self.operands.push(operand);
            self.operands.len() - 1
        });
        Ok((Term::Operand(index), unit))
    }

    fn operator(&mut self, signs: &[(char, Operator)]) -> Option<(usize, Operator)> {
        let found = self.peek()?;
        let (_, operator) = signs.iter().find(|(sign, _)| *sign == found)?;
        self.at += 1;
        Some((self.at - 1, *operator))
    }

    fn expect(&mut self, sign: char) -> Result<(), ExpressionError> {
        match self.peek() {
            Some(found) if found == sign => {
                self.at += 1;
                Ok(())
            }
            Some(found) => self.refuse(self.at, format!("expected {sign:?}, found {found:?}")),
            None => self.refuse(self.at, format!("expected {sign:?}, found the end")),
        }
    }

    /// The next character that is no blank; moves to it.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn checked<T>(&self, at: usize, result: Result<T, UnitMismatch>) -> Result<T, ExpressionError> {
        result.or_else(|mismatch| self.refuse(at, mismatch.to_string()))
    }

    fn refuse<T>(&self, at: usize, message: impl Into<String>) -> Result<T, ExpressionError> {
        let column = self.text[..at].chars().count() + 1;
        Err(ExpressionError { text: self.text.to_owned(), column, message: message.into() })
    }
}

/// Whether cutting `text` at `end` cuts no word in two.
fn is_whole_word(text: &str, end: usize) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !(text[..end].ends_with(word) && text[end..].starts_with(word))
}

/// Two parts joined, with the units that must fit each other; the one that is told in another unit is converted.
fn combined(operator: Operator, left: Typed, right: Typed) -> Result<Typed, UnitMismatch> {
    let ((mut left, one), (mut right, other)) = (left, right);
    let unit = match operator {
        Operator::Multiply => one.times(other)?,
        Operator::Divide => one.divided_by(other)?,
        Operator::Add | Operator::Subtract => {
            let unit = if operator == Operator::Add { one.plus(other)? } else { one.minus(other)? };
            match (one.scale(), other.scale()) {
                (Scale::Point, Scale::Amount) => right = converted(right, other, one.as_difference())?,
                (Scale::Amount, Scale::Point) => left = converted(left, one, other.as_difference())?,
                (Scale::Point, Scale::Point)
                | (Scale::Amount, Scale::Amount)
                | (Scale::Code, _)
                | (_, Scale::Code) => {
                    right = converted(right, other, one)?;
                }
            }
            unit
        }
    };
    Ok((Term::Two(operator, Box::new(left), Box::new(right)), unit))
}

/// A part in `from` as a part in `to`. A temperature never becomes a difference here, nor the other way round.
pub(super) fn converted(term: Term, from: Unit, to: Unit) -> Result<Term, UnitMismatch> {
    let how = conversion(from, to)?;
    if from.scale() != to.scale() {
        let why = "one is a temperature and the other a difference of temperatures";
        return Err(UnitMismatch { from: from.to_string(), to: to.to_string(), why });
    }
    Ok(if how == Conversion::IDENTITY { term } else { Term::Converted(how, Box::new(term)) })
}
