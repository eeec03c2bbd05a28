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
///
/// A reading that was set aside makes what is shown of its series null: what it was before is no longer known.
pub const VIEWS: &[View] = &[
    View {
        name: "rack_now",
        meaning: "a row a rack: power kW, flow L/min, supply and return °C, delta_t K, hottest GPU, least GPU margin K, \
                  findings that have not ended, age of the newest reading and of the oldest of the first four, s; a \
                  silent rack is shown while it has findings",
        sql: "WITH readings AS (
                SELECT *, CASE WHEN flag IN ('ok', 'unusual', 'late') THEN value END AS known,
                  node IS NULL AND device IS NULL AS of_rack
                FROM series_now WHERE rack IS NOT NULL
              ),
              gpus AS (
                SELECT site, \"loop\", rack, node, device,
                  max(known) FILTER (WHERE signal = 'gpu_temperature') AS temperature,
                  coalesce(min(known) FILTER (WHERE signal = 'gpu_temperature_margin'),
                           min(known) FILTER (WHERE signal = 'gpu_slowdown_temperature')
                             - max(known) FILTER (WHERE signal = 'gpu_temperature')) AS margin
                FROM readings
                WHERE signal IN ('gpu_temperature', 'gpu_slowdown_temperature', 'gpu_temperature_margin')
                GROUP BY site, \"loop\", rack, node, device
              ),
              gpu_racks AS (
                SELECT site, \"loop\", rack, max(temperature) AS gpu_temperature_max,
                  first_value(node ORDER BY temperature DESC NULLS LAST, node, device) AS gpu_node,
                  first_value(device ORDER BY temperature DESC NULLS LAST, node, device) AS gpu_device,
                  min(margin) AS gpu_margin, count(*) AS gpus, count(*) - count(margin) AS gpus_unknown
                FROM gpus GROUP BY site, \"loop\", rack
              ),
              active AS (
                SELECT site, rack, max(\"loop\") AS \"loop\", count(*) AS findings,
                  first_value(detector ORDER BY rank, onset, detector) AS worst_finding,
                  first_value(severity ORDER BY rank, onset, detector) AS worst_severity
                FROM (SELECT *, CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END AS rank
                      FROM findings_now WHERE rack IS NOT NULL)
                GROUP BY site, rack
              ),
              racks AS (
                SELECT site, \"loop\", rack,
                  avg(known) FILTER (WHERE of_rack AND signal = 'rack_power') AS power,
                  avg(known) FILTER (WHERE of_rack AND signal = 'coolant_flow') AS flow,
                  avg(known) FILTER (WHERE of_rack AND signal = 'coolant_supply_temperature') AS supply,
                  avg(known) FILTER (WHERE of_rack AND signal = 'coolant_return_temperature') AS return,
                  max(time) AS time, min(age_seconds) AS age_seconds,
                  max(age_seconds) FILTER (WHERE of_rack AND signal IN ('rack_power', 'coolant_flow',
                    'coolant_supply_temperature', 'coolant_return_temperature')) AS oldest_seconds
                FROM readings GROUP BY site, \"loop\", rack
              )
              SELECT coalesce(racks.site, active.site) AS site, coalesce(racks.\"loop\", active.\"loop\") AS \"loop\",
                coalesce(racks.rack, active.rack) AS rack, power, flow, supply, return, return - supply AS delta_t,
                gpu_temperature_max, gpu_node, gpu_device, gpu_margin, coalesce(gpus, 0) AS gpus,
                coalesce(gpus_unknown, 0) AS gpus_unknown, coalesce(findings, 0) AS findings, worst_finding,
                worst_severity, time, age_seconds, oldest_seconds
              FROM racks
              LEFT JOIN gpu_racks ON gpu_racks.site = racks.site AND gpu_racks.rack = racks.rack
                AND gpu_racks.\"loop\" IS NOT DISTINCT FROM racks.\"loop\"
              FULL JOIN active ON active.site = racks.site AND active.rack = racks.rack",
    },
    View {
        name: "loop_now",
        meaning: "a row a coolant loop: supply and return °C, delta_t K, flow L/min, differential pressure kPa, fastest \
                  pump %, facility water °C and L/min, approach K, power of its racks kW and how many racks' power is \
                  unknown, findings of the loop itself that have not ended",
        sql: "WITH readings AS (
                SELECT *, CASE WHEN flag IN ('ok', 'unusual', 'late') THEN value END AS known
                FROM series_now WHERE rack IS NULL AND \"loop\" IS NOT NULL
              ),
              racks AS (
                SELECT site, \"loop\", sum(power) AS rack_power, count(*) AS racks, count(*) - count(power) AS racks_unknown
                FROM rack_now WHERE \"loop\" IS NOT NULL GROUP BY site, \"loop\"
              ),
              active AS (
                SELECT site, \"loop\", count(*) AS findings,
                  first_value(detector ORDER BY rank, onset, detector) AS worst_finding,
                  first_value(severity ORDER BY rank, onset, detector) AS worst_severity
                FROM (SELECT *, CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END AS rank
                      FROM findings_now WHERE rack IS NULL AND \"loop\" IS NOT NULL)
                GROUP BY site, \"loop\"
              ),
              loops AS (
                SELECT site, \"loop\",
                  avg(known) FILTER (WHERE signal = 'coolant_supply_temperature') AS supply,
                  avg(known) FILTER (WHERE signal = 'coolant_return_temperature') AS return,
                  avg(known) FILTER (WHERE signal = 'coolant_flow') AS flow,
                  avg(known) FILTER (WHERE signal = 'coolant_differential_pressure') AS differential_pressure,
                  max(known) FILTER (WHERE signal = 'pump_speed') AS pump_speed_max,
                  avg(known) FILTER (WHERE signal = 'facility_supply_temperature') AS facility_supply,
                  avg(known) FILTER (WHERE signal = 'facility_return_temperature') AS facility_return,
                  avg(known) FILTER (WHERE signal = 'facility_flow') AS facility_flow,
                  max(time) AS time, min(age_seconds) AS age_seconds
                FROM readings GROUP BY site, \"loop\"
              ),
              known_loops AS (
                SELECT site, \"loop\" FROM loops UNION SELECT site, \"loop\" FROM racks
                UNION SELECT site, \"loop\" FROM active
              )
              SELECT k.site, k.\"loop\", supply, return, return - supply AS delta_t, flow, differential_pressure,
                pump_speed_max, facility_supply, facility_return, facility_flow, supply - facility_supply AS approach,
                rack_power, coalesce(racks, 0) AS racks, coalesce(racks_unknown, 0) AS racks_unknown,
                coalesce(findings, 0) AS findings, worst_finding, worst_severity, time, age_seconds
              FROM known_loops AS k
              LEFT JOIN loops ON loops.site = k.site AND loops.\"loop\" = k.\"loop\"
              LEFT JOIN racks ON racks.site = k.site AND racks.\"loop\" = k.\"loop\"
              LEFT JOIN active ON active.site = k.site AND active.\"loop\" = k.\"loop\"",
    },
    View {
        name: "series_now",
        meaning: "the latest reading of every series, with its flag and its age in seconds",
        sql: "SELECT site, \"loop\", rack, node, device, signal, sensor,
                max(time) AS time, last_value(value ORDER BY time, seq) AS value,
                last_value(flag ORDER BY time, seq) AS flag,
                date_part('epoch', now() - max(time)) AS age_seconds
              FROM samples
              WHERE time > now() - INTERVAL '10 minutes' AND flag <> 'future'
              GROUP BY site, \"loop\", rack, node, device, signal, sensor",
    },
    View {
        name: "slo_now",
        meaning: "the latest status of every objective and group, of a run where its scope is a run",
        sql: "SELECT objective, \"group\", \"loop\", rack, scope, run, time, \"window\", good_seconds, bad_seconds,
                unknown_seconds, asked_seconds, sli_known, sli_lower, sli_upper, coverage, burn_rates, budget_left,
                episodes, longest_episode_seconds, state, since, final, configuration
              FROM (SELECT *, row_number() OVER (PARTITION BY rack, objective, \"group\", scope, run
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
        name: "workload_spans",
        meaning: "what ran on a place from `time` up to `until` (null while it lasts): workload is the Slurm job, else the \
                  deployment, else the pod",
        sql: "SELECT site, \"loop\", rack, node, device, time, until, coalesce(slurm_job, deployment, pod) AS workload,
                slurm_job, deployment, pod, namespace
              FROM (
                SELECT site, \"loop\", rack, node, device, time, lead(time) OVER place AS until,
                  nullif(locf(slurm_job) OVER place, '') AS slurm_job,
                  nullif(locf(deployment) OVER place, '') AS deployment,
                  nullif(locf(pod) OVER place, '') AS pod, nullif(locf(namespace) OVER place, '') AS namespace
                FROM (
                  SELECT site, max(\"loop\") AS \"loop\", rack, node, device, time,
                    max(new) FILTER (WHERE name = 'slurm_job') AS slurm_job,
                    max(new) FILTER (WHERE name = 'deployment') AS deployment,
                    max(new) FILTER (WHERE name = 'pod') AS pod,
                    max(new) FILTER (WHERE name = 'namespace') AS namespace
                  FROM events
                  WHERE rack IS NOT NULL AND name IN ('slurm_job', 'deployment', 'pod', 'namespace')
                  GROUP BY site, rack, node, device, time
                )
                WINDOW place AS (PARTITION BY site, rack, node, device ORDER BY time)
              )",
    },
    View {
        name: "telemetry_with_runs",
        meaning: "every reading on a rack during a run, with the run's id, stage, image, driver and firmware, seconds since \
                  its start, and what ran on the reading's own place then",
        sql: "SELECT r.run, r.stage, r.state, date_part('epoch', s.time - r.start) AS run_seconds,
                r.image, r.driver, r.firmware, w.workload, s.*
              FROM (SELECT run, stage, state, start, coalesce(\"end\", now()) AS until, versions['image'] AS image,
                      versions['driver'] AS driver, versions['firmware'] AS firmware, unnest(racks) AS on_rack
                    FROM runs_now) AS r
              JOIN samples AS s ON s.rack = r.on_rack AND s.time >= r.start AND s.time < r.until
              LEFT JOIN workload_spans AS w ON w.site = s.site AND w.rack = s.rack
                AND coalesce(w.node, '') = coalesce(s.node, '') AND coalesce(w.device, '') = coalesce(s.device, '')
                AND s.time >= w.time AND (w.until IS NULL OR s.time < w.until)",
    },
    View {
        name: "verdict_evidence",
        meaning: "a row a check of each stored verdict: what was observed, its threshold and unit, coverage, the group that \
                  decided, whose doing it is and why; evidence is JSON with the queries that show it",
        sql: "SELECT evaluation, time, policy, run, scope, verdict, c['check'] AS \"check\",
                c['verdict'] AS check_verdict, c['signal'] AS signal, c['observed'] AS observed,
                c['comparison'] AS comparison, c['threshold'] AS threshold, c['unit'] AS unit,
                c['window'] AS \"window\", c['since'] AS since, c['coverage'] AS coverage,
                c['budget_left'] AS budget_left, c['burn_rate'] AS burn_rate, c['worst_group'] AS worst_group,
                c['unknown_reason'] AS unknown_reason, c['cause'] AS cause, c['reason'] AS reason,
                c['evidence'] AS evidence
              FROM (SELECT evaluation, time, policy, run, scope, verdict, unnest(verdict_checks(answer)) AS c
                    FROM verdicts)",
    },
];
