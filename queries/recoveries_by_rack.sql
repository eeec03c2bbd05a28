-- Recoveries by rack: how long does it take to settle after bursts of load, and how many bursts were late?
--
-- Bursts as the recovery-time objectives in force have seen them. A burst that was late is counted once, and its time is
-- known once it has settled. Censored: the load made another step before anything could be said. Unknown: readings were
-- missing. Neither is in time, and neither is late.
--
-- Parameters
--   rack       text  NULL                       only this rack
--   objective  text  NULL                       only this objective
--   since      time  now() - INTERVAL '7 days'  bursts that were decided before are not shown
-- Columns
--   rack             -  rack
--   objective        -  objective
--   bursts           -  bursts that were decided
--   in_time          -  of these, settled within the limit
--   late             -  still out after it
--   censored         -  not seen to their end
--   unknown          -  readings were missing
--   median_seconds   s  median time of those that settled, in time or late
--   longest_seconds  s  the longest of them
--   time             -  event time of the last row
SELECT rack, objective,
  count(*) FILTER (WHERE outcome <> 'late_settled') AS bursts,
  count(*) FILTER (WHERE outcome = 'within') AS in_time,
  count(*) FILTER (WHERE outcome = 'late') AS late,
  count(*) FILTER (WHERE outcome = 'censored') AS censored,
  count(*) FILTER (WHERE outcome = 'unknown') AS unknown,
  round(median(seconds) FILTER (WHERE outcome IN ('within', 'late_settled')), 1) AS median_seconds,
  round(max(seconds) FILTER (WHERE outcome IN ('within', 'late_settled')), 1) AS longest_seconds,
  max(time) AS time
FROM recoveries
WHERE time >= $since AND ($rack IS NULL OR rack = $rack) AND ($objective IS NULL OR objective = $objective)
GROUP BY rack, objective
ORDER BY late DESC, rack, objective
