//! Tests of the gate: documents and their messages, verdicts, the laws, reports, the shipped policies.

mod canary;
mod documents;
mod laws;
mod rack;
mod reports;
mod shipped;
mod verdicts;
