//! Every unit that can be read, and how sources spell it.

use super::{Dimension, Scale, Unit};

/// A row of the table of units: the unit and every other spelling that a source may use.
pub(super) struct Spelled(pub(super) Unit, pub(super) &'static [&'static str]);

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
pub(super) const UNITS: &[Spelled] = &[
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
