//! Units: UCUM symbols and the spellings that sources use for them, exact conversions, and the algebra of
//! dimensions that expressions are checked with.
//!
//! Two rules decide everything here. A conversion is exact or refused. A temperature is not a difference of
//! temperatures: `Cel` and `degF` are points on a scale, `K` is a difference (an absolute temperature in kelvin
//! occurs only at a source, and only there is it read as a point).

use std::fmt;

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

/// A row of the table of units: the unit and every other spelling that a source may use.
struct Spelled(Unit, &'static [&'static str]);

const fn amount(symbol: &'static str, powers: [i8; 7], multiply: f64, divide: f64) -> Unit {
    Unit { symbol, dimension: Dimension(powers), scale: Scale::Amount, before: 0.0, multiply, divide }
}

const fn point(symbol: &'static str, before: f64, multiply: f64, divide: f64) -> Unit {
    Unit { symbol, dimension: Dimension::TEMPERATURE, scale: Scale::Point, before, multiply, divide }
}

const FLOW: [i8; 7] = [3, 0, -1, 0, 0, 0, 0];
const PRESSURE: [i8; 7] = [-1, 1, -2, 0, 0, 0, 0];
const NUMBER: [i8; 7] = [0; 7];
const POWER: [i8; 7] = [2, 1, -3, 0, 0, 0, 0];
const ENERGY: [i8; 7] = [2, 1, -2, 0, 0, 0, 0];
const TIME: [i8; 7] = [0, 0, 1, 0, 0, 0, 0];
const FREQUENCY: [i8; 7] = [0, 0, -1, 0, 0, 0, 0];
const LENGTH: [i8; 7] = [1, 0, 0, 0, 0, 0, 0];
const VOLUME: [i8; 7] = [3, 0, 0, 0, 0, 0, 0];
const VELOCITY: [i8; 7] = [1, 0, -1, 0, 0, 0, 0];
const CONDUCTIVITY: [i8; 7] = [-3, -1, 3, 0, 2, 0, 0];
const TEMPERATURE: [i8; 7] = [0, 0, 0, 1, 0, 0, 0];
const DATA: [i8; 7] = [0, 0, 0, 0, 0, 0, 1];

impl Unit {
    /// Degrees Celsius: a point on the scale of temperatures.
    pub const CELSIUS: Self = point("Cel", 0.0, 1.0, 1.0);
    /// Kelvin: a difference of temperatures.
    pub const KELVIN: Self = amount("K", TEMPERATURE, 1.0, 1.0);
    /// Litres per minute.
    pub const LITRES_PER_MINUTE: Self = amount("L/min", FLOW, 1.0, 60_000.0);
    /// Kilopascals.
    pub const KILOPASCALS: Self = amount("kPa", PRESSURE, 1_000.0, 1.0);
    /// Per cent.
    pub const PERCENT: Self = amount("%", NUMBER, 1.0, 100.0);
    /// A plain number or a ratio.
    pub const ONE: Self = amount("1", NUMBER, 1.0, 1.0);
    /// Kilowatts.
    pub const KILOWATTS: Self = amount("kW", POWER, 1_000.0, 1.0);
    /// Watts.
    pub const WATTS: Self = amount("W", POWER, 1.0, 1.0);
    /// Seconds.
    pub const SECONDS: Self = amount("s", TIME, 1.0, 1.0);
    /// Milliseconds.
    pub const MILLISECONDS: Self = amount("ms", TIME, 1.0, 1e3);
    /// Nanoseconds.
    pub const NANOSECONDS: Self = amount("ns", TIME, 1.0, 1e9);
    /// Revolutions per minute. Not a frequency here: a pump's speed in rpm and in per cent are two signals.
    pub const RPM: Self = amount("rpm", [0, 0, -1, 0, 0, 1, 0], 1.0, 60.0);
    /// Megahertz.
    pub const MEGAHERTZ: Self = amount("MHz", FREQUENCY, 1e6, 1.0);
    /// Millimetres per second.
    pub const MILLIMETRES_PER_SECOND: Self = amount("mm/s", VELOCITY, 1.0, 1e3);
    /// Microsiemens per centimetre.
    pub const MICROSIEMENS_PER_CENTIMETRE: Self = amount("uS/cm", CONDUCTIVITY, 1.0, 1e4);
    /// State codes and bit masks. The symbol is empty: UCUM has none for them.
    pub const CODE: Self = Self {
        symbol: "",
        dimension: Dimension::NONE,
        scale: Scale::Code,
        before: 0.0,
        multiply: 1.0,
        divide: 1.0,
    };
}

/// Every unit that can be read. Factors are exact by definition: the US gallon 3.785411784 L, the pound-force per
/// square inch 6894.757293168 Pa (NIST SP 811, appendix B), 0 °C = 273.15 K, °F = °C · 9/5 + 32. Written as fractions of whole
/// numbers, which are exact in f64.
const UNITS: &[Spelled] = &[
    Spelled(Unit::CELSIUS, &["C", "°C", "degC", "celsius", "Celsius", "degrees_celsius"]),
    Spelled(point("degF", -32.0, 5.0, 9.0), &["[degF]", "F", "°F", "fahrenheit", "Fahrenheit"]),
    Spelled(Unit::KELVIN, &["kelvin", "Kelvin", "degK", "delC", "deltaC"]),
    Spelled(amount("mK", TEMPERATURE, 1.0, 1e3), &[]),
    Spelled(
        Unit::LITRES_PER_MINUTE,
        &["LPM", "lpm", "l/min", "L/m", "liters_per_minute", "litres_per_minute", "L_per_minute"],
    ),
    Spelled(
        amount("L/s", FLOW, 1.0, 1e3),
        &["l/s", "liters_per_second", "litres_per_second", "L_per_second"],
    ),
    Spelled(
        amount("L/h", FLOW, 1.0, 3_600_000.0),
        &["l/h", "LPH", "lph", "liters_per_hour", "litres_per_hour"],
    ),
    Spelled(amount("m3/h", FLOW, 1.0, 3_600.0), &["m³/h", "CMH", "m3_per_hour", "cubic_meters_per_hour"]),
    Spelled(amount("m3/s", FLOW, 1.0, 1.0), &["m³/s", "cubic_meters_per_second"]),
    Spelled(
        amount("gpm", FLOW, 3_785_411_784.0, 60_000.0 * 1e9),
        &["[gal_us]/min", "GPM", "gal/min", "gallons_per_minute"],
    ),
    Spelled(Unit::KILOPASCALS, &["kpa", "KPA", "kilopascals", "kilopascal"]),
    Spelled(amount("Pa", PRESSURE, 1.0, 1.0), &["pascals", "pascal"]),
    Spelled(amount("MPa", PRESSURE, 1e6, 1.0), &["megapascals"]),
    Spelled(amount("bar", PRESSURE, 100_000.0, 1.0), &["Bar", "bars", "barg", "bar(g)"]),
    Spelled(amount("mbar", PRESSURE, 100.0, 1.0), &["hPa", "millibars"]),
    Spelled(
        amount("psi", PRESSURE, 6_894_757_293_168.0, 1e9),
        &["[psi]", "PSI", "psig", "pounds_per_square_inch"],
    ),
    Spelled(Unit::PERCENT, &["percent", "pct", "Percent", "%RH", "PCT"]),
    Spelled(Unit::ONE, &["ratio", "{ratio}", "count", "{count}", "{error}", "{fault}"]),
    Spelled(amount("{ppm}", NUMBER, 1.0, 1e6), &["ppm", "[ppm]"]),
    Spelled(Unit::WATTS, &["watt", "watts", "Watts"]),
    Spelled(Unit::KILOWATTS, &["KW", "kw", "kilowatts", "kilowatt"]),
    Spelled(amount("MW", POWER, 1e6, 1.0), &["megawatts"]),
    Spelled(amount("mW", POWER, 1.0, 1e3), &["milliwatts"]),
    Spelled(amount("J", ENERGY, 1.0, 1.0), &["joules", "joule"]),
    Spelled(amount("mJ", ENERGY, 1.0, 1e3), &["millijoules"]),
    Spelled(amount("kJ", ENERGY, 1e3, 1.0), &["kilojoules"]),
    Spelled(amount("MJ", ENERGY, 1e6, 1.0), &["megajoules"]),
    Spelled(amount("kWh", ENERGY, 3_600_000.0, 1.0), &["kW.h", "kilowatt_hours"]),
    Spelled(Unit::SECONDS, &["sec", "seconds", "second"]),
    Spelled(Unit::MILLISECONDS, &["milliseconds", "millisecond"]),
    Spelled(amount("us", TIME, 1.0, 1e6), &["µs", "microseconds", "microsecond"]),
    Spelled(Unit::NANOSECONDS, &["nanoseconds", "nanosecond"]),
    Spelled(amount("min", TIME, 60.0, 1.0), &["minutes", "minute"]),
    Spelled(amount("h", TIME, 3_600.0, 1.0), &["hours", "hour", "hr"]),
    Spelled(amount("d", TIME, 86_400.0, 1.0), &["days", "day"]),
    Spelled(Unit::RPM, &["RPM", "{rpm}", "r/min", "revolutions_per_minute"]),
    Spelled(amount("Hz", FREQUENCY, 1.0, 1.0), &["hertz"]),
    Spelled(amount("kHz", FREQUENCY, 1e3, 1.0), &["kilohertz"]),
    Spelled(Unit::MEGAHERTZ, &["megahertz"]),
    Spelled(amount("GHz", FREQUENCY, 1e9, 1.0), &["gigahertz"]),
    Spelled(
        Unit::MILLIMETRES_PER_SECOND,
        &["millimeters_per_second", "millimetres_per_second", "mm_per_second"],
    ),
    Spelled(amount("m/s", VELOCITY, 1.0, 1.0), &["meters_per_second", "metres_per_second"]),
    Spelled(
        Unit::MICROSIEMENS_PER_CENTIMETRE,
        &["µS/cm", "microsiemens_per_centimeter", "microsiemens_per_centimetre", "uS_per_cm"],
    ),
    Spelled(amount("mS/cm", CONDUCTIVITY, 1.0, 10.0), &["millisiemens_per_centimeter"]),
    Spelled(amount("A", [0, 0, 0, 0, 1, 0, 0], 1.0, 1.0), &["amperes", "amps"]),
    Spelled(amount("V", [2, 1, -3, 0, -1, 0, 0], 1.0, 1.0), &["volts"]),
    Spelled(amount("m", LENGTH, 1.0, 1.0), &["meters", "metres"]),
    Spelled(amount("mm", LENGTH, 1.0, 1e3), &["millimeters"]),
    Spelled(amount("L", VOLUME, 1.0, 1e3), &["l", "liters", "litres"]),
    Spelled(amount("m3", VOLUME, 1.0, 1.0), &["m³", "cubic_meters"]),
    Spelled(amount("By", DATA, 1.0, 1.0), &["bytes", "byte", "B"]),
    Spelled(amount("MiBy", DATA, 1_048_576.0, 1.0), &["MiB", "mebibytes"]),
    Spelled(Unit::CODE, &["code", "state", "bitmask"]),
];

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
        UNITS.iter().find(matches).map(|Spelled(unit, _)| *unit)
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

/// How readings in one unit become readings in another: `(raw + before) * multiply / divide + after`.
///
/// Kept as a fraction, so that 110,000 W is 110 kW and 2.1 bar is 210 kPa, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    before: f64,
    multiply: f64,
    divide: f64,
    after: f64,
}

impl Conversion {
    /// Leaves a reading as it is.
    pub const IDENTITY: Self = Self { before: 0.0, multiply: 1.0, divide: 1.0, after: 0.0 };

    /// The reading in the other unit. NaN and infinities stay what they are.
    pub fn apply(&self, raw: f64) -> f64 {
        if *self == Self::IDENTITY {
            return raw;
        }
        (raw + self.before) * self.multiply / self.divide + self.after
    }

    /// The same, for readings that come multiplied by `scale` too large or small: a scaled integer (`Cel x10` has
    /// the scale .1), with `offset` added after scaling, in the source's unit.
    pub fn of_scaled(self, scale: f64, offset: f64) -> Self {
        // (raw*scale + offset + before) * m/d + after = (raw + (offset + before)/scale) * (scale*m)/d + after
        let inverse = 1.0 / scale;
        let whole = inverse == libm::round(inverse) && scale * inverse == 1.0;
        let (multiply, divide) = if whole {
            reduced([self.multiply, 1.0], [self.divide, inverse])
        } else {
            reduced([self.multiply, scale], [self.divide, 1.0])
        };
        let before = if whole { (offset + self.before) * inverse } else { (offset + self.before) / scale };
        Self { before, multiply, divide, after: self.after }
    }
}

/// How readings of a source in `from` become readings of a signal in `to`.
///
/// To a point, `K` means absolute kelvin (305.15 K is 32 °C). To a difference, `Cel`, `degF` and `K` mean steps:
/// a headroom of 20 "°C" is 20 K.
///
/// # Errors
/// [`UnitMismatch`] when the dimensions differ, and between codes and amounts other than plain numbers.
pub fn conversion(from: Unit, to: Unit) -> Result<Conversion, UnitMismatch> {
    from.same_dimension(to)?;
    let (from, to) = match (from.scale, to.scale) {
        (Scale::Point, Scale::Point) | (Scale::Amount, Scale::Amount) | (Scale::Code, Scale::Code) => {
            (from, to)
        }
        (Scale::Amount, Scale::Point) => (Unit { before: -273.15 * from.divide / from.multiply, ..from }, to),
        (Scale::Point, Scale::Amount) => (from.as_difference(), to),
        // A source seldom says "code": a plain number is one, anything else is not.
        (Scale::Amount, Scale::Code) if from == Unit::ONE => (Unit::CODE, to),
        (Scale::Amount | Scale::Point, Scale::Code) | (Scale::Code, Scale::Amount | Scale::Point) => {
            return Err(from.apart(to, CODES));
        }
    };
    let (multiply, divide) = reduced([from.multiply, to.divide], [from.divide, to.multiply]);
    Ok(Conversion { before: from.before, multiply, divide, after: 0.0 - to.before })
}

/// The fraction with equal factors cancelled and a whole quotient carried out, so that no rounding is added.
fn reduced(mut above: [f64; 2], mut below: [f64; 2]) -> (f64, f64) {
    for factor in &mut above {
        if let Some(equal) = below.iter_mut().find(|divisor| **divisor == *factor) {
            (*factor, *equal) = (1.0, 1.0);
        }
    }
    let (multiply, divide) = (above[0] * above[1], below[0] * below[1]);
    if multiply % divide == 0.0 {
        (multiply / divide, 1.0)
    } else if divide % multiply == 0.0 {
        (1.0, divide / multiply)
    } else {
        (multiply, divide)
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
