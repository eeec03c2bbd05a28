//! The physics that detectors, objectives and SQL share, each formula once.
//!
//! All are plain functions of numbers in canonical units, so that a column of a table and a block of the evaluator
//! go through the same lines. Unknown inputs never get here.

use serde::{Deserialize, Serialize};

/// What flows through a loop: it decides how much heat a litre carries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coolant {
    /// Water, 4.15 MJ/(m³·K) at 35-45 °C.
    Water,
    /// 25 % propylene glycol in water, 3.98 MJ/(m³·K): 66.3 W/K for each L/min.
    #[default]
    Pg25,
}

impl Coolant {
    /// All coolants.
    pub const ALL: [Self; 2] = [Self::Water, Self::Pg25];

    /// The word in site files and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Water => "water",
            Self::Pg25 => "pg25",
        }
    }

    /// The coolant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coolant| coolant.name() == name)
    }

    /// Volumetric heat capacity ρ·c, MJ/(m³·K), the same number in kJ/(L·K).
    ///
    /// Water: 4.15, between the 4.149 measured on thirty racks of an AI cluster (P/(V·ΔT)) and the tables' 4.14 to
    /// 4.16 for 35-45 °C. PG25: 3.98, as the makers of such coolants give it.
    pub const fn heat_capacity(self) -> f64 {
        match self {
            Self::Water => 4.15,
            Self::Pg25 => 3.98,
        }
    }
}

/// Heat that a coolant carries away, kW: ρ·c · V/60 · ΔT.
///
/// - `flow`: L/min; `delta_t`: return minus supply, K; `heat_capacity`: MJ/(m³·K), see [`Coolant::heat_capacity`].
/// - Negative when the return is colder than the supply: swapped sensors, or heat flowing in.
///
/// ```
/// use telemetry::formula::{Coolant, heat_kw};
/// let kilowatts = heat_kw(150.0, 10.3, Coolant::Pg25.heat_capacity());
/// assert!((kilowatts - 102.5).abs() < 0.1, "a 120 kW rack gives 85 % of its heat to the coolant");
/// ```
pub fn heat_kw(flow: f64, delta_t: f64, heat_capacity: f64) -> f64 {
    heat_capacity * flow / 60.0 * delta_t
}

/// Rise of the coolant over a rack, K: return minus supply, both °C.
pub fn delta_t(supply: f64, coolant_return: f64) -> f64 {
    coolant_return - supply
}

/// The rise that a power explains, K: what the coolant should show at this flow. `None` without flow.
///
/// - `power`: electrical, kW; `liquid_share`: the part of it that goes into the coolant, 0 to 1 (the rest heats air).
pub fn expected_delta_t(power: f64, liquid_share: f64, flow: f64, heat_capacity: f64) -> Option<f64> {
    (flow > 0.0).then(|| liquid_share * power * 60.0 / (heat_capacity * flow))
}

/// ρ·c that flow, rise and power together imply, MJ/(m³·K): the heat balance as one number that can be compared
/// with the coolant's own. `None` where flow or rise is not positive.
pub fn implied_heat_capacity(power: f64, flow: f64, delta_t: f64) -> Option<f64> {
    (flow > 0.0 && delta_t > 0.0).then(|| power / (flow / 60.0 * delta_t))
}

/// How far the coolant is above the dew point, K; below 2 K pipes may sweat.
pub fn dew_point_margin(coolant_supply: f64, dew_point: f64) -> f64 {
    coolant_supply - dew_point
}

/// Dew point of air, °C, by the Magnus formula.
///
/// - `temperature`: °C; `humidity`: relative, %, above 0.
/// - Constants 17.62 and 243.12 °C: Sonntag 1990, as WMO guide no. 8 gives them; good to .1 K from −45 to 60 °C.
/// - `None` for a humidity of 0 or less.
pub fn dew_point(temperature: f64, humidity: f64) -> Option<f64> {
    const A: f64 = 17.62;
    const B: f64 = 243.12;
    (humidity > 0.0).then(|| {
        let gamma = libm::log(humidity / 100.0) + A * temperature / (B + temperature);
        B * gamma / (A - gamma)
    })
}

/// Headroom of a GPU to where it slows down, K: lower is worse.
pub fn temperature_margin(slowdown: f64, temperature: f64) -> f64 {
    slowdown - temperature
}

/// Temperature difference over a heat exchanger's warm end, K: coolant supply minus facility supply ("approach").
pub fn approach(coolant_supply: f64, facility_supply: f64) -> f64 {
    coolant_supply - facility_supply
}

/// Logarithmic mean of the temperature differences at both ends of an exchanger, K; `None` unless both are positive.
pub fn log_mean_difference(one: f64, other: f64) -> Option<f64> {
    if one <= 0.0 || other <= 0.0 {
        return None;
    }
    // Equal ends make the formula 0/0; their mean is its limit.
    if (one - other).abs() < 1e-6 * (one + other) {
        return Some((one + other) / 2.0);
    }
    Some((one - other) / libm::log(one / other))
}

/// What the conductance of a plate exchanger is proportional to: two films in series, each as the flow of its side to
/// the power .6 (Dittus & Boelter .8, plates less). Both sides of a plate are shaped alike, so that equal flows make
/// equal films; flows in L/min or as shares of a nominal one, of which 1 and 1 give 1.
pub fn film_conductance(coolant_flow: f64, facility_flow: f64) -> f64 {
    const EXPONENT: f64 = 0.6;
    let film = |flow: f64| libm::pow(flow, -EXPONENT);
    2.0 / (film(coolant_flow) + film(facility_flow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_litre_a_minute_of_pg25_carries_66_watts_per_kelvin() {
        assert!((heat_kw(1.0, 1.0, Coolant::Pg25.heat_capacity()) * 1_000.0 - 66.3).abs() < 0.05);
        assert!((heat_kw(1.0, 1.0, Coolant::Water.heat_capacity()) * 1_000.0 - 69.2).abs() < 0.05);
    }

    #[test]
    fn the_expected_rise_carries_the_power_it_was_made_from() {
        let rise = expected_delta_t(120.0, 0.85, 150.0, 3.98).unwrap();
        assert!((heat_kw(150.0, rise, 3.98) - 102.0).abs() < 1e-9);
        assert_eq!(expected_delta_t(120.0, 0.85, 0.0, 3.98), None);
    }

    #[test]
    fn the_implied_heat_capacity_is_unknown_without_flow_or_rise() {
        assert!((implied_heat_capacity(35.2059, 50.7635, 10.1287).unwrap() - 4.1083).abs() < 1e-4);
        assert_eq!(implied_heat_capacity(35.0, 0.0, 10.0), None);
        assert_eq!(implied_heat_capacity(35.0, 50.0, -0.3), None);
    }

    #[test]
    fn the_mean_difference_of_an_exchanger_is_logarithmic() {
        assert_eq!(log_mean_difference(10.0, 5.0).map(|kelvin| (kelvin * 1e4).round()), Some(72_135.0));
        assert_eq!(log_mean_difference(7.0, 7.0), Some(7.0));
        assert_eq!(log_mean_difference(7.0, 0.0), None);
    }

    #[test]
    fn saturated_air_is_at_its_dew_point() {
        assert!((dew_point(25.0, 100.0).unwrap() - 25.0).abs() < 1e-9);
        assert!((dew_point(25.0, 50.0).unwrap() - 13.86).abs() < 0.02);
        assert_eq!(dew_point(25.0, 0.0), None);
    }
}
