//! Effectiveness of heat exchangers by the number of transfer units (Kays & London, Compact Heat Exchangers).

/// Effectiveness (0 to 1) of a counter-flow exchanger: conductance and heat capacity rates in kW/K.
pub fn counter_flow(conductance: f64, one: f64, other: f64) -> f64 {
    let (units, ratio) = units_and_ratio(conductance, one, other);
    if ratio > 1.0 - 1e-9 {
        return units / (1.0 + units);
    }
    let decay = libm::exp(-units * (1.0 - ratio));
    (1.0 - decay) / (1.0 - ratio * decay)
}

/// Effectiveness (0 to 1) of a cross-flow exchanger with both streams unmixed (approximation by Incropera).
pub fn cross_flow(conductance: f64, one: f64, other: f64) -> f64 {
    let (units, ratio) = units_and_ratio(conductance, one, other);
    let inner = libm::exp(-ratio * libm::pow(units, 0.78)) - 1.0;
    1.0 - libm::exp(libm::pow(units, 0.22) * inner / ratio)
}

fn units_and_ratio(conductance: f64, one: f64, other: f64) -> (f64, f64) {
    let smaller = one.min(other);
    (conductance / smaller, smaller / one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effectiveness_agrees_with_the_textbook() {
        // NTU 2, ratio 0.5: 0.775 counter-flow and 0.735 cross-flow (Incropera, figures 11.11 and 11.14).
        assert!((counter_flow(2.0, 1.0, 2.0) - 0.7746).abs() < 1e-4);
        assert!((cross_flow(2.0, 1.0, 2.0) - 0.735).abs() < 0.006, "{}", cross_flow(2.0, 1.0, 2.0));
        assert!((counter_flow(3.0, 1.0, 1.0) - 0.75).abs() < 1e-9);
    }
}
