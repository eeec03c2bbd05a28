//! The service's own metrics: one table, from which the registry, `/metrics` and the README are made.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Seconds,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; ends in its base unit.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($variant:ident $kind:ident $name:literal [$($label:literal),*] $meaning:literal;)*) => {
        /// Which metric; the order is that of the data flow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // The meaning of each stands in `METRICS`.
        pub enum Id { $($variant,)* }

        /// All metrics.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], meaning: $meaning },)*
        ];
    };
}

metrics! {
    IngestRequests Counter "thermogate_ingest_requests_total" ["source", "result"] "requests by source and result (accepted, partly_refused, unreadable, overloaded)";
    IngestSamples Counter "thermogate_ingest_samples_total" ["source"] "samples taken in, with those set aside";
    IngestRefused Counter "thermogate_ingest_refused_samples_total" ["source", "reason"] "samples refused, by reason";
    IngestSetAside Counter "thermogate_ingest_quarantined_samples_total" ["source", "reason"] "samples stored with a flag and not judged, by reason";
    IngestUnmapped Counter "thermogate_ingest_unmapped_samples_total" ["source"] "samples of metrics that no mapping knows";
    IngestUnsupported Counter "thermogate_ingest_unsupported_total" ["source"] "buckets of histograms, quantiles outside 0 to 1 and exemplars that are not stored";
    LogRecords Counter "thermogate_log_records_total" [] "records written to the log";
    LogSyncs Counter "thermogate_log_syncs_total" [] "synced writes of the log";
    LogSyncSeconds Seconds "thermogate_log_sync_seconds" [] "time of one synced write";
    LogBytes Gauge "thermogate_log_bytes" [] "size of the log on disk";
    LogErrors Counter "thermogate_log_errors_total" [] "writes of the log that failed and were refused to their senders";
    Judged Counter "thermogate_evaluate_judged_samples_total" [] "samples that were judged";
    Late Counter "thermogate_evaluate_late_samples_total" [] "samples behind the watermark: stored, not judged";
    Duplicates Counter "thermogate_evaluate_duplicate_samples_total" ["kind"] "repeats of a sample: duplicate (equal value), conflict (another value; the first stays)";
    Counts Counter "thermogate_evaluate_events_total" ["event"] "what else the evaluator counts, by name";
    ClockStepsBack Counter "thermogate_clock_steps_back_total" [] "ticks that held still because the clock stepped back";
    Watermark Gauge "thermogate_evaluate_watermark_seconds" [] "event time up to which all is final, Unix seconds";
    WatermarkLag Gauge "thermogate_evaluate_watermark_lag_seconds" [] "last tick minus the position of the evaluator, s";
    QueueRecords Gauge "thermogate_evaluate_queue_records" [] "synced records that wait for the evaluator";
    Racks Gauge "thermogate_racks" [] "racks that are known";
    RackSustainablePower Gauge "thermogate_rack_sustainable_power_watts" ["rack", "ambient", "limit"] "electrical power that a rack can sustain by each of its limits that is known, as the ambient is now and at design ambient";
    FlushSeconds Seconds "thermogate_history_flush_seconds" [] "time of one flush to the store";
    FlushErrors Counter "thermogate_history_flush_errors_total" [] "flushes that failed and are tried again";
    MaintenanceSeconds Seconds "thermogate_history_maintenance_seconds" [] "time of one round of compaction, retention and cleanup";
    MaintenanceErrors Counter "thermogate_history_maintenance_errors_total" [] "rounds in which something could not be done; it is tried again in the next";
    MaintenanceFiles Counter "thermogate_history_maintenance_files_total" ["action"] "files of the store that maintenance merged, wrote, dropped for their age (expired) or deleted";
    MaintenanceBytes Counter "thermogate_history_maintenance_merged_bytes_total" [] "bytes of files that were merged";
    MaintenancePostponed Gauge "thermogate_history_maintenance_postponed_files" [] "small files that wait for the next round: for want of budget, or because one cannot be read";
    HistoryMemory Gauge "thermogate_history_memory_bytes" [] "rows that are not in the store yet";
    Checkpoints Counter "thermogate_checkpoints_total" [] "checkpoints written";
    GateSeconds Seconds "thermogate_gate_evaluate_seconds" [] "time of one gate answer";
    GateVerdicts Counter "thermogate_gate_verdicts_total" ["policy", "verdict"] "verdicts given";
    Advisory Counter "thermogate_advisory_total" ["question", "result"] "forecasts and comparisons of peers by result (answered, refused, failed)";
    AlertTransitions Counter "thermogate_alert_transitions_total" ["state"] "changes of alerts by new state";
    AlertQueue Gauge "thermogate_alert_queue_alerts" ["peer"] "alerts that wait for an Alertmanager";
    AlertSent Gauge "thermogate_alert_sent" ["peer"] "alerts an Alertmanager has taken since the start";
    AlertFailed Gauge "thermogate_alert_failed" ["peer"] "posts to an Alertmanager that failed since the start";
    AlertRefused Gauge "thermogate_alert_refused" ["peer"] "alerts an Alertmanager has refused by themselves since the start";
    Queries Counter "thermogate_query_total" ["result"] "SQL queries by result";
}

enum Collector {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Seconds(Histogram),
}

/// The registry of this process.
pub struct Metrics {
    registry: Registry,
    collectors: Vec<Collector>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics of [`METRICS`], at zero.
    ///
    /// # Panics
    /// When the table names a metric twice; a test says that it does not.
    pub fn new() -> Self {
        /// Bounds of the buckets, s: from a quick sync to a stalled store.
        const BUCKETS_SECONDS: &[f64] =
            &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let registry = Registry::new();
        let collectors = METRICS
            .iter()
            .map(|metric| {
                let options = Opts::new(metric.name, metric.meaning);
                match metric.kind {
                    Kind::Counter => {
                        let counter = IntCounterVec::new(options, metric.labels).expect("the table is valid");
                        registry.register(Box::new(counter.clone())).expect("names are unique");
                        Collector::Counter(counter)
                    }
                    Kind::Gauge => {
                        let gauge = IntGaugeVec::new(options, metric.labels).expect("the table is valid");
                        registry.register(Box::new(gauge.clone())).expect("names are unique");
                        Collector::Gauge(gauge)
                    }
                    Kind::Seconds => {
                        let options = HistogramOpts::from(options).buckets(BUCKETS_SECONDS.to_vec());
                        let histogram = Histogram::with_opts(options).expect("the table is valid");
                        registry.register(Box::new(histogram.clone())).expect("names are unique");
                        Collector::Seconds(histogram)
                    }
                }
            })
            .collect();
        let metrics = Self { registry, collectors };
        for (index, metric) in METRICS.iter().enumerate() {
            if metric.labels.is_empty() {
                match &metrics.collectors[index] {
                    Collector::Counter(counter) => counter.with_label_values(&[]).inc_by(0),
                    Collector::Gauge(gauge) => gauge.with_label_values(&[]).set(0),
                    Collector::Seconds(_) => {}
                }
            }
        }
        metrics
    }

    /// Adds to a counter.
    pub fn add(&self, id: Id, labels: &[&str], by: u64) {
        if let Collector::Counter(counter) = &self.collectors[id as usize] {
            counter.with_label_values(labels).inc_by(by);
        }
    }

    /// Sets a gauge.
    pub fn set(&self, id: Id, labels: &[&str], value: i64) {
        if let Collector::Gauge(gauge) = &self.collectors[id as usize] {
            gauge.with_label_values(labels).set(value);
        }
    }

    /// Takes back a gauge whose value is not known any more: an old number would pass for the present one.
    pub fn remove(&self, id: Id, labels: &[&str]) {
        if let Collector::Gauge(gauge) = &self.collectors[id as usize] {
            // An error only says that it was not there.
            let _ = gauge.remove_label_values(labels);
        }
    }

    /// Notes a time.
    pub fn observe(&self, id: Id, time: std::time::Duration) {
        if let Collector::Seconds(histogram) = &self.collectors[id as usize] {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// Notes a round of maintenance of the store.
    pub fn note_maintenance(&self, time: std::time::Duration, report: &history::MaintenanceReport) {
        self.observe(Id::MaintenanceSeconds, time);
        let actions = [
            ("merged", report.merged_files),
            ("written", report.written_files),
            ("expired", report.expired_files),
            ("deleted", report.deleted_files + report.deleted_log_files),
        ];
        for (action, files) in actions {
            self.add(Id::MaintenanceFiles, &[action], files as u64);
        }
        self.add(Id::MaintenanceBytes, &[], report.merged_bytes);
        self.set(Id::MaintenancePostponed, &[], i64::try_from(report.postponed_files).unwrap_or(i64::MAX));
    }

    /// All of them in Prometheus' text form.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_table_is_told_once() {
        let metrics = Metrics::new();
        metrics.add(Id::IngestSamples, &["otlp"], 3);
        assert!(metrics.text().contains("thermogate_ingest_samples_total{source=\"otlp\"} 3"));
        assert!(metrics.text().contains("thermogate_log_syncs_total 0"));
    }

    #[test]
    fn a_gauge_that_is_taken_back_is_told_no_more() {
        let metrics = Metrics::new();
        let labels = ["r1", "now", "chip"];
        metrics.remove(Id::RackSustainablePower, &labels);
        metrics.set(Id::RackSustainablePower, &labels, 130_000);
        let told =
            "thermogate_rack_sustainable_power_watts{ambient=\"now\",limit=\"chip\",rack=\"r1\"} 130000";
        assert!(metrics.text().contains(told), "{}", metrics.text());
        metrics.remove(Id::RackSustainablePower, &labels);
        assert!(!metrics.text().contains("thermogate_rack_sustainable_power_watts{"));
    }
}
