-- Worst racks: where should a person look first?
--
-- Racks in order of critical findings that have not ended, then of the emptiest error budget, then of warnings, then of
-- time throttled, then of the least margin. What is unknown does not make a rack look good: it is counted beside.
--
-- Parameters
--   since  time    now() - INTERVAL '1 hour'  span of the readings, statuses and ended findings
--   count  number  10                         how many racks to list
-- Columns
--   rank                -  1 is the worst
--   rack                -  rack
--   critical_findings   -  critical findings that have not ended
--   warning_findings    -  warnings that have not ended
--   ended_findings      -  findings that ended in the span
--   budget_left         1  least budget left of any objective of the rack, by its latest status in the span
--   objective           -  that objective
--   failed_objectives   -  objectives that fail
--   unknown_objectives  -  objectives of which too little is known
--   throttled_seconds   s  time that GPUs were slowed down for heat, summed over GPUs
--   gpu_margin          K  least margin of any GPU before it slows down, of those that are known
--   gpus_unknown        -  GPUs without a known margin
--   last_time           -  the latest reading; null when the rack sent none in the span
WITH statuses AS (
  SELECT rack, objective, budget_left, state
  FROM (
    SELECT *, row_number() OVER (PARTITION BY objective, "group", scope, run ORDER BY time DESC, seq DESC) AS newest
    FROM slo_status
    WHERE rack IS NOT NULL AND scope = 'rolling' AND time >= $since
  )
  WHERE newest = 1
),
objectives AS (
  SELECT rack, min(budget_left) AS budget_left,
    first_value(objective ORDER BY budget_left NULLS LAST, objective) AS objective,
    count(*) FILTER (WHERE state = 'FAIL') AS failed,
    count(*) FILTER (WHERE state = 'INCONCLUSIVE' OR budget_left IS NULL) AS unknown
  FROM statuses
  GROUP BY rack
),
found AS (
  SELECT rack, count(*) FILTER (WHERE ended IS NULL AND severity = 'critical') AS critical,
    count(*) FILTER (WHERE ended IS NULL AND severity = 'warning') AS warnings,
    count(*) FILTER (WHERE ended >= $since) AS ended
  FROM (
    SELECT *, row_number() OVER (PARTITION BY finding ORDER BY (ended IS NOT NULL) DESC, seq DESC) AS newest
    FROM findings WHERE rack IS NOT NULL
  )
  WHERE newest = 1
  GROUP BY rack
  HAVING count(*) FILTER (WHERE ended IS NULL OR ended >= $since) > 0
),
series AS (
  SELECT rack, node, device, signal, max(time) AS last_time, min(value) AS lowest, max(value) AS highest,
    delta(value, time) FILTER (WHERE signal = 'gpu_thermal_throttle_time') AS grown
  FROM samples
  WHERE rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late') AND time >= $since
  GROUP BY site, "loop", rack, node, device, signal, sensor
),
devices AS (
  SELECT rack, count(*) FILTER (WHERE signal IN ('gpu_temperature', 'gpu_slowdown_temperature',
                                                 'gpu_temperature_margin')) > 0 AS is_gpu,
    coalesce(min(lowest) FILTER (WHERE signal = 'gpu_temperature_margin'),
             min(lowest) FILTER (WHERE signal = 'gpu_slowdown_temperature')
               - max(highest) FILTER (WHERE signal = 'gpu_temperature')) AS margin,
    max(last_time) AS last_time, sum(grown) AS throttled_seconds
  FROM series
  GROUP BY rack, node, device
),
sent AS (
  SELECT rack, max(last_time) AS last_time, sum(throttled_seconds) AS throttled_seconds,
    min(margin) AS gpu_margin, count(*) FILTER (WHERE is_gpu AND margin IS NULL) AS gpus_unknown
  FROM devices
  GROUP BY rack
),
judged AS (
  SELECT coalesce(objectives.rack, found.rack) AS rack, critical, warnings, ended, budget_left, objective, failed, unknown
  FROM objectives
  FULL JOIN found ON found.rack = objectives.rack
),
known AS (
  SELECT coalesce(judged.rack, sent.rack) AS rack, critical, warnings, ended, budget_left, objective, failed, unknown,
    throttled_seconds, gpu_margin, gpus_unknown, last_time
  FROM judged
  FULL JOIN sent ON sent.rack = judged.rack
),
ranked AS (
  SELECT rack, coalesce(critical, 0) AS critical_findings, coalesce(warnings, 0) AS warning_findings,
    coalesce(ended, 0) AS ended_findings, round(budget_left, 6) AS budget_left,
    CASE WHEN budget_left IS NOT NULL THEN objective END AS objective,
    coalesce(failed, 0) AS failed_objectives, coalesce(unknown, 0) AS unknown_objectives,
    round(throttled_seconds, 3) AS throttled_seconds, round(gpu_margin, 2) AS gpu_margin,
    coalesce(gpus_unknown, 0) AS gpus_unknown, last_time,
    row_number() OVER (ORDER BY coalesce(critical, 0) DESC, budget_left NULLS LAST, coalesce(warnings, 0) DESC,
      throttled_seconds DESC NULLS LAST, gpu_margin NULLS LAST, rack) AS rank
  FROM known
)
SELECT CAST(rank AS BIGINT) AS rank, rack, critical_findings, warning_findings, ended_findings, budget_left, objective,
  failed_objectives, unknown_objectives, throttled_seconds, gpu_margin, gpus_unknown, last_time
FROM ranked
WHERE rank <= $count
ORDER BY rank
