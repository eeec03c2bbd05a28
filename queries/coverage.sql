-- Coverage and staleness by series: how much of the time is known, and what was set aside?
--
-- A reading holds until the next one, at most for `hold`. Asked time begins with the first reading of the series.
--
-- Parameters
--   hold    length  90s                          how long a reading holds
--   rack    text    NULL                         only this rack
--   signal  text    NULL                         only this signal
--   since   time    now() - INTERVAL '24 hours'  from then
--   until   time    now()                        up to then
-- Columns
--   site              -  site
--   loop              -  coolant loop
--   rack              -  rack
--   node              -  tray or host
--   device            -  GPU, pump, door, filter
--   signal            -  what is measured
--   sensor            -  which of several sensors
--   readings          -  readings that can be judged
--   set_aside         -  readings that can not: implausible, sentinel, future, distrusted, stale
--   late              -  readings that came behind the watermark
--   median_interval   s  median time between two readings
--   longest_interval  s  longest time between two readings
--   stale_spans       -  times at which a reading was older than hold before the next one came, or is now
--   known_seconds     s  time that is known
--   asked_seconds     s  time since the first reading
--   coverage          1  known by asked time
--   minimum           -  smallest reading, in the signal's unit
--   mean              -  mean of the readings
--   maximum           -  greatest reading
--   last_time         -  the latest reading
--   age_seconds       s  its age
WITH series AS (
  SELECT site, "loop", rack, node, device, signal, sensor,
    count(*) FILTER (WHERE good) AS readings,
    count(*) FILTER (WHERE NOT good) AS set_aside,
    count(*) FILTER (WHERE flag = 'late') AS late,
    reading_intervals(time, date_part('epoch', $hold), $until) FILTER (WHERE good) AS intervals,
    date_part('epoch', $until - min(time) FILTER (WHERE good)) AS asked_seconds,
    min(value) FILTER (WHERE good) AS minimum,
    avg(value) FILTER (WHERE good) AS mean,
    max(value) FILTER (WHERE good) AS maximum,
    max(time) FILTER (WHERE good) AS last_time
  FROM (
    SELECT *, flag IN ('ok', 'unusual', 'late') AS good
    FROM samples
    WHERE ($rack IS NULL OR rack = $rack)
      AND ($signal IS NULL OR signal = $signal)
      AND time >= $since AND time <= $until
  )
  GROUP BY site, "loop", rack, node, device, signal, sensor
)
SELECT site, "loop", rack, node, device, signal, sensor, readings, set_aside, late,
  intervals['median_seconds'] AS median_interval, intervals['longest_seconds'] AS longest_interval,
  coalesce(intervals['stale_spans'], 0) AS stale_spans, intervals['known_seconds'] AS known_seconds, asked_seconds,
  round(intervals['known_seconds'] / nullif(asked_seconds, 0.0), 6) AS coverage,
  minimum, round(mean, 4) AS mean, maximum, last_time, date_part('epoch', $until - last_time) AS age_seconds
FROM series
ORDER BY site, "loop", rack, node, device, signal, sensor
