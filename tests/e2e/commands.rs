//! The commands as a user types them.

use std::path::{Path, PathBuf};

use crate::harness::run_in;

mod check; // documents, their unit tests, exit codes, JUnit
mod drill; // rehearsals of faults
mod files; // simulate, replay, import
mod flows; // run, maintenance, gate explain, gate override
mod forecast; // advice over gRPC and from a folder, with its label, its refusals and its exit codes
mod serve; // ready, status, the end; completions
mod sql; // of a service, of a folder, in every form, and reading only

/// Half an hour of one rack whose pump trips for two minutes.
const SCENARIO: &str = "\
name: short
seed: 4
site: dc1
start: 2026-01-05T08:00:00Z
duration: 30m
loops:
  - name: loop-a
    faults:
      - { kind: pump_trip, begins: 20m, ends: 22m }
    racks:
      - name: r01
        load: { constant: 0.8 }
";

/// The scenario's readings as CSV in a folder.
fn simulated(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("short.yaml"), SCENARIO).expect("a file");
    run_in(folder, &["simulate", "short.yaml", "--out", "short.csv"]).expect_success();
    folder.join("short.csv")
}

/// All lines but the header.
fn rows(path: &Path) -> usize {
    std::fs::read_to_string(path).expect("a file").lines().count() - 1
}
