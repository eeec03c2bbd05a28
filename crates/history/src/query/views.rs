//! Views: questions that are asked again and again, under a name.

/// A view.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it shows.
    pub meaning: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// All views. Those that end in `_now` show the last ten minutes before `now()`, the watermark.
pub const VIEWS: &[View] = &[
    View {
        name: "rack_now",
        meaning: "the latest reading of every series with a rack, and its age in seconds",
        sql: "SELECT site, \"loop\", rack, node, device, signal, sensor,
                max(time) AS time, last_value(value ORDER BY time, seq) AS value,
                last_value(flag ORDER BY time, seq) AS flag,
                date_part('epoch', now() - max(time)) AS age_seconds
              FROM samples
              WHERE rack IS NOT NULL AND time > now() - INTERVAL '10 minutes' AND flag <> 'future'
              GROUP BY site, \"loop\", rack, node, device, signal, sensor",
    },
    View {
        name: "loop_now",
        meaning: "the latest reading of every series of a loop itself, and its age in seconds",
        sql: "SELECT site, \"loop\", device, signal, sensor,
                max(time) AS time, last_value(value ORDER BY time, seq) AS value,
                last_value(flag ORDER BY time, seq) AS flag,
                date_part('epoch', now() - max(time)) AS age_seconds
              FROM samples
              WHERE rack IS NULL AND time > now() - INTERVAL '10 minutes' AND flag <> 'future'
              GROUP BY site, \"loop\", device, signal, sensor",
    },
    View {
        name: "slo_now",
        meaning: "the latest status of every objective and group, of a run where its scope is a run",
        sql: "SELECT objective, \"group\", \"loop\", rack, scope, run, time, \"window\", good_seconds, bad_seconds,
                unknown_seconds, asked_seconds, sli_known, sli_lower, sli_upper, coverage, burn_rates, budget_left,
                episodes, longest_episode_seconds, state, since, final, configuration
              FROM (SELECT *, row_number() OVER (PARTITION BY objective, \"group\", scope, run
                      ORDER BY time DESC, seq DESC) AS newest
                    FROM slo_status WHERE scope <> 'rolling' OR time > now() - INTERVAL '10 minutes')
              WHERE newest = 1",
    },
    View {
        name: "runs_now",
        meaning: "the latest row of every run: its state, and its end when it has one",
        sql: "SELECT run, time, racks, stage, versions, start, planned_end, \"end\", state, baselines
              FROM (SELECT *, row_number() OVER (PARTITION BY run ORDER BY time DESC, seq DESC) AS newest FROM runs)
              WHERE newest = 1",
    },
    View {
        name: "findings_now",
        meaning: "findings that have not ended",
        sql: "SELECT finding, detector, site, \"loop\", rack, node, device, signal, sensor, severity, onset, detected,
                cause, residual, baseline, threshold, unit, confidence, suggestion, evidence
              FROM (SELECT *, row_number() OVER (PARTITION BY finding ORDER BY (ended IS NOT NULL) DESC, seq DESC)
                      AS newest FROM findings)
              WHERE newest = 1 AND ended IS NULL",
    },
    View {
        name: "telemetry_with_runs",
        meaning: "every reading on a rack during a run, with the run's id, stage and seconds since its start",
        sql: "SELECT r.run, r.stage, r.state, date_part('epoch', s.time - r.start) AS run_seconds, s.*
              FROM (SELECT run, stage, state, start, coalesce(\"end\", now()) AS until, unnest(racks) AS on_rack
                    FROM runs_now) AS r
              JOIN samples AS s ON s.rack = r.on_rack AND s.time >= r.start AND s.time < r.until",
    },
];
