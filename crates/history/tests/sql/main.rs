//! SQL over histories: the named queries, the views, and the functions of our own.

mod again; // queries that are asked more than once
mod laws; // what holds for all readings, whatever their order
mod named; // named queries and the figures of recorded data
mod recorded; // a history that rows are added to
mod scripts; // the .slt files: rows in, answers out
