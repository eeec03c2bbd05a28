-- Headroom by rack: how much power can it sustain, and what limits it first?
--
-- The latest row of each limit, now and at design ambient. The limit that allows least of those that are known binds.
-- Where a limit is unknown it may allow less: then nothing is said to be sustainable, only what is at most. Figures are
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
--   sustainable     kW  electrical power that it allows; null while a limit that applies is unknown
--   lower           kW  lower end of its 90 % interval; null likewise
--   upper           kW  upper end; null likewise
--   headroom        1   sustainable by planned power, minus 1; null likewise
--   at_most         kW  what the known limits allow
--   chip            kW  what the GPUs allow
--   return          kW  what the return temperature allows
--   cdu             kW  what the distribution unit's exchanger allows
--   pump            kW  what the pump at full speed allows
--   door            kW  what the rear door allows
--   unknown_limits  -   limits that apply and are not known
--   time            -   event time of these figures
WITH latest AS (
  SELECT rack, max(time) AS time
  FROM headroom
  WHERE ($rack IS NULL OR rack = $rack) AND time >= $since
  GROUP BY rack
),
limits AS (
  SELECT rack, ambient, bound, max(time) AS time,
    max(value) FILTER (WHERE confidence = 0.5) AS estimate,
    max(value) FILTER (WHERE confidence = 0.95) AS lower,
    max(value) FILTER (WHERE confidence = 0.05) AS upper,
    max(bound) FILTER (WHERE confidence = 0.0) AS unknown
  FROM (
    SELECT headroom.rack AS rack, headroom.time AS time, value, confidence, split_part("limit", '/', 1) AS ambient,
      split_part("limit", '/', 2) AS bound
    FROM headroom
    JOIN latest ON latest.rack = headroom.rack AND latest.time = headroom.time
  )
  GROUP BY rack, ambient, bound
),
found AS (
SELECT rack, ambient,
  CASE WHEN min(estimate) IS NOT NULL THEN first_value(bound ORDER BY estimate NULLS LAST, bound) END AS binding,
  min(estimate) AS at_most,
  first_value(lower ORDER BY estimate NULLS LAST, bound) AS lower,
  first_value(upper ORDER BY estimate NULLS LAST, bound) AS upper,
  max(estimate) FILTER (WHERE bound = 'chip') AS chip,
  max(estimate) FILTER (WHERE bound = 'return') AS "return",
  max(estimate) FILTER (WHERE bound = 'cdu') AS cdu,
  max(estimate) FILTER (WHERE bound = 'pump') AS pump,
  max(estimate) FILTER (WHERE bound = 'door') AS door,
  nullif(concat_ws(', ', max(unknown) FILTER (WHERE bound = 'chip'), max(unknown) FILTER (WHERE bound = 'return'),
    max(unknown) FILTER (WHERE bound = 'cdu'), max(unknown) FILTER (WHERE bound = 'pump'),
    max(unknown) FILTER (WHERE bound = 'door')), '') AS unknown_limits,
  max(time) AS time
FROM limits
WHERE $ambient IS NULL OR ambient = $ambient
GROUP BY rack, ambient
)
SELECT rack, ambient, binding,
  CASE WHEN unknown_limits IS NULL THEN round(at_most, 1) END AS sustainable,
  CASE WHEN unknown_limits IS NULL THEN round(lower, 1) END AS lower,
  CASE WHEN unknown_limits IS NULL THEN round(upper, 1) END AS upper,
  CASE WHEN unknown_limits IS NULL THEN round(at_most / $planned - 1.0, 4) END AS headroom,
  round(at_most, 1) AS at_most, round(chip, 1) AS chip, round("return", 1) AS "return", round(cdu, 1) AS cdu,
  round(pump, 1) AS pump, round(door, 1) AS door, unknown_limits, time
FROM found
ORDER BY at_most NULLS LAST, rack, ambient
