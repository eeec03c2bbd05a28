#!/usr/bin/env python3
"""The named queries beside duckdb, over the same Parquet files.

    cargo build --release --bins --workspace
    tests/bench/queries.py                                  # 200 million samples of 30,000 series
    tests/bench/queries.py --samples 18000000 --keep /tmp/q # and keeps the data folder; again with --data /tmp/q/data

Wanted in .venv: duckdb, deltalake (tests/run --install). thermogate answers over HTTP, duckdb in this process, both with
two threads and the same memory; each query is asked --times times in turns and the median is told. duckdb gets the text
of the query with its parameters written in, over the files that the newest version of each table names; what it cannot say
is told as such. Both answers are compared value by value, numbers as far as their rounding allows.
"""
import argparse
import decimal
import http.client
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import ingest

sys.path[:0] = [str(folder) for folder in (ingest.ROOT / ".venv/lib").glob("python3*/site-packages")]
try:
    import duckdb  # from the virtual environment of the tests
    import pyarrow.ipc
    from deltalake import DeltaTable
except ImportError as missing:
    sys.exit(f"{missing.name} is wanted: tests/run --install puts it into .venv")

MEMORY_BYTES = 8_000_000_000
RUNS = ("bench-1", "bench-2")
# The samples end with yesterday.
MIDNIGHT = int(time.time()) // 86_400 * 86_400_000
# Merging is waited for until there are so few files of samples, or for so long.
FILES_MAX, MERGING_SECONDS_MAX = 8, 900
# What ours have and duckdb has not; `now` is a watermark in both.
MACROS = """
CREATE MACRO date_bin(width, moment, origin) AS time_bucket(width, moment, origin::TIMESTAMPTZ);
CREATE MACRO slope(value, moment) AS regr_slope(value, epoch(moment));
CREATE MACRO heat_kw(flow, delta, coolant) AS flow / 60.0 * delta * CASE coolant WHEN 'water' THEN 4.15 ELSE 3.98 END;
"""

# Where ours has an aggregate of its own: from which words on, up to which others, duckdb is asked what else.
LAST_SELECT = "\nSELECT "
IN_DUCKDB = {"coverage": ("WITH series AS (", LAST_SELECT, """
WITH readings AS (
  SELECT site, "loop", rack, node, device, signal, sensor, time, value, flag,
    flag IN ('ok', 'unusual', 'late') AS good,
    lead(time) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor,
      flag IN ('ok', 'unusual', 'late') ORDER BY time) AS next_time
  FROM samples
  WHERE ($rack IS NULL OR rack = $rack) AND ($signal IS NULL OR signal = $signal) AND time >= $since AND time <= $until
),
series AS (
  SELECT site, "loop", rack, node, device, signal, sensor,
    count(*) FILTER (WHERE good) AS readings, count(*) FILTER (WHERE NOT good) AS set_aside,
    count(*) FILTER (WHERE flag = 'late') AS late,
    {'median_seconds': median(epoch(next_time - time)) FILTER (WHERE good AND next_time IS NOT NULL),
      'longest_seconds': max(epoch(next_time - time)) FILTER (WHERE good),
      'stale_spans': count(*) FILTER (WHERE good AND coalesce(next_time, $until) - time > $hold),
      'known_seconds': sum(epoch(least(coalesce(next_time, $until) - time, $hold))) FILTER (WHERE good)} AS intervals,
    epoch($until - min(time) FILTER (WHERE good)) AS asked_seconds,
    min(value) FILTER (WHERE good) AS minimum, avg(value) FILTER (WHERE good) AS mean,
    max(value) FILTER (WHERE good) AS maximum, max(time) FILTER (WHERE good) AS last_time
  FROM readings
  GROUP BY site, "loop", rack, node, device, signal, sensor
)"""), "throttling_against_power": ("WITH spans AS (", LAST_SELECT, """
WITH readings AS (
  SELECT site, "loop", rack, node, device, signal, sensor, value,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z') AS bucket,
    lag(value) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor ORDER BY time) AS before
  FROM samples
  WHERE signal IN ('gpu_thermal_throttle_time', 'rack_power', 'gpu_temperature', 'coolant_supply_temperature',
                   'coolant_flow')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
),
series AS (
  SELECT site, "loop", rack, node, device, signal, sensor, bucket,
    avg(value) AS mean, max(value) AS highest,
    sum(CASE WHEN before IS NULL THEN 0.0 WHEN value < before THEN value ELSE value - before END) AS grown
  FROM readings
  GROUP BY site, "loop", rack, node, device, signal, sensor, bucket
)"""), "telemetry_gaps": ("WITH series AS (", LAST_SELECT, """
WITH readings AS (
  SELECT site, "loop", rack, node, device, signal, sensor, time,
    lead(time) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor ORDER BY time) AS next_time
  FROM samples
  WHERE flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND ($signal IS NULL OR signal = $signal)
    AND time >= $since AND time <= $until
),
found AS (
  SELECT site, "loop", rack, node, device, signal, sensor, {'start': time, 'end': next_time} AS gap
  FROM readings
  WHERE coalesce(next_time, $until) - time > $longer_than
)"""), "workload_against_cooling": ("WITH series AS (", "racks AS (", """WITH readings AS (
  SELECT site, "loop", rack, node, device, signal, sensor, time, value,
    date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z') AS bucket,
    lead(time) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor,
      date_bin($bucket, time, TIMESTAMP '1970-01-01T00:00:00Z') ORDER BY time) AS next_time
  FROM samples
  WHERE signal IN ('gpu_utilization', 'gpu_power', 'gpu_temperature', 'rack_power', 'coolant_flow',
                   'coolant_supply_temperature', 'coolant_return_temperature')
    AND rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late')
    AND ($rack IS NULL OR rack = $rack)
    AND time >= $since AND ($until IS NULL OR time <= $until)
),
series AS (
  SELECT site, "loop", rack, node, device, signal, sensor, bucket,
    sum(value * epoch(next_time - time)) / sum(epoch(next_time - time)) AS mean,
    max(value) AS highest, 60.0 * slope(value, time) AS rise
  FROM readings
  GROUP BY site, "loop", rack, node, device, signal, sensor, bucket
),
"""), "worst_racks": ("series AS (", "devices AS (", """readings AS (
  SELECT site, "loop", rack, node, device, signal, sensor, time, value,
    lag(value) OVER (PARTITION BY site, "loop", rack, node, device, signal, sensor ORDER BY time) AS before
  FROM samples
  WHERE rack IS NOT NULL AND flag IN ('ok', 'unusual', 'late') AND time >= $since
),
series AS (
  SELECT rack, node, device, signal, max(time) AS last_time, min(value) AS lowest, max(value) AS highest,
    sum(CASE WHEN before IS NULL THEN 0.0 WHEN value < before THEN value ELSE value - before END)
      FILTER (WHERE signal = 'gpu_thermal_throttle_time') AS grown
  FROM readings
  GROUP BY site, "loop", rack, node, device, signal, sensor
),
""")}


def fill(arguments, folder):
    """Two runs on all racks, one after the other, each half of the samples."""
    receiver = ingest.Thermogate(arguments, folder)
    receiver.grpc = ingest.free_port()
    receiver.start()
    steps = arguments.samples // (arguments.racks * 300) // 2
    start = MIDNIGHT - 2 * steps * 1000
    for half, run in enumerate(RUNS):
        load = [arguments.load, "run", "--to", f"127.0.0.1:{receiver.port}", "--racks", str(arguments.racks),
                "--steps", str(steps), "--start-ms", str(start + half * steps * 1000)]
        command = [arguments.thermogate, "run"]
        racks = [word for number in range(arguments.racks) for word in ("--rack", f"rack-{number:05}")]
        if half:
            subprocess.run([*command, "end", RUNS[0], "--grpc", grpc(receiver)], check=True)
        else:
            # Some steps before, so that racks are known: one is shown with the tick after its first reading.
            subprocess.run([*load[:-3], "3", "--start-ms", str(start - 3000)], check=True, capture_output=True)
        subprocess.run([*command, "start", run, *racks, "--planned", "4h", "--grpc", grpc(receiver)], check=True)
        sent = subprocess.run(load, capture_output=True, text=True, check=True)
        print(sent.stdout, file=sys.stderr)
    subprocess.run([arguments.thermogate, "run", "end", RUNS[1], "--grpc", grpc(receiver)], check=True)
    # A few steps of the next day: then the day is over, and its files are merged.
    subprocess.run([*load[:-3], "40", "--start-ms", str(MIDNIGHT + 300_000)], check=True, capture_output=True)
    until = time.monotonic() + MERGING_SECONDS_MAX
    while FILES_MAX < len(DeltaTable(str(folder / "data/store/samples")).file_uris()) and time.monotonic() < until:
        time.sleep(5)
    receiver.end()


def grpc(receiver):
    return f"http://127.0.0.1:{receiver.grpc}"


def parameters(text):
    """Name, kind, default of each parameter in a query's opening comment."""
    part = text.split("-- Parameters\n", 1)[1].split("-- Columns", 1)[0] if "-- Parameters" in text else ""
    return [re.split(r"\s{2,}", line[2:].strip())[:3] for line in part.splitlines()]


def written_in(text, now, given):
    """The query as duckdb is asked it."""
    values = {}
    for name, kind, default in parameters(text):
        value = given.get(name, default)
        if name in given:
            value = f"TIMESTAMPTZ '{value}'" if kind == "time" else f"'{value}'"
        elif kind == "length":
            value = f"INTERVAL '{value.replace('s', ' seconds').replace('m', ' minutes')}'"
        values[name] = value
    text = re.sub(r"\$(\w+)", lambda found: f"({values[found[1]]})", text)
    # Of a group; the names are a window's there.
    text = text.replace("first_value(", "first(").replace("last_value(", "last(")
    return text.replace("now()", f"TIMESTAMPTZ '{now}'")


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=900)


def ask(connection, question):
    """Seconds and answer; the connection stays, as duckdb's does."""
    since = time.monotonic()
    try:
        connection.request("POST", "/v1/sql", json.dumps(question), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()  # the next question opens it again
        raise OSError(str(error)) from error
    seconds = time.monotonic() - since
    if response.status != 200:
        raise OSError(answer.decode())
    return seconds, pyarrow.ipc.open_stream(answer).read_all()


def is_number(value):
    return isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool)


def is_equal(ours, theirs):
    """Whether two values are the same; numbers may differ by the last of the digits that `round` leaves, three or more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return is_equal(list(ours.values()), list(theirs.values()))
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(is_equal, ours, theirs))
    if is_number(ours) and is_number(theirs):
        digits = max(3, *(len(str(value).partition(".")[2]) for value in (ours, theirs)))
        both_nan = math.isnan(ours) and math.isnan(theirs)
        return both_nan or math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1.01 * 10.0**-digits)
    return ours == theirs


def compared(ours, theirs):
    """How many rows, and which are the first that differ. Sorted by their texts: order is not compared."""
    columns = list(zip(*ours, *theirs))
    texts = [at for at, values in enumerate(columns) if not any(map(is_number, values))]
    key = lambda row: [str(row[at]) for at in texts]
    ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    if len(ours) != len(theirs):
        return f"{len(ours)}, duckdb {len(theirs)}"
    different = [pair for pair in zip(ours, theirs) if not is_equal(*pair)]
    if not different:
        return f"{len(ours)}, equal"
    return f"{len(ours)}, {len(different)} differ: {different[0][0]}, duckdb {different[0][1]}"


def compare(arguments, store, port):
    ours_connection = connect(port)
    spilled = str(store.parent.parent / "duckdb")
    other = duckdb.connect(config={"threads": 2, "memory_limit": f"{MEMORY_BYTES}B", "temp_directory": spilled})
    other.execute("SET TimeZone = 'UTC'")
    other.execute(MACROS)
    for table in store.iterdir():
        files = DeltaTable(str(table)).file_uris()
        columns = ", ".join(f'NULL AS "{field.name}"' for field in DeltaTable(str(table)).schema().fields)
        rows = f"read_parquet({files}, hive_partitioning = true)" if files else f"(SELECT {columns}) WHERE false"
        other.execute(f'CREATE VIEW "{table.name}" AS SELECT * FROM {rows}')
    now = ask(ours_connection, {"sql": "select cast(now() as text)"})[1].column(0)[0].as_py()
    count, earliest = other.execute("SELECT count(*), strftime(min(time), '%Y-%m-%dT%H:%M:%SZ') FROM samples").fetchone()
    print(f"{count} samples in {len(DeltaTable(str(store / 'samples')).file_uris())} files; now is {now}")
    print("| query | thermogate, s | duckdb, s | ratio | rows |\n|---|---|---|---|---|")
    wanted = arguments.queries.split(",") if arguments.queries else None
    for path in sorted((ingest.ROOT / "queries").glob("*.sql")):
        if wanted and path.stem not in wanted:
            continue
        text = path.read_text()
        asked = text
        if path.stem in IN_DUCKDB:
            begin, end, instead = IN_DUCKDB[path.stem]
            asked = text[:text.index(begin)] + instead + text[text.rindex(end):]
        names = [name for name, _, default in parameters(text) if default == "required"]
        given = dict(zip(names, RUNS))
        if any(name == "since" for name, _, _ in parameters(text)):
            given["since"] = earliest
        ours, theirs = [], []
        for _ in range(arguments.times):
            answer = None
            try:
                seconds, answer = ask(ours_connection, {"query": path.stem, "parameters": given})
                ours.append(seconds)
                rows = f"{len(answer)}, not compared"
            except OSError as error:
                rows = f"thermogate: {error}"
            try:
                since = time.monotonic()
                found = other.execute(written_in(asked, now, given)).fetchall()
                theirs.append(time.monotonic() - since)
                if answer is not None:
                    rows = compared(list(zip(*(column.to_pylist() for column in answer.columns))), found)
            except duckdb.Error as error:
                rows += f"; duckdb: {str(error).splitlines()[0]}"
                break
        told = lambda seconds: f"{statistics.median(seconds):.4f}" if seconds else "-"
        ratio = f"{statistics.median(ours) / statistics.median(theirs):.2f}" if ours and theirs else "-"
        print(f"| {path.stem} | {told(ours)} | {told(theirs)} | {ratio} | {rows} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--racks", type=int, default=100, help="of 300 series")
    parser.add_argument("--samples", type=int, default=200_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--queries", default="", help="names with commas between them; all when not given")
    parser.add_argument("--data", help="a data folder that is there already")
    parser.add_argument("--keep", help="where the data folder is made and stays")
    parser.add_argument("--set", action="append", default=[], help="a setting of thermogate")
    parser.add_argument("--thermogate", default=str(ingest.TARGET / "release/thermogate"))
    parser.add_argument("--load", default=str(ingest.TARGET / "release/load"))
    arguments = parser.parse_args()
    arguments.set = [f"query.memory_bytes_max={MEMORY_BYTES}", "query.seconds_max=900", *arguments.set]
    with tempfile.TemporaryDirectory(prefix="bench-queries-") as name:
        folder = pathlib.Path(arguments.data).parent if arguments.data else pathlib.Path(arguments.keep or name)
        folder.mkdir(exist_ok=True, parents=True)
        if not arguments.data:
            fill(arguments, folder)
        store = folder / "data" / "store"
        receiver = ingest.Thermogate(arguments, folder)
        receiver.start()
        try:
            compare(arguments, store, receiver.port)
        finally:
            receiver.end()


if __name__ == "__main__":
    main()
