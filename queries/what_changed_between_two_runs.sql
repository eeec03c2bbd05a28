-- What changed between two runs: versions, stage, objectives, findings, and the level of each signal.
--
-- One row a thing that differs, or a signal. Levels are time-weighted means of blocks on each run's racks; all
-- signals are listed, so that what stayed the same can be seen too.
--
-- Parameters
--   before  text  required  id of the earlier run
--   after   text  required  id of the later run
-- Columns
--   kind         -  run, version, objective, finding, signal
--   name         -  which
--   before       -  text, state or count in the earlier run
--   after        -  the same in the later one
--   before_mean  -  mean of a signal in its unit, budget left of an objective, count of findings
--   after_mean   -  the same in the later run
--   change       -  after_mean minus before_mean
WITH both_runs AS (
  SELECT run, stage, racks, versions, start, coalesce("end", now()) AS until, state,
    date_part('epoch', coalesce("end", now()) - start) AS seconds
  FROM (
    SELECT *, row_number() OVER (PARTITION BY run ORDER BY time DESC, seq DESC) AS newest
    FROM runs WHERE run IN ($before, $after)
  )
  WHERE newest = 1
),
on_racks AS (
  -- No run has as many: with a limit it is known beforehand that they are few, and they are looked up by all readers.
  SELECT run, start, until, unnest(racks) AS on_rack FROM both_runs LIMIT 100000
),
-- Both spans of a rack side by side: its blocks are looked up once.
spans AS (
  SELECT on_rack,
    max(start) FILTER (WHERE run = $before) AS before_start, max(until) FILTER (WHERE run = $before) AS before_until,
    max(start) FILTER (WHERE run = $after) AS after_start, max(until) FILTER (WHERE run = $after) AS after_until
  FROM on_racks
  GROUP BY on_rack
),
levels AS (
  SELECT signal, mean,
    CASE WHEN blocks.time >= before_start AND blocks.time < before_until THEN known_seconds END AS before_seconds,
    CASE WHEN blocks.time >= after_start AND blocks.time < after_until THEN known_seconds END AS after_seconds
  FROM spans
  JOIN blocks ON blocks.rack = on_rack
  -- Bounds that are known before blocks are read: row groups of other days are left out.
  WHERE blocks.time >= (SELECT min(start) FROM both_runs) AND blocks.time < (SELECT max(until) FROM both_runs)
),
facts AS (
  SELECT run, 'run' AS kind, part['name'] AS name, part['value'] AS value, part['number'] AS number
  FROM (
    SELECT run, unnest([
      {'name': 'stage', 'value': stage, 'number': CAST(NULL AS DOUBLE)},
      {'name': 'state', 'value': state, 'number': NULL},
      {'name': 'racks', 'value': array_to_string(racks, ','), 'number': NULL},
      {'name': 'seconds', 'value': NULL, 'number': seconds}
    ]) AS part
    FROM both_runs
  )
  UNION ALL
  SELECT run, 'version', entry['key'], entry['value'], NULL
  FROM (SELECT run, unnest(map_entries(versions)) AS entry FROM both_runs)
  UNION ALL
  SELECT run, 'objective', objective || ' ' || "group", state, budget_left
  FROM (
    SELECT run, objective, "group", state, budget_left,
      row_number() OVER (PARTITION BY run, objective, "group" ORDER BY time DESC, seq DESC) AS newest
    FROM slo_status WHERE run IN ($before, $after)
  )
  WHERE newest = 1
  UNION ALL
  SELECT run, 'finding', detector, NULL, CAST(count(DISTINCT finding) AS DOUBLE)
  FROM on_racks
  JOIN findings ON findings.rack = on_rack AND findings.onset >= start AND findings.onset < until
  GROUP BY run, detector
),
sides AS (
  SELECT kind, name,
    max(value) FILTER (WHERE run = $before) AS before, max(value) FILTER (WHERE run = $after) AS after,
    max(number) FILTER (WHERE run = $before) AS before_mean, max(number) FILTER (WHERE run = $after) AS after_mean
  FROM facts
  GROUP BY kind, name
  UNION ALL
  SELECT 'signal', signal, NULL, NULL, sum(mean * before_seconds) / nullif(sum(before_seconds), 0.0),
    sum(mean * after_seconds) / nullif(sum(after_seconds), 0.0)
  FROM levels
  GROUP BY signal
  HAVING count(before_seconds) > 0 OR count(after_seconds) > 0
)
SELECT kind, name, before, after, round(before_mean, 4) AS before_mean, round(after_mean, 4) AS after_mean,
  round(after_mean - before_mean, 4) AS change
FROM sides
WHERE kind = 'signal' OR (before IS DISTINCT FROM after) OR (sides.before_mean IS DISTINCT FROM sides.after_mean)
ORDER BY CASE kind WHEN 'run' THEN 0 WHEN 'version' THEN 1 WHEN 'objective' THEN 2 WHEN 'finding' THEN 3 ELSE 4 END,
  name
