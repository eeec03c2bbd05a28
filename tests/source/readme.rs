//! The README's tables are the code's.

use history::query::{FUNCTIONS, NamedQuery, VIEWS};
use service::metrics::METRICS;
use telemetry::table::Table;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("README.md is there")
}

/// Fails with all the lines that are missing, so that they can be copied.
fn expect_lines(lines: impl Iterator<Item = String>) {
    let readme = readme();
    let missing: Vec<String> = lines.filter(|line| !readme.lines().any(|known| known == line)).collect();
    assert!(missing.is_empty(), "README.md lacks these lines:\n{}", missing.join("\n"));
}

#[test]
fn every_table_of_the_history_is_told() {
    expect_lines(Table::ALL.iter().map(|table| {
        let columns: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        format!("| `{}` | {} |", table.name(), columns.join(" "))
    }));
}

#[test]
fn every_view_is_told() {
    let names: Vec<String> = VIEWS.iter().map(|view| format!("`{}`", view.name)).collect();
    assert!(
        readme().contains(&format!("Views: {}.", names.join(", "))),
        "write: Views: {}.",
        names.join(", ")
    );
}

#[test]
fn every_function_of_sql_is_told() {
    expect_lines(FUNCTIONS.iter().map(|function| {
        let unit = function.unit.unwrap_or("-");
        format!("| `{}({})` | {unit} | {} |", function.name, function.arguments, function.meaning)
    }));
}

#[test]
fn every_named_query_is_told() {
    expect_lines(NamedQuery::all().iter().map(|query| {
        let first = query.purpose.lines().next().unwrap_or_default();
        format!("| `{}` | {first} |", query.name)
    }));
}

#[test]
fn every_metric_is_told() {
    expect_lines(METRICS.iter().map(|metric| format!("| `{}` | {} |", metric.name, metric.meaning)));
}

#[test]
fn every_detector_is_told() {
    let rows = evaluator::detectors::DETECTORS.iter();
    expect_lines(rows.map(|row| format!("| `{}` | {} |", row.name, row.meaning)));
}

#[test]
fn every_crate_is_on_the_map() {
    let readme = readme();
    let crates =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")).expect("the crates are there");
    for entry in crates.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("| `{name}` | ")), "the map of the source lacks `{name}`");
    }
}
