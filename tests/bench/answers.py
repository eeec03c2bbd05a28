#!/usr/bin/env python3
"""How soon people and programs are answered while load comes in: gates, SQL, alerts.

    cargo build --release --bins --workspace
    tests/bench/answers.py                                  # 300,000 series at a million samples a second
    tests/bench/answers.py --racks 100                      # 30,000 series

Wanted in .venv: psycopg (tests/run --install). Wanted on the path: Debian's prometheus-alertmanager. Prints p50, p99 and
the longest of each in milliseconds: gate answers over HTTP, `SELECT * FROM slo_now WHERE rack = …` by the Postgres wire on
one connection, and the time from sending a leak of a rack never heard of to its alert in Alertmanager.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import ingest

sys.path[:0] = [str(folder) for folder in (ingest.ROOT / ".venv/lib").glob("python3*/site-packages")]
try:
    import psycopg  # from the virtual environment of the tests
except ImportError:
    sys.exit("psycopg is wanted: tests/run --install puts it into .venv")

LATENESS_SECONDS = 30
PATIENCE_SECONDS = 30


class Alertmanager:
    def __init__(self, folder):
        self.port = ingest.free_port()
        configuration = folder / "alertmanager.yml"
        configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        log = open(folder / "alertmanager.log", "w")
        self.process = subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={configuration}", f"--storage.path={folder / 'alertmanager'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="], stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.is_ready():
            if until < time.monotonic():
                sys.exit(f"Alertmanager did not become ready: {folder / 'alertmanager.log'}")
            time.sleep(0.1)

    def is_ready(self):
        try:
            return bool(ingest.get(f"http://127.0.0.1:{self.port}/-/ready"))
        except OSError:
            return False

    def knows(self, rack):
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts?filter=rack%3D%22{rack}%22"
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(json.load(response))


def watermark(port):
    text = ingest.get(f"http://127.0.0.1:{port}/metrics")
    found = re.search(r"^thermogate_evaluate_watermark_seconds (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def leak(port, rack, seconds):
    """One OTLP reading of a leak detector that is wet."""
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in (("rack", rack), ("device", "rope-1"))]
    point = {"attributes": attributes, "timeUnixNano": str(seconds * 1_000_000_000), "asDouble": 2}
    metric = {"name": "leak_state", "gauge": {"dataPoints": [point]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/metrics", json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).read()


class Repeated(threading.Thread):
    """Asks something until it is stopped; keeps how long each answer took."""

    def __init__(self, ask, pause):
        super().__init__(daemon=True)
        self.ask, self.pause, self.seconds, self.failures, self.over = ask, pause, [], [], threading.Event()

    def run(self):
        while not self.over.wait(self.pause):
            since = time.monotonic()
            try:
                self.ask()
                self.seconds.append(time.monotonic() - since)
            except (OSError, psycopg.Error, TimeoutError) as error:
                self.failures.append(str(error))

    def told(self):
        self.over.set()
        self.join(2 * PATIENCE_SECONDS)
        if not self.seconds:
            return f"none answered; {self.failures[:1]}"
        ordered = sorted(1000 * second for second in self.seconds)
        at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        failed = f"; {len(self.failures)} failed, first {self.failures[0]}" if self.failures else ""
        return f"{len(ordered)} answers, p50 {at(0.5):.1f} p99 {at(0.99):.1f} longest {ordered[-1]:.1f} ms{failed}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--racks", type=int, default=1000, help="of 300 series")
    parser.add_argument("--rate", type=int, default=1_000_000, help="samples a second")
    parser.add_argument("--samples", type=int, default=45_000_000)
    parser.add_argument("--set", action="append", default=[], help="a setting of thermogate")
    parser.add_argument("--thermogate", default=str(ingest.TARGET / "release/thermogate"))
    parser.add_argument("--load", default=str(ingest.TARGET / "release/load"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-answers-") as name:
        folder = pathlib.Path(name)
        alertmanager = Alertmanager(folder)
        arguments.set = [f"alerts.alertmanagers=http://127.0.0.1:{alertmanager.port}", *arguments.set]
        receiver = ingest.Thermogate(arguments, folder)
        receiver.postgres = ingest.free_port()
        receiver.start()
        steps = arguments.samples // (arguments.racks * 300)
        load = subprocess.Popen(
            [arguments.load, "run", "--to", f"127.0.0.1:{receiver.port}", "--racks", str(arguments.racks),
             "--steps", str(steps), "--rate", str(arguments.rate), "--gate", "default"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while not watermark(receiver.port) and load.poll() is None:
            time.sleep(0.1)
        connection = psycopg.connect(f"host=127.0.0.1 port={receiver.postgres} dbname=thermogate user=read", autocommit=True)
        numbers = iter(range(1_000_000))

        def one_rack():
            rack = f"rack-{next(numbers) * 7 % arguments.racks:05}"
            connection.execute(f"SELECT * FROM slo_now WHERE rack = '{rack}'").fetchall()

        def one_alert():
            rack = f"probe-{next(numbers)}"
            leak(receiver.port, rack, watermark(receiver.port) + LATENESS_SECONDS)
            until = time.monotonic() + PATIENCE_SECONDS
            while not alertmanager.knows(rack):
                if until < time.monotonic():
                    raise TimeoutError(f"no alert of {rack} after {PATIENCE_SECONDS} s")
                time.sleep(0.01)

        asking, alerting = Repeated(one_rack, 0.1), Repeated(one_alert, 0.3)
        asking.start()
        alerting.start()
        said, _ = load.communicate(timeout=600)
        print(said)
        print("slo_now of a rack:", asking.told())
        print("leak to Alertmanager:", alerting.told())
        print(f"peak memory {receiver.peak_memory() / 1e6:.0f} MB")
        receiver.end()
        alertmanager.process.terminate()
        alertmanager.process.wait(timeout=60)


if __name__ == "__main__":
    main()
