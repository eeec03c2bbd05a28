//! Keeps what happened: the durable log, the Delta tables, and SQL over both.
