-- Thermal margin by rack: how far is the hottest GPU from slowing down, and the coolant from its limit?
--
-- The margin of a GPU is the one that it reports, else its own slowdown temperature minus its temperature. Where
-- neither is reported it is null: not known, not fine. The racks with the least margin come first. A rack that sent none
-- of its readings in that time is not listed: `thermogate status` and query `telemetry_gaps` show it.
--
-- Parameters
--   rack          text    NULL                           only this rack
--   since         time    now() - INTERVAL '10 minutes'  from then
--   until         time    NULL                           up to then; all there is when not given
--   supply_limit  number  45.0                           Cel: highest coolant supply temperature that is allowed
-- Columns
--   site                 -    site
--   loop                 -    coolant loop
--   rack                 -    rack
--   gpu_margin           K    least margin of any GPU before it slows down
--   gpu_margin_node      -    tray or host of that GPU
--   gpu_margin_device    -    that GPU
--   gpu_temperature_max  Cel  highest GPU temperature
--   supply_max           Cel  highest coolant supply temperature
--   supply_margin        K    supply_limit minus supply_max
--   dew_point_margin     K    least supply temperature minus highest dew point
--   delta_t_max          K    highest return minus lowest supply temperature
--   gpus                 -    GPUs that report
--   last_time            -    the latest reading
WITH series AS (
  SELECT site, "loop", rack, node, device, signal, max(value) AS highest, min(value) AS lowest, max(time) AS last_time
  FROM samples
  WHERE signal IN ('gpu_temperature', 'gpu_slowdown_temperature', 'gpu_temperature_margin',
                   'coolant_supply_temperature', 'coolant_return_temperature', 'dew_point')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
  GROUP BY site, "loop", rack, node, device, signal
),
devices AS (
  SELECT site, "loop", rack, node, device, count(*) FILTER (WHERE signal LIKE 'gpu_%') > 0 AS is_gpu,
    coalesce(min(lowest) FILTER (WHERE signal = 'gpu_temperature_margin'),
             min(lowest) FILTER (WHERE signal = 'gpu_slowdown_temperature')
               - max(highest) FILTER (WHERE signal = 'gpu_temperature')) AS margin,
    max(highest) FILTER (WHERE signal = 'gpu_temperature') AS temperature,
    max(highest) FILTER (WHERE signal = 'coolant_supply_temperature') AS supply_max,
    min(lowest) FILTER (WHERE signal = 'coolant_supply_temperature') AS supply_min,
    max(highest) FILTER (WHERE signal = 'coolant_return_temperature') AS return_max,
    max(highest) FILTER (WHERE signal = 'dew_point') AS dew_point_max,
    max(last_time) AS last_time
  FROM series
  GROUP BY site, "loop", rack, node, device
),
racks AS (
  SELECT site, "loop", rack, min(margin) AS gpu_margin,
    first_value(node ORDER BY margin NULLS LAST, node, device) FILTER (WHERE is_gpu) AS gpu_margin_node,
    first_value(device ORDER BY margin NULLS LAST, node, device) FILTER (WHERE is_gpu) AS gpu_margin_device,
    max(temperature) AS gpu_temperature_max, count(*) FILTER (WHERE is_gpu) AS gpus,
    max(supply_max) AS supply_max, min(supply_min) AS supply_min, max(return_max) AS return_max,
    max(dew_point_max) AS dew_point_max, max(last_time) AS last_time
  FROM devices
  GROUP BY site, "loop", rack
)
SELECT site, "loop", rack, round(gpu_margin, 2) AS gpu_margin,
  CASE WHEN gpu_margin IS NOT NULL THEN gpu_margin_node END AS gpu_margin_node,
  CASE WHEN gpu_margin IS NOT NULL THEN gpu_margin_device END AS gpu_margin_device,
  gpu_temperature_max, supply_max,
  round($supply_limit - supply_max, 2) AS supply_margin,
  round(supply_min - dew_point_max, 2) AS dew_point_margin,
  round(return_max - supply_min, 2) AS delta_t_max,
  gpus, last_time
FROM racks
ORDER BY gpu_margin NULLS LAST, supply_max DESC NULLS LAST, site, rack
