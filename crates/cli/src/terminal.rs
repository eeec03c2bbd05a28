//! Colour and tables for people; plain text where it is piped or where `NO_COLOR` is set.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, TableComponent, presets};

use crate::output::print_line;

/// Whether standard output shows colour.
pub fn has_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A colour for a word that judges: green for good, red for broken, yellow for what a person should look at.
pub fn judged(word: &str) -> String {
    let colour = match word {
        "PASS" | "ok" | "resolved" => 32,
        "FAIL" | "critical" | "firing" => 31,
        "WARN" | "INCONCLUSIVE" | "PENDING" | "warning" | "unknown" | "unknown_hold" => 33,
        _ => return word.to_owned(),
    };
    if has_colour() { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() }
}

/// Prints a table as wide as the terminal.
pub fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    print_line!("{}", drawn(header, rows));
}

/// The same as text.
pub fn drawn(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        // Piped text is read by programs: no line is broken.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table.trim_fmt()
}
