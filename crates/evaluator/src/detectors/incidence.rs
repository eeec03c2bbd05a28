//! Which sensor is to blame: the one whose fault moves just those balances that have moved.
//!
//! residuals → **incidence** → evidence of findings, trust
//!
//! First-order incidence of parity relations: Gertler, Fault Detection and Diagnosis in Engineering Systems (1998);
//! Chow & Willsky 1984.

/// What the fault of a sensor does to the residuals of its rack or loop.
struct Row {
    signal: &'static str,
    is_of_loop: bool,
    moves: &'static [&'static str],
    rests: &'static [&'static str],
}

/// A residual that has shifted by this share of its relevance has moved.
pub(crate) const MOVED_SHARE: f64 = 0.5;

/// Sensors by the residuals that they enter and that move as soon as the finding does: a flow meter that is off by
/// 1 L/min of 300 is in the filter's residual too, and not seen there. A residual that nobody can tell counts neither way.
const ROWS: &[Row] = &[
    Row {
        signal: "coolant_supply_temperature",
        is_of_loop: false,
        moves: &["redund", "hb"],
        rests: &["rack_k"],
    },
    Row {
        signal: "coolant_return_temperature",
        is_of_loop: false,
        moves: &["hb"],
        rests: &["redund", "rack_k"],
    },
    Row { signal: "coolant_flow", is_of_loop: false, moves: &["hb", "rack_k"], rests: &["redund"] },
    Row { signal: "rack_power", is_of_loop: false, moves: &["hb"], rests: &["redund", "rack_k"] },
    Row {
        signal: "coolant_supply_temperature",
        is_of_loop: true,
        moves: &["redund", "facbal"],
        rests: &["leak"],
    },
    Row {
        signal: "coolant_return_temperature",
        is_of_loop: true,
        moves: &["facbal"],
        rests: &["redund", "leak"],
    },
    Row { signal: "coolant_supply_flow", is_of_loop: true, moves: &["leak"], rests: &["redund"] },
    Row { signal: "coolant_return_flow", is_of_loop: true, moves: &["leak"], rests: &["redund"] },
    Row { signal: "facility_flow", is_of_loop: true, moves: &["facbal"], rests: &["redund", "leak"] },
    Row {
        signal: "facility_supply_temperature",
        is_of_loop: true,
        moves: &["facbal"],
        rests: &["redund", "leak"],
    },
    Row {
        signal: "facility_return_temperature",
        is_of_loop: true,
        moves: &["facbal"],
        rests: &["redund", "leak"],
    },
];

/// The signals whose sensor explains best what has moved, in the order of the table; several when they can't be told
/// apart. `moved` says of a residual whether it has moved, none where it cannot be told.
pub(crate) fn suspects(is_of_loop: bool, moved: impl Fn(&str) -> Option<bool>) -> Vec<&'static str> {
    let count = |names: &[&str], state: bool| names.iter().filter(|name| moved(name) == Some(state)).count();
    let scored: Vec<(&Row, usize, usize)> = ROWS
        .iter()
        .filter(|row| row.is_of_loop == is_of_loop && count(row.moves, true) > 0)
        .map(|row| {
            let right = count(row.moves, true) + count(row.rests, false);
            (row, right, right + count(row.moves, false) + count(row.rests, true))
        })
        .collect();
    // Shares of integers are compared as products.
    let is_best = |(_, right, all): &&(&Row, usize, usize)| {
        scored.iter().all(|(_, other_right, other_all)| other_right * all <= right * other_all)
    };
    scored.iter().filter(is_best).map(|(row, _, _)| row.signal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_rack(moved: &[&str], resting: &[&str]) -> Vec<&'static str> {
        suspects(false, |name| match (moved.contains(&name), resting.contains(&name)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        })
    }

    #[test]
    fn the_sensor_is_the_one_whose_balances_moved() {
        assert_eq!(of_rack(&["redund", "hb"], &["rack_k"]), ["coolant_supply_temperature"]);
        assert_eq!(of_rack(&["hb", "rack_k"], &["redund"]), ["coolant_flow"]);
        assert_eq!(of_rack(&["hb"], &["redund", "rack_k"]), ["coolant_return_temperature", "rack_power"]);
    }

    #[test]
    fn what_cannot_be_told_apart_is_all_named_and_nothing_without_a_sign() {
        let all = ["coolant_supply_temperature", "coolant_return_temperature", "coolant_flow", "rack_power"];
        assert_eq!(of_rack(&["hb"], &[]), all);
        assert!(of_rack(&[], &["hb", "redund"]).is_empty());
    }

    #[test]
    fn every_residual_of_the_table_is_a_detector() {
        for name in ROWS.iter().flat_map(|row| row.moves.iter().chain(row.rests)) {
            assert!(crate::detectors::detector(name).is_some(), "{name}");
        }
    }
}
