//! Conversions: exact, or refused.

use super::{CODES, Scale, Unit, UnitMismatch};

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
pub(super) fn reduced(mut above: [f64; 2], mut below: [f64; 2]) -> (f64, f64) {
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
