//! End to end: the real program, real protocols, real peers.

mod bucket; // an object store of its own
mod harness; // starts the program and its peers: read this first
mod mounted; // disks of their own
mod remote_write; // samples as Prometheus sends them

mod alertmanager; // Debian's Alertmanager is told, holds, and is told of the end
mod bad_input; // what is refused, and with which words
mod burn; // which windows fired, and how soon an alert ends
mod commands; // serve, status, sql, check, simulate as a user types them
mod crash; // kill -9 loses and doubles nothing
mod demo; // the first thing a newcomer sees
mod drill_live; // a fault laid over a running rack, from telemetry to alert and gate
mod faults; // of disk, store, clock and senders: named, survived, over when they are over
mod gates; // one decision over gRPC, HTTP and the command line
mod opentelemetry; // the OpenTelemetry SDK for Python
mod past; // runs exported, evaluated again, judged by other documents
mod prometheus; // Debian's Prometheus scrapes and remote-writes
mod recorded; // recorded data gives the figures that others counted
mod runs; // one run at a time on a rack, from start to end
mod sql_tools; // ADBC, psycopg, Grafana's queries and psql
mod waiting; // PENDING, and whoever waits
mod watched; // a group of signals in a running service
