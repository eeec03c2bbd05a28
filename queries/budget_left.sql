-- Error budget left by objective and group, the emptiest first.
--
-- The latest status of each objective. A budget of null means that too little is known to say; how little, says
-- the coverage. Such rows come last, and are no sign of health.
--
-- Parameters
--   objective  text  NULL  only this objective
--   rack       text  NULL  only this rack
--   run        text  NULL  only this run; rolling windows and all runs when not given
-- Columns
--   objective                -  objective
--   group                    -  the group as JSON
--   scope                    -  rolling or run
--   run                      -  run
--   window                   -  length of the window, or run
--   state                    -  PASS, FAIL, INCONCLUSIVE
--   budget_left              1  share of the error budget that is left; negative when overspent
--   sli                      1  good by known time
--   coverage                 1  known by asked time
--   bad_seconds              s  bad time
--   unknown_seconds          s  unknown time
--   episodes                 -  maximal spans of bad time
--   longest_episode_seconds  s  the longest of them
--   burn_rates               -  burn rate by pair of windows, as JSON
--   since                    -  where the window begins
--   time                     -  event time of the status
SELECT objective, "group", scope, run, "window", state, round(budget_left, 6) AS budget_left,
  round(sli_known, 6) AS sli, round(coverage, 6) AS coverage, bad_seconds, unknown_seconds, episodes,
  longest_episode_seconds, burn_rates, since, time
FROM (
  SELECT *, row_number() OVER (PARTITION BY objective, "group", scope, run ORDER BY time DESC, seq DESC) AS newest
  FROM slo_status
  WHERE ($objective IS NULL OR objective = $objective)
    AND ($rack IS NULL OR rack = $rack)
    AND ($run IS NULL OR run = $run)
)
WHERE newest = 1
ORDER BY budget_left NULLS LAST, objective, "group", scope, run
