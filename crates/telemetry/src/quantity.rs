//! Quantities whose unit is their type: a plain number stops at the edge of a formula.

use std::fmt;
use std::ops::{Add, Sub};

/// A number that is no reading of its quantity.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} {symbol} is implausible: a working sensor reports {lowest} to {highest} {symbol}")]
pub struct ImplausibleReading {
    /// The number.
    pub value: f64,
    /// Its unit, for people.
    pub symbol: &'static str,
    /// The lowest plausible reading.
    pub lowest: f64,
    /// The highest plausible reading.
    pub highest: f64,
}

/// Declares a quantity: its symbol and the span a working sensor can report.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $symbol:literal, $lowest:literal..=$highest:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// Accepts a reading in this unit.
            ///
            /// # Errors
            /// [`ImplausibleReading`] for NaN, and outside what a working sensor reports.
            pub fn new(value: f64) -> Result<Self, ImplausibleReading> {
                if ($lowest..=$highest).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(ImplausibleReading { value, symbol: $symbol, lowest: $lowest, highest: $highest })
                }
            }

            /// The number, in this type's unit.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $symbol)
            }
        }
    };
}

quantity! {
    /// A temperature of coolant, component or air.
    Celsius, "°C", -80.0..=150.0
}
quantity! {
    /// A difference of two temperatures. 10 K is a rise; 10 °C is a cold day.
    KelvinRise, "K", -230.0..=230.0
}
quantity! {
    /// Volumetric flow of coolant.
    LitresPerMinute, "L/min", 0.0..=10_000.0
}
quantity! {
    /// Gauge pressure, or a difference of pressures.
    Kilopascals, "kPa", -100.0..=2_500.0
}
quantity! {
    /// Power or heat flow; negative when heat flows the wrong way.
    Kilowatts, "kW", -2_000.0..=2_000.0
}
quantity! {
    /// A share in per cent; effort may pass 100.
    Percent, "%", 0.0..=120.0
}

impl Celsius {
    /// From degrees Fahrenheit.
    ///
    /// # Errors
    /// [`ImplausibleReading`], as [`Celsius::new`].
    pub fn from_fahrenheit(reading: f64) -> Result<Self, ImplausibleReading> {
        Self::new((reading - 32.0) * 5.0 / 9.0)
    }
}

impl Sub for Celsius {
    type Output = KelvinRise;

    fn sub(self, colder: Self) -> KelvinRise {
        KelvinRise(self.0 - colder.0)
    }
}

impl Sub<KelvinRise> for Celsius {
    type Output = f64;

    /// Degrees Celsius, as a plain number: it may leave the span of a reading.
    fn sub(self, rise: KelvinRise) -> f64 {
        self.0 - rise.0
    }
}

impl Add<KelvinRise> for Celsius {
    type Output = f64;

    /// Degrees Celsius, as a plain number: it may leave the span of a reading.
    fn add(self, rise: KelvinRise) -> f64 {
        self.0 + rise.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_reading_says_what_would_do() {
        assert_eq!(
            LitresPerMinute::new(-3.0).unwrap_err().to_string(),
            "-3 L/min is implausible: a working sensor reports 0 to 10000 L/min"
        );
        assert!(Celsius::new(f64::NAN).is_err());
        assert_eq!(Celsius::from_fahrenheit(95.0).unwrap().get(), 35.0);
    }

    #[test]
    fn two_temperatures_differ_by_a_rise() {
        let rise = Celsius::new(45.3).unwrap() - Celsius::new(35.0).unwrap();
        assert!((rise.get() - 10.3).abs() < 1e-12);
    }
}
