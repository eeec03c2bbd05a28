-- Energy of a run: what did each of its racks draw, and how much of it did the coolant carry away?
--
-- Sums over the known time of the blocks (60 s) that begin within the run; nothing is made up for time that is not
-- known, of which the coverage tells. A run that has not ended is summed up to now. Heat needs flow, supply and return
-- of the same block.
--
-- Parameters
--   run      text  required  id of the run
--   coolant  text  'pg25'    pg25 or water
-- Columns
--   run            -    run
--   rack           -    rack
--   start          -    when the run took effect
--   until          -    its end, or now
--   seconds        s    its length
--   known_seconds  s    time of which rack power is known
--   coverage       1    known by whole time
--   energy         kWh  electrical energy in the known time; null when none is known
--   mean_power     kW   mean rack power in the known time
--   highest_power  kW   highest rack power
--   gpu_energy     kWh  energy of its GPUs in their known time; null when they do not report it
--   heat           kWh  heat that the coolant carried where flow, supply and return are known; null where they never are
--   heat_seconds   s    time of which it is known
--   liquid_share   1    mean heat by mean power; far from the share of liquid cooling when a sensor lies
WITH one_run AS (
  SELECT racks, start, coalesce("end", now()) AS until FROM runs WHERE run = $run ORDER BY time DESC, seq DESC LIMIT 1
),
on_racks AS (
  -- No run has as many: with a limit it is known beforehand that they are few, and they are looked up by all readers.
  SELECT start, until, unnest(racks) AS on_rack FROM one_run LIMIT 100000
),
minutes AS (
  SELECT on_rack, blocks.time AS time, min(start) AS start, min(until) AS until,
    avg(mean) FILTER (WHERE signal = 'rack_power') AS power,
    max(maximum) FILTER (WHERE signal = 'rack_power') AS highest,
    max(known_seconds) FILTER (WHERE signal = 'rack_power') AS power_seconds,
    sum(mean * known_seconds) FILTER (WHERE signal = 'gpu_power') AS gpu_joules,
    avg(mean) FILTER (WHERE signal = 'coolant_flow' AND node IS NULL AND device IS NULL) AS flow,
    avg(mean) FILTER (WHERE signal = 'coolant_supply_temperature' AND node IS NULL AND device IS NULL) AS supply,
    avg(mean) FILTER (WHERE signal = 'coolant_return_temperature' AND node IS NULL AND device IS NULL) AS return,
    min(known_seconds) FILTER (WHERE signal NOT IN ('rack_power', 'gpu_power') AND node IS NULL AND device IS NULL) AS coolant_seconds
  FROM on_racks
  -- Bounds that are known before blocks are read: row groups of other days are left out.
  LEFT JOIN blocks ON blocks.rack = on_rack
    AND blocks.time >= (SELECT start FROM one_run) AND blocks.time < (SELECT until FROM one_run)
    AND signal IN ('rack_power', 'gpu_power', 'coolant_flow', 'coolant_supply_temperature',
                   'coolant_return_temperature')
    AND known_seconds > 0.0
  GROUP BY on_rack, blocks.time
),
heats AS (
  SELECT *, heat_kw(flow, return - supply, $coolant) AS heat FROM minutes
),
sums AS (
  SELECT on_rack, min(start) AS start, min(until) AS until, coalesce(sum(power_seconds), 0.0) AS known_seconds,
    sum(power * power_seconds) AS kilojoules, max(highest) AS highest_power, sum(gpu_joules) AS gpu_joules,
    sum(heat * coolant_seconds) AS heat_kilojoules,
    sum(coolant_seconds) FILTER (WHERE heat IS NOT NULL) AS heat_seconds
  FROM heats
  GROUP BY on_rack
),
known AS (
  SELECT *, date_part('epoch', until - start) AS seconds, kilojoules / nullif(known_seconds, 0.0) AS mean_power FROM sums
)
SELECT $run AS run, on_rack AS rack, start, until, seconds, known_seconds,
  round(known_seconds / nullif(seconds, 0.0), 6) AS coverage, round(kilojoules / 3600.0, 4) AS energy,
  round(mean_power, 3) AS mean_power, round(highest_power, 3) AS highest_power,
  round(gpu_joules / 3.6e6, 4) AS gpu_energy, round(heat_kilojoules / 3600.0, 4) AS heat,
  coalesce(heat_seconds, 0.0) AS heat_seconds,
  round((heat_kilojoules / nullif(heat_seconds, 0.0)) / nullif(mean_power, 0.0), 4) AS liquid_share
FROM known
ORDER BY on_rack
