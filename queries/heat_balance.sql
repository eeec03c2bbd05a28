-- Heat balance by rack: does the coolant carry away what the rack draws?
--
-- Means of all readings of a span, each reading with equal weight. A rack without flow or without coolant sensors
-- has a row with nulls: no coolant data is not the same as no heat. A ratio far from 1 means a coolant other than
-- the one assumed, heat that leaves by air, or a sensor that drifts.
--
-- Parameters
--   rack           text    NULL                       only this rack
--   since          time    now() - INTERVAL '1 hour'  from then
--   until          time    NULL                       up to then; all there is when not given
--   heat_capacity  number  4.15                       kJ/(L K): water 4.15, 25 % propylene glycol 3.98 to 4.00
-- Columns
--   site                   -         site
--   loop                   -         coolant loop
--   rack                   -         rack
--   flow                   L/min     mean coolant flow
--   supply                 Cel       mean coolant supply temperature
--   return                 Cel       mean coolant return temperature
--   delta_t                K         return minus supply
--   power                  kW        mean rack power
--   heat                   kW        heat that the coolant carries with the heat capacity given
--   ratio                  1         heat by power
--   implied_heat_capacity  kJ/(L K)  the heat capacity at which heat equals power
--   flow_per_power         L/min/kW  flow by power
--   differential_pressure  kPa       mean coolant differential pressure
--   readings               -         readings behind these means
WITH series AS (
  SELECT site, "loop", rack, signal, sensor, avg(value) AS mean, count(value) AS readings
  FROM samples
  WHERE signal IN ('coolant_flow', 'coolant_supply_temperature', 'coolant_return_temperature', 'rack_power',
                   'coolant_differential_pressure')
    AND rack IS NOT NULL AND node IS NULL AND device IS NULL
    AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
  GROUP BY site, "loop", rack, signal, sensor
),
racks AS (
  SELECT site, "loop", rack,
    avg(mean) FILTER (WHERE signal = 'coolant_flow') AS flow,
    avg(mean) FILTER (WHERE signal = 'coolant_supply_temperature') AS supply,
    avg(mean) FILTER (WHERE signal = 'coolant_return_temperature') AS return,
    avg(mean) FILTER (WHERE signal = 'rack_power') AS power,
    avg(mean) FILTER (WHERE signal = 'coolant_differential_pressure') AS differential_pressure,
    sum(readings) AS readings
  FROM series
  GROUP BY site, "loop", rack
)
SELECT site, "loop", rack, round(flow, 4) AS flow, round(supply, 4) AS supply, round(return, 4) AS return,
  round(return - supply, 4) AS delta_t, round(power, 4) AS power,
  round($heat_capacity * flow / 60.0 * (return - supply), 4) AS heat,
  round($heat_capacity * flow / 60.0 * (return - supply) / nullif(power, 0.0), 4) AS ratio,
  round(power / nullif(flow / 60.0 * (return - supply), 0.0), 4) AS implied_heat_capacity,
  round(flow / nullif(power, 0.0), 4) AS flow_per_power,
  round(differential_pressure, 4) AS differential_pressure, readings
FROM racks
ORDER BY site, "loop", rack
