//! Readings that came again: of equal series and time the row that came first is the one that `samples` shows.
//!
//! The evaluator finds repeats among the readings that it still awaits. One that comes later, such as the resend of a
//! sender that was not answered because of a crash, is stored with the flag `late`; compaction drops it in time, and
//! until then it is left out here. So only late rows can be repeats, and without any the table is read as it is.

use telemetry::record::Flag;
use telemetry::table::Table;

use crate::cut::Cut;
use crate::schema::arrow_schema;

/// What makes two readings the same, besides time and signal; each may be missing.
const IDENTITY: [&str; 6] = ["site", "loop", "rack", "node", "device", "sensor"];

/// Whether the cut may hold late rows.
pub fn are_possible(cut: &Cut) -> bool {
    let late = Flag::Late as u8;
    let is_in_memory = || cut.samples().iter().any(|(chunk, rows)| chunk.flag[..*rows].contains(&late));
    let files = cut
        .version(Table::Samples)
        .snapshot
        .iter()
        .flat_map(|files| files.log_data().iter().collect::<Vec<_>>());
    files.into_iter().any(|file| may_hold_late(file.stats().as_deref())) || is_in_memory()
}

/// Whether a file may, by its statistics; without any it may.
fn may_hold_late(statistics: Option<&str>) -> bool {
    let late = Flag::Late.name();
    let Some(values) = statistics.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    else {
        return true;
    };
    match (values["minValues"]["flag"].as_str(), values["maxValues"]["flag"].as_str()) {
        (Some(smallest), Some(largest)) => smallest <= late && late <= largest,
        _ => true,
    }
}

/// The rows of `stored` that are no repeats. Late rows are few, so they are the side of the join that is held.
pub fn without(table: &str, stored: &str) -> String {
    let columns: Vec<String> =
        arrow_schema(Table::Samples).fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
    let columns = columns.join(", ");
    let identity = IDENTITY.map(|name| format!("\"{name}\"")).join(", ");
    let same = IDENTITY
        .map(|name| format!("AND coalesce(known.\"{name}\", '') = coalesce({table}.\"{name}\", '')"))
        .join(" ");
    format!(
        "SELECT {columns} FROM {stored} WHERE flag <> 'late'
         UNION ALL
         SELECT {columns} FROM (
           SELECT *, row_number() OVER (PARTITION BY {identity}, signal, time ORDER BY seq) AS nth
           FROM {stored} WHERE flag = 'late') AS {table}
         WHERE nth = 1 AND NOT EXISTS (
           SELECT 1 FROM {stored} AS known
           WHERE known.flag <> 'late' AND known.time = {table}.time AND known.signal = {table}.signal {same})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_whose_flags_may_be_late_may_hold_late_rows() {
        let of = |smallest: &str, largest: &str| {
            may_hold_late(Some(&format!(
                r#"{{"minValues":{{"flag":"{smallest}"}},"maxValues":{{"flag":"{largest}"}}}}"#
            )))
        };
        assert!(!of("ok", "ok") && !of("ok", "unusual") && !of("future", "implausible"));
        assert!(of("late", "ok") && of("implausible", "ok"));
        assert!(may_hold_late(None) && may_hold_late(Some("{}")), "what is not known may be");
    }
}
