//! End-to-end tests, checks of the source, and the load generator.
