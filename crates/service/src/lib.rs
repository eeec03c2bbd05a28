//! The only place where clock, network and evaluator meet: settings, pipeline, servers, metrics, shutdown.
