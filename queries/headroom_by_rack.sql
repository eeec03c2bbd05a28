-- Headroom by rack: how much power can it sustain, and what limits it first?
--
-- The latest row of each limit, now and at design ambient. The limit that allows least of those that are known binds;
-- where a limit is unknown another one may allow less, so that `unknown_limits` must be looked at too. Figures are
-- estimates of the evaluator from lower loads; the interval says with 90 % confidence where the limit is.
--
-- Parameters
--   rack     text    NULL                        only this rack
--   ambient  text    NULL                        only this: now or design
--   planned  number  NULL                        kW: power that is planned, to compare with
--   since    time    now() - INTERVAL '1 hour'   rows that are older are not shown
-- Columns
--   rack            -   rack
--   ambient         -   now, or design: facility water as warm as it gets
--   binding         -   limit that allows least: chip, return, cdu, pump, door; null where none is known
--   sustainable     kW  electrical power that it allows
--   lower           kW  lower end of its 90 % interval
--   upper           kW  upper end
--   headroom        1   sustainable by planned power, minus 1
--   chip            kW  what the GPUs allow
--   return          kW  what the return temperature allows
--   cdu             kW  what the distribution unit's exchanger allows
--   pump            kW  what the pump at full speed allows
--   door            kW  what the rear door allows
--   unknown_limits  -   limits that apply and are not known
--   time            -   event time of these figures
WITH newest AS (
  SELECT rack, split_part("limit", '/', 1) AS ambient, split_part("limit", '/', 2) AS bound, value, confidence,
    time, max(time) OVER (PARTITION BY rack) AS latest
  FROM headroom
  WHERE ($rack IS NULL OR rack = $rack) AND time >= $since
),
limits AS (
  SELECT rack, ambient, bound, max(time) AS time,
    max(value) FILTER (WHERE confidence = 0.5) AS estimate,
    max(value) FILTER (WHERE confidence = 0.95) AS lower,
    max(value) FILTER (WHERE confidence = 0.05) AS upper,
    bool_or(confidence = 0) AS is_unknown
  FROM newest
  WHERE time = latest AND ($ambient IS NULL OR ambient = $ambient)
  GROUP BY rack, ambient, bound
),
ranked AS (
  SELECT *, row_number() OVER (PARTITION BY rack, ambient ORDER BY estimate NULLS LAST, bound) AS place
  FROM limits
)
SELECT rack, ambient,
  max(bound) FILTER (WHERE place = 1 AND estimate IS NOT NULL) AS binding,
  max(estimate) FILTER (WHERE place = 1) AS sustainable,
  max(lower) FILTER (WHERE place = 1) AS lower,
  max(upper) FILTER (WHERE place = 1) AS upper,
  max(estimate) FILTER (WHERE place = 1) / $planned - 1 AS headroom,
  max(estimate) FILTER (WHERE bound = 'chip') AS chip,
  max(estimate) FILTER (WHERE bound = 'return') AS "return",
  max(estimate) FILTER (WHERE bound = 'cdu') AS cdu,
  max(estimate) FILTER (WHERE bound = 'pump') AS pump,
  max(estimate) FILTER (WHERE bound = 'door') AS door,
  string_agg(bound, ', ' ORDER BY bound) FILTER (WHERE is_unknown) AS unknown_limits,
  max(time) AS time
FROM ranked
GROUP BY rack, ambient
ORDER BY sustainable NULLS LAST, rack, ambient
