-- Workload against cooling: how hard does a rack work, and how does its cooling respond?
--
-- For each rack and span of time: how busy its GPUs are and what they draw, beside flow, temperatures and the heat that
-- the coolant carries. Means are time-weighted over the readings of the span. What is not reported is null.
--
-- Parameters
--   rack     text    NULL                        only this rack
--   since    time    now() - INTERVAL '6 hours'  from then
--   until    time    NULL                        up to then; all there is when not given
--   bucket   length  5m                          length of a span
--   coolant  text    'pg25'                      pg25 or water
-- Columns
--   site                 -      site
--   loop                 -      coolant loop
--   rack                 -      rack
--   time                 -      start of the span
--   gpu_utilization      %      mean over GPUs and time
--   gpu_power            kW     mean power of all GPUs that report it, together
--   power                kW     mean rack power
--   flow                 L/min  mean coolant flow
--   supply               Cel    mean coolant supply temperature
--   return               Cel    mean coolant return temperature
--   delta_t              K      return minus supply
--   return_rise          K/min  how fast the return temperature rises, by least squares
--   heat                 kW     heat that the coolant carries
--   gpu_temperature_max  Cel    highest GPU temperature
WITH series AS (
  SELECT site, "loop", rack, node, device, signal, sensor,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z') AS bucket,
    time_weighted_avg(value, time) AS mean, max(value) AS highest, 60.0 * slope(value, time) AS rise
  FROM samples
  WHERE signal IN ('gpu_utilization', 'gpu_power', 'gpu_temperature', 'rack_power', 'coolant_flow',
                   'coolant_supply_temperature', 'coolant_return_temperature')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
  GROUP BY site, "loop", rack, node, device, signal, sensor,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z')
),
racks AS (
  SELECT site, "loop", rack, bucket,
    avg(mean) FILTER (WHERE signal = 'gpu_utilization') AS gpu_utilization,
    sum(mean) FILTER (WHERE signal = 'gpu_power') / 1000.0 AS gpu_power,
    avg(mean) FILTER (WHERE signal = 'rack_power') AS power,
    avg(mean) FILTER (WHERE signal = 'coolant_flow' AND node IS NULL AND device IS NULL) AS flow,
    avg(mean) FILTER (WHERE signal = 'coolant_supply_temperature' AND node IS NULL AND device IS NULL) AS supply,
    avg(mean) FILTER (WHERE signal = 'coolant_return_temperature' AND node IS NULL AND device IS NULL) AS return,
    avg(rise) FILTER (WHERE signal = 'coolant_return_temperature' AND node IS NULL AND device IS NULL) AS return_rise,
    max(highest) FILTER (WHERE signal = 'gpu_temperature') AS gpu_temperature_max
  FROM series
  GROUP BY site, "loop", rack, bucket
)
SELECT site, "loop", rack, bucket AS time, round(gpu_utilization, 1) AS gpu_utilization,
  round(gpu_power, 3) AS gpu_power, round(power, 3) AS power, round(flow, 3) AS flow, round(supply, 3) AS supply,
  round(return, 3) AS return, round(return - supply, 3) AS delta_t, round(return_rise, 3) AS return_rise,
  round(heat_kw(flow, return - supply, $coolant), 3) AS heat, gpu_temperature_max
FROM racks
ORDER BY site, "loop", rack, time
