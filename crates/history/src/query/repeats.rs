//! Readings that came again: of equal series and time the row that came first is the one that `samples` shows.
//!
//! The evaluator finds repeats among the readings that it still awaits. One that comes later, such as the resend of a
//! sender that was not answered because of a crash, is stored with the flag `late`, and one from a sender whose clock
//! is ahead with the flag `future` each time; compaction drops them in time, and until then they are left out here.
//! So of two equals one is late or was ahead, and without any such row the table is read as it is.

use telemetry::record::Flag;
use telemetry::table::Table;

use crate::cut::Cut;
use crate::schema::arrow_schema;

/// What makes two readings the same, besides time and signal; each may be missing.
const IDENTITY: [&str; 6] = ["site", "loop", "rack", "node", "device", "sensor"];

/// Flags of readings that the evaluator does not look for repeats of.
const UNSEEN: [Flag; 2] = [Flag::Late, Flag::Future];

/// Whether the cut may hold rows that nobody looked for repeats of.
pub fn are_possible(cut: &Cut) -> bool {
    let unseen = UNSEEN.map(|flag| flag as u8);
    let is_in_memory =
        || cut.samples().iter().any(|(chunk, rows)| (0..*rows).any(|row| unseen.contains(&chunk.flag(row))));
    let files = cut
        .version(Table::Samples)
        .snapshot
        .iter()
        .flat_map(|files| files.log_data().iter().collect::<Vec<_>>());
    files.into_iter().any(|file| may_hold_unseen(file.stats().as_deref())) || is_in_memory()
}

/// Whether a file may, by its statistics; without any it may.
fn may_hold_unseen(statistics: Option<&str>) -> bool {
    let Some(values) = statistics.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    else {
        return true;
    };
    match (values["minValues"]["flag"].as_str(), values["maxValues"]["flag"].as_str()) {
        (Some(smallest), Some(largest)) => {
            UNSEEN.iter().any(|flag| smallest <= flag.name() && flag.name() <= largest)
        }
        _ => true,
    }
}

/// The rows of `stored` that no row of equal series and time came before. Late rows and those ahead are few, so they
/// are the side of each join that is held.
pub fn without(table: &str, stored: &str) -> String {
    let columns: Vec<String> =
        arrow_schema(Table::Samples).fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
    let columns = columns.join(", ");
    let identity = IDENTITY.map(|name| format!("\"{name}\"")).join(", ");
    let unseen = UNSEEN.map(|flag| format!("'{}'", flag.name())).join(", ");
    let future = Flag::Future.name();
    let same = IDENTITY
        .map(|name| format!("AND coalesce(before.\"{name}\", '') = coalesce({table}.\"{name}\", '')"))
        .join(" ");
    let same = format!(
        "before.time = {table}.time AND before.signal = {table}.signal AND before.seq < {table}.seq {same}"
    );
    format!(
        "SELECT {columns} FROM {stored} AS {table}
         WHERE flag NOT IN ({unseen}) AND NOT EXISTS (
           SELECT 1 FROM {stored} AS before WHERE before.flag = '{future}' AND {same})
         UNION ALL
         SELECT {columns} FROM (
           SELECT *, row_number() OVER (PARTITION BY {identity}, signal, time ORDER BY seq) AS nth
           FROM {stored} WHERE flag IN ({unseen})) AS {table}
         WHERE nth = 1 AND NOT EXISTS (
           SELECT 1 FROM {stored} AS before WHERE before.flag NOT IN ({unseen}) AND {same})"
    )
}
