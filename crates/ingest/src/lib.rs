//! Takes telemetry in: OTLP, Prometheus remote write, files → normalised batches.
