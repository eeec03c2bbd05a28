-- Gaps in telemetry: where did a series say nothing for longer than it should?
--
-- A gap reaches from one reading to the next one of the same series. Readings that were set aside (a sentinel, a
-- stale marker, an implausible value) do not end it. A gap that lasts has no end; its length is up to now.
--
-- Parameters
--   longer_than  length  90s                          the shortest gap to list
--   rack         text    NULL                         only this rack
--   signal       text    NULL                         only this signal
--   since        time    now() - INTERVAL '24 hours'  from then
--   until        time    now()                        up to then
-- Columns
--   site         -  site
--   loop         -  coolant loop
--   rack         -  rack
--   node         -  tray or host
--   device       -  GPU, pump, door, filter
--   signal       -  what is measured
--   sensor       -  which of several sensors
--   gap_start    -  time of the last reading before the gap
--   gap_end      -  time of the first reading after it; null while it lasts
--   gap_seconds  s  its length
WITH series AS (
  SELECT site, "loop", rack, node, device, signal, sensor,
    gaps(time, date_part('epoch', $longer_than), $until) AS gaps
  FROM samples
  WHERE flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND ($signal IS NULL OR signal = $signal)
    AND time >= $since AND time <= $until
  GROUP BY site, "loop", rack, node, device, signal, sensor
),
found AS (
  SELECT site, "loop", rack, node, device, signal, sensor, unnest(gaps) AS gap FROM series
)
SELECT site, "loop", rack, node, device, signal, sensor, gap['start'] AS gap_start, gap['end'] AS gap_end,
  date_part('epoch', coalesce(gap['end'], $until) - gap['start']) AS gap_seconds
FROM found
ORDER BY site, "loop", rack, node, device, signal, sensor, gap_start
