//! The command thermogate: every way a person or a pipeline talks to it.
