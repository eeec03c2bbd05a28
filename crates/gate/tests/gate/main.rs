//! Tests of the gate: documents and their messages, verdicts, the laws, reports, the shipped policies.

mod canary;
mod documents;
mod laws;
mod pains; // what users complain of most
mod rack;
mod reports;
mod shipped;
mod verdicts;
