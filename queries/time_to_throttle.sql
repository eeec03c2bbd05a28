-- Time to throttle by rack: when does the first GPU slow down for heat, if it goes on like this?
--
-- A straight line through each GPU's margin over the span asked for, carried on to zero: a hint for people, no
-- prediction. The margin is the one that the GPU reports, else its slowdown temperature minus its temperature. A GPU
-- without either, or with readings of one time only, is unknown, which is not steady. The row of a rack is that of its
-- GPU that is worst off; the racks that are worst off come first.
--
-- Parameters
--   rack     text    NULL                           only this rack
--   since    time    now() - INTERVAL '30 minutes'  from then
--   until    time    NULL                           up to then; all there is when not given
--   horizon  length  4h                             what takes longer counts as steady
-- Columns
--   site            -      site
--   loop            -      coolant loop
--   rack            -      rack
--   outlook         -      throttled: no margin is left; rising: it runs out within the horizon; unknown; steady
--   seconds_left    s      until the margin is gone; 0 when it is; null when steady or unknown
--   node            -      tray or host of the GPU that is worst off
--   device          -      that GPU
--   margin          K      its latest margin
--   change          K/min  how fast its margin changes, by least squares; it shrinks when negative
--   gpus            -      GPUs that report
--   gpus_throttled  -      of these, without margin
--   gpus_rising     -      of these, that run out of margin within the horizon
--   gpus_unknown    -      of these, of which nothing can be said
--   last_time       -      the latest reading
WITH signals AS (
  SELECT site, "loop", rack, node, device, signal, last_value(value ORDER BY time) AS last, slope(value, time) AS slope,
    max(time) AS last_time
  FROM samples
  WHERE signal IN ('gpu_temperature', 'gpu_slowdown_temperature', 'gpu_temperature_margin')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
  GROUP BY site, "loop", rack, node, device, signal
),
gpus AS (
  SELECT site, "loop", rack, node, device,
    max(last) FILTER (WHERE signal = 'gpu_temperature_margin') AS reported,
    max(slope) FILTER (WHERE signal = 'gpu_temperature_margin') AS reported_slope,
    max(last) FILTER (WHERE signal = 'gpu_slowdown_temperature')
      - max(last) FILTER (WHERE signal = 'gpu_temperature') AS own,
    -max(slope) FILTER (WHERE signal = 'gpu_temperature') AS own_slope,
    max(last_time) AS last_time
  FROM signals
  GROUP BY site, "loop", rack, node, device
),
margins AS (
  SELECT site, "loop", rack, node, device, last_time, coalesce(reported, own) AS margin,
    CASE WHEN reported IS NOT NULL THEN reported_slope ELSE own_slope END AS per_second
  FROM gpus
),
outlooks AS (
  SELECT *,
    CASE WHEN margin <= 0.0 THEN 0.0 WHEN per_second < 0.0 THEN margin / -per_second END AS seconds
  FROM margins
),
ranked AS (
  SELECT *,
    CASE
      WHEN margin <= 0.0 THEN 0
      WHEN seconds <= date_part('epoch', $horizon) THEN 1
      WHEN margin IS NULL OR per_second IS NULL THEN 2
      ELSE 3
    END AS rank
  FROM outlooks
),
placed AS (
  SELECT *,
    row_number() OVER (PARTITION BY site, "loop", rack ORDER BY rank, seconds, margin, node, device) AS place,
    count(*) OVER (PARTITION BY site, "loop", rack) AS gpus,
    sum(CASE WHEN rank = 0 THEN 1 ELSE 0 END) OVER (PARTITION BY site, "loop", rack) AS gpus_throttled,
    sum(CASE WHEN rank = 1 THEN 1 ELSE 0 END) OVER (PARTITION BY site, "loop", rack) AS gpus_rising,
    sum(CASE WHEN rank = 2 THEN 1 ELSE 0 END) OVER (PARTITION BY site, "loop", rack) AS gpus_unknown,
    max(last_time) OVER (PARTITION BY site, "loop", rack) AS latest
  FROM ranked
)
SELECT site, "loop", rack,
  CASE rank WHEN 0 THEN 'throttled' WHEN 1 THEN 'rising' WHEN 2 THEN 'unknown' ELSE 'steady' END AS outlook,
  CASE WHEN rank <= 1 THEN round(seconds, 0) END AS seconds_left,
  node, device, round(margin, 2) AS margin, round(60.0 * per_second, 3) AS change,
  gpus, gpus_throttled, gpus_rising, gpus_unknown, latest AS last_time
FROM placed
WHERE place = 1
ORDER BY rank, seconds, margin, site, "loop", rack
