//! SQL for tools: Flight SQL for ADBC and JDBC, the Postgres wire for psql, drivers and Grafana.
//!
//! `history::query` → **sql** → clients. Both only read, within the limits of `[query]`, on threads of their own.

pub mod flight; // Flight SQL, and telemetry by Flight, on the gRPC port
pub mod postgres; // the Postgres port

mod rows; // rows on their way to a client that may be slow
