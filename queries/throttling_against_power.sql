-- Throttling against power: does a rack slow down because it is hot, and at which load?
--
-- For each rack and span of time: how long its GPUs were slowed down for heat, beside power, temperatures and flow.
-- Time throttled is the growth of each GPU's counter; a counter that falls has begun anew and counts from zero.
--
-- Parameters
--   rack    text    NULL                        only this rack
--   since   time    now() - INTERVAL '6 hours'  from then
--   until   time    NULL                        up to then; all there is when not given
--   bucket  length  5m                          length of a span
-- Columns
--   site                 -      site
--   loop                 -      coolant loop
--   rack                 -      rack
--   time                 -      start of the span
--   throttled_seconds    s      time throttled, summed over GPUs
--   throttled_gpus       -      GPUs that were throttled
--   power                kW     mean rack power
--   gpu_temperature_max  Cel    highest GPU temperature
--   supply_max           Cel    highest coolant supply temperature
--   flow                 L/min  mean coolant flow
WITH spans AS (
  SELECT site, "loop", rack, node, device, signal, sensor,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z') AS bucket,
    avg(value) AS mean, max(value) AS highest,
    first_value(value ORDER BY time) FILTER (WHERE signal = 'gpu_thermal_throttle_time') AS first,
    last_value(value ORDER BY time) FILTER (WHERE signal = 'gpu_thermal_throttle_time') AS last,
    delta(value, time) FILTER (WHERE signal = 'gpu_thermal_throttle_time') AS within
  FROM samples
  WHERE signal IN ('gpu_thermal_throttle_time', 'rack_power', 'gpu_temperature', 'coolant_supply_temperature',
                   'coolant_flow')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
  GROUP BY site, "loop", rack, node, device, signal, sensor,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z')
),
joined AS (
  SELECT *,
    lag(last) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor ORDER BY bucket) AS before
  FROM spans
),
series AS (
  SELECT *, coalesce(within, 0.0)
      + CASE WHEN before IS NULL THEN 0.0 WHEN first < before THEN first ELSE first - before END AS grown
  FROM joined
)
SELECT site, "loop", rack, bucket AS time,
  round(sum(grown) FILTER (WHERE signal = 'gpu_thermal_throttle_time'), 3) AS throttled_seconds,
  count(*) FILTER (WHERE signal = 'gpu_thermal_throttle_time' AND grown > 0.0) AS throttled_gpus,
  round(avg(mean) FILTER (WHERE signal = 'rack_power'), 3) AS power,
  max(highest) FILTER (WHERE signal = 'gpu_temperature') AS gpu_temperature_max,
  max(highest) FILTER (WHERE signal = 'coolant_supply_temperature') AS supply_max,
  round(avg(mean) FILTER (WHERE signal = 'coolant_flow'), 3) AS flow
FROM series
GROUP BY site, "loop", rack, bucket
ORDER BY site, "loop", rack, bucket
