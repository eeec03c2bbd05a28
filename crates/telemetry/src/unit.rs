//! Units: UCUM symbols and the spellings that sources use for them, exact conversions, and the algebra of
//! dimensions that expressions are checked with.
//!
//! Two rules decide everything here. A conversion is exact or refused. A temperature is not a difference of
//! temperatures: `Cel` and `degF` are points on a scale, `K` is a difference (an absolute temperature in kelvin
//! occurs only at a source, and only there is it read as a point).

mod conversion; // from one unit to another
mod table; // every unit and its spellings

use std::fmt;

use conversion::reduced;
use table::{Spelled, UNITS};

pub use conversion::{Conversion, conversion};

/// Powers of the base quantities: metre, kilogram, second, kelvin, ampere, revolution, byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dimension([i8; 7]);

impl Dimension {
    /// A number without a dimension.
    pub const NONE: Self = Self([0; 7]);
    const TEMPERATURE: Self = Self([0, 0, 0, 1, 0, 0, 0]);
    const BASES: [&'static str; 7] = ["m", "kg", "s", "K", "A", "rev", "By"];

    const fn combine(self, other: Self, sign: i8) -> Self {
        let (Self(mut powers), Self(others)) = (self, other);
        let mut base = 0;
        while base < powers.len() {
            powers[base] += sign * others[base];
            base += 1;
        }
        Self(powers)
    }
}

/// What kind of number a unit goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// Zero means none: flow, power, a difference of temperatures.
    Amount,
    /// Zero is a convention: a temperature in °C. Two of them can be subtracted, never added or multiplied.
    Point,
    /// A state code or a bit mask: compared, never calculated with.
    Code,
}

/// A unit: its UCUM symbol, dimension, and exact relation to the base units.
///
/// A reading `x` is `(x + before) * multiply / divide` in base units (degrees Celsius for points).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    symbol: &'static str,
    dimension: Dimension,
    scale: Scale,
    before: f64,
    multiply: f64,
    divide: f64,
}

/// Two units whose readings cannot stand for each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reading in {from:?} cannot be told in {to:?}: {why}")]
pub struct UnitMismatch {
    /// The unit at hand.
    pub from: String,
    /// The unit wanted.
    pub to: String,
    /// What keeps them apart.
    pub why: &'static str,
}

impl Unit {
    /// The UCUM symbol, as tables and documents show it; empty for codes and for products of units.
    pub const fn symbol(self) -> &'static str {
        self.symbol
    }

    /// Powers of the base quantities.
    pub const fn dimension(self) -> Dimension {
        self.dimension
    }

    /// What kind of number it goes with.
    pub const fn scale(self) -> Scale {
        self.scale
    }

    /// What people read: `°C` for `Cel`, else the symbol.
    pub fn for_people(self) -> String {
        match self.symbol {
            "Cel" => "°C".to_owned(),
            "degF" => "°F".to_owned(),
            "uS/cm" => "µS/cm".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Reads a unit in any known spelling, or a product or quotient of units (`K/h`, `MJ/(m3.K)`, `K.L/min`).
    ///
    /// `None` when it is unknown, and for an empty text: a source that names no unit has not said "a code".
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::spelled(text).or_else(|| Self::parse_product(text))
    }

    fn spelled(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let matches = |Spelled(unit, spellings): &&Spelled| unit.symbol == text || spellings.contains(&text);
        let listed = UNITS.iter().find(matches).map(|Spelled(unit, _)| *unit);
        // UCUM's annotations (`{gpu}`, `{request}`) say what is counted and stand for a plain number.
        listed.or_else(|| (text.starts_with('{') && text.ends_with('}')).then_some(Self::ONE))
    }

    /// `a.b/c/(d.e)`: factors from left to right; a point (`Cel/h`) counts as the difference it is a step of.
    fn parse_product(text: &str) -> Option<Self> {
        let mut product: Option<Self> = None;
        let (mut rest, mut divides) = (text, false);
        loop {
            let end = match rest.strip_prefix('(') {
                Some(inner) => inner.find(')')? + 2,
                None => rest.find(['.', '*', '/']).unwrap_or(rest.len()),
            };
            let (factor, tail) = rest.split_at(end);
            let inner = factor.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
            let factor = match inner {
                Some(inner) => Self::parse(inner)?,
                None => Self::spelled(factor)?,
            }
            .as_difference();
            product = Some(match product {
                None => factor,
                Some(product) if divides => product.divided_by(factor).ok()?,
                Some(product) => product.times(factor).ok()?,
            });
            match tail.chars().next() {
                None => return product,
                Some(sign) if sign == '/' || sign == '.' || sign == '*' => {
                    divides = sign == '/';
                    rest = &tail[1..];
                }
                Some(_) => return None,
            }
        }
    }

    /// The known spelling that is most like `text`, for messages.
    pub fn nearest(text: &str) -> Option<&'static str> {
        let known =
            UNITS.iter().flat_map(|Spelled(unit, spellings)| spellings.iter().copied().chain([unit.symbol]));
        crate::document::nearest(text, known)
    }

    /// The unit of a difference of two readings in this unit: `K` for `Cel`, a step of one degree for `degF`.
    pub fn as_difference(self) -> Self {
        match self.scale {
            Scale::Point if self == Self::CELSIUS => Self::KELVIN,
            Scale::Point => Self { symbol: "", scale: Scale::Amount, before: 0.0, ..self },
            Scale::Amount | Scale::Code => self,
        }
    }

    /// The unit of `self + other`: point + difference, difference + point, or two amounts of one dimension.
    ///
    /// # Errors
    /// Two temperatures cannot be added; dimensions must be equal; codes are not calculated with. The second
    /// operand must be brought to the first one's factor by [`Unit::operand_factor`].
    pub fn plus(self, other: Self) -> Result<Self, UnitMismatch> {
        self.same_dimension(other)?;
        match (self.scale, other.scale) {
            (Scale::Point, Scale::Point) => {
                Err(self.apart(other, "two temperatures are not added; subtract them, or add K"))
            }
            (Scale::Amount, Scale::Point) => Ok(other),
            (Scale::Point | Scale::Amount, Scale::Amount) => Ok(self),
            (Scale::Code, _) | (_, Scale::Code) => Err(self.apart(other, CODES)),
        }
    }

    /// The unit of `self - other`: point − point is a difference, point − difference a point.
    ///
    /// # Errors
    /// As [`Unit::plus`]; a temperature cannot be taken from a difference.
    pub fn minus(self, other: Self) -> Result<Self, UnitMismatch> {
        self.same_dimension(other)?;
        match (self.scale, other.scale) {
            (Scale::Point, Scale::Point) => Ok(self.as_difference()),
            (Scale::Amount, Scale::Point) => {
                Err(self.apart(other, "a temperature cannot be taken from a difference"))
            }
            (Scale::Point | Scale::Amount, Scale::Amount) => Ok(self),
            (Scale::Code, _) | (_, Scale::Code) => Err(self.apart(other, CODES)),
        }
    }

    /// The unit of `self * other`. A plain number leaves the unit as it is.
    ///
    /// # Errors
    /// A temperature cannot be multiplied (twice 20 °C is not 40 °C in any useful sense), nor can a code.
    pub fn times(self, other: Self) -> Result<Self, UnitMismatch> {
        self.product(other, 1)
    }

    /// The unit of `self / other`.
    ///
    /// # Errors
    /// As [`Unit::times`].
    pub fn divided_by(self, other: Self) -> Result<Self, UnitMismatch> {
        self.product(other, -1)
    }

    fn product(self, other: Self, sign: i8) -> Result<Self, UnitMismatch> {
        for unit in [self, other] {
            match unit.scale {
                Scale::Amount => {}
                Scale::Point => {
                    return Err(
                        self.apart(other, "a temperature is not multiplied or divided; a difference in K is")
                    );
                }
                Scale::Code => return Err(self.apart(other, CODES)),
            }
        }
        if other == Self::ONE {
            return Ok(self);
        }
        if self == Self::ONE && sign > 0 {
            return Ok(other);
        }
        let (multiply, divide) =
            if sign > 0 { (other.multiply, other.divide) } else { (other.divide, other.multiply) };
        let (multiply, divide) = reduced([self.multiply, multiply], [self.divide, divide]);
        let product = Self {
            symbol: "",
            dimension: self.dimension.combine(other.dimension, sign),
            multiply,
            divide,
            ..Self::ONE
        };
        Ok(product.with_symbol())
    }

    /// Gives a product the symbol of the unit in the table that it equals, if there is one (`K.L/L` is `K`).
    fn with_symbol(self) -> Self {
        let equal = |Spelled(unit, _): &&Spelled| Self { symbol: "", ..*unit } == self;
        UNITS.iter().find(equal).map_or(self, |Spelled(unit, _)| *unit)
    }

    /// By what a second operand in `other` has to be multiplied and divided before it is added to, subtracted
    /// from or compared with a first one in this unit: `(multiply, divide)`.
    ///
    /// For a point as `other` the operand is brought to this unit by [`conversion`] instead.
    ///
    /// # Errors
    /// When the dimensions differ.
    pub fn operand_factor(self, other: Self) -> Result<(f64, f64), UnitMismatch> {
        self.same_dimension(other)?;
        Ok(reduced([other.multiply, self.divide], [other.divide, self.multiply]))
    }

    fn same_dimension(self, other: Self) -> Result<(), UnitMismatch> {
        if self.dimension == other.dimension { Ok(()) } else { Err(self.apart(other, DIMENSIONS)) }
    }

    fn apart(self, other: Self, why: &'static str) -> UnitMismatch {
        UnitMismatch { from: self.to_string(), to: other.to_string(), why }
    }
}

const CODES: &str = "a state code or bit mask is compared, not calculated with";
const DIMENSIONS: &str = "they measure different things";

impl fmt::Display for Unit {
    /// The symbol; for a product without one its base units and factor, for a code `code`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == Scale::Code {
            return f.write_str("code");
        }
        if !self.symbol.is_empty() {
            return f.write_str(self.symbol);
        }
        if self.multiply != self.divide {
            write!(f, "{}.", self.multiply / self.divide)?;
        }
        let powers = Dimension::BASES.iter().zip(self.dimension.0).filter(|(_, power)| *power != 0);
        for (index, (base, power)) in powers.enumerate() {
            let dot = if index > 0 { "." } else { "" };
            if power == 1 { write!(f, "{dot}{base}")? } else { write!(f, "{dot}{base}{power}")? }
        }
        Ok(())
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(text: &str) -> Unit {
        Unit::parse(text).unwrap_or_else(|| panic!("{text} is a unit"))
    }

    fn told(value: f64, from: &str, to: &str) -> f64 {
        conversion(unit(from), unit(to)).unwrap().apply(value)
    }

    #[test]
    fn common_readings_are_told_exactly() {
        for (value, from, to, expected) in [
            (110_000.0, "W", "kW", 110.0),
            (2.1, "bar", "kPa", 210.0),
            (0.8, "ratio", "%", 80.0),
            (32.0, "degF", "Cel", 0.0),
            (212.0, "°F", "Cel", 100.0),
            (305.15, "K", "Cel", 32.0),
            (20.0, "Cel", "K", 20.0),
            (18.0, "degF", "K", 10.0),
            (1.0, "gpm", "L/min", 3.785411784),
            (1.0, "psi", "kPa", 6.894757293168),
            (2_500_000_000.0, "ns", "s", 2.5),
            (1_980.0, "MHz", "GHz", 1.98),
            (3.0, "1", "code", 3.0),
            (60.0, "L/s", "L/min", 3_600.0),
            (36.0, "m3/h", "L/min", 600.0),
        ] {
            assert_eq!(told(value, from, to), expected, "{value} {from} in {to}");
        }
    }

    #[test]
    fn what_measures_another_thing_is_refused() {
        for (from, to) in
            [("rpm", "%"), ("Hz", "rpm"), ("kW", "K"), ("L/min", "kPa"), ("%", "code"), ("code", "kW")]
        {
            assert!(conversion(unit(from), unit(to)).is_err(), "{from} in {to}");
        }
        assert_eq!(
            conversion(unit("rpm"), unit("%")).unwrap_err().to_string(),
            "a reading in \"rpm\" cannot be told in \"%\": they measure different things"
        );
    }

    #[test]
    fn a_difference_of_temperatures_is_not_a_temperature() {
        let (celsius, kelvin) = (Unit::CELSIUS, Unit::KELVIN);
        assert_eq!(celsius.minus(celsius), Ok(kelvin));
        assert_eq!(celsius.plus(kelvin), Ok(celsius));
        assert_eq!(celsius.minus(kelvin), Ok(celsius));
        assert_eq!(kelvin.plus(celsius), Ok(celsius));
        assert!(celsius.plus(celsius).is_err() && kelvin.minus(celsius).is_err());
        assert!(celsius.times(Unit::ONE).is_err());
    }

    #[test]
    fn products_of_units_keep_their_factor() {
        let heat = unit("MJ/(m3.K)").times(Unit::LITRES_PER_MINUTE).unwrap().times(Unit::KELVIN).unwrap();
        assert_eq!(heat.dimension(), Unit::KILOWATTS.dimension());
        assert!((conversion(heat, Unit::KILOWATTS).unwrap().apply(3.98) - 3.98 / 60.0).abs() < 1e-15);
        assert_eq!(Unit::KILOWATTS.divided_by(Unit::KILOWATTS), Ok(Unit::ONE));
        assert_eq!(unit("Cel/h"), unit("K/h"));
        assert_eq!(told(1.0, "K/min", "K/h"), 60.0);
        assert_eq!(unit("{gpu}/h"), unit("1/h"));
        assert_eq!(unit("W/K").times(Unit::KELVIN), Ok(Unit::WATTS));
    }

    #[test]
    fn every_spelling_is_told_apart() {
        let mut seen = std::collections::BTreeMap::new();
        for Spelled(unit, spellings) in UNITS {
            for spelling in spellings.iter().chain([&unit.symbol]) {
                assert_eq!(seen.insert(*spelling, unit.symbol), None, "{spelling:?} stands for two units");
            }
        }
    }

    #[test]
    fn a_scaled_integer_is_told_exactly() {
        let tenths = conversion(Unit::CELSIUS, Unit::CELSIUS).unwrap().of_scaled(0.1, 0.0);
        assert_eq!(tenths.apply(325.0), 32.5);
        let fahrenheit = conversion(unit("degF"), Unit::CELSIUS).unwrap().of_scaled(0.1, 0.0);
        assert_eq!(fahrenheit.apply(2_120.0), 100.0);
        let four_to_twenty =
            conversion(Unit::KILOPASCALS, Unit::KILOPASCALS).unwrap().of_scaled(62.5, -250.0);
        assert_eq!((four_to_twenty.apply(4.0), four_to_twenty.apply(20.0)), (0.0, 1_000.0));
    }

    proptest! {
        /// There and back is the same reading, to the last few bits. Not from a point to a difference: the zero
        /// of its scale is lost on the way.
        #[test]
        fn a_conversion_can_be_undone(from in 0..UNITS.len(), to in 0..UNITS.len(), value in -1e6f64..1e6) {
            let (from, to) = (UNITS[from].0, UNITS[to].0);
            prop_assume!(from.scale == to.scale);
            if let (Ok(there), Ok(back)) = (conversion(from, to), conversion(to, from)) {
                let returned = back.apply(there.apply(value));
                let scale = value.abs().max(if from.scale == Scale::Point || to.scale == Scale::Point { 600.0 } else { 0.0 });
                prop_assert!((returned - value).abs() <= 1e-12 * scale.max(f64::MIN_POSITIVE), "{value} {from} {to} {returned}");
            }
        }

        /// A bigger reading stays the bigger one.
        #[test]
        fn a_conversion_keeps_the_order(from in 0..UNITS.len(), to in 0..UNITS.len(), one in -1e6f64..1e6, other in -1e6f64..1e6) {
            if let Ok(conversion) = conversion(UNITS[from].0, UNITS[to].0) {
                prop_assert_eq!(one <= other, conversion.apply(one) <= conversion.apply(other) && one <= other);
            }
        }
    }
}
