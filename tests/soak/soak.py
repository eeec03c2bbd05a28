#!/usr/bin/env python3
"""Random faults under load, and the proof that none of them left a trace.

Two services get the same readings, judge the same objectives and are asked the same gates. One is left alone; the other is
killed (at any moment, and by fail points where something is half done), stopped for seconds, loses its store for seconds,
and is sent requests twice and late. At the end every acknowledged reading is in its table `samples` exactly once, with its
value and never flagged late, and its blocks, statuses, findings, alerts and verdicts are those of the other.

    cargo build --workspace --bins --features history/failpoints
    tests/soak/soak.py                                                  # 40 seconds
    tests/soak/soak.py --minutes 20 --seed 7 --thermogate target/release/thermogate

Fail points need a build with the feature history/failpoints; without them those faults become kills. Ends with 0 when all is
proven, else with 1, and keeps its folder then. The seed repeats data and order of faults, not their moments.
"""
import argparse
import concurrent.futures
import datetime
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
START = 1_767_600_000  # 2026-01-05T08:00:00Z
STEP = 10  # seconds of event time between two readings of a sensor
GATE_EVERY = 60  # steps
# A request may come this many steps late: less than the allowed lateness of 30 s, so that it is judged all the same.
LATE_STEPS = 2
PLACES = {
    "after_log_sync": 200, "before_file": 30, "before_delta_commit": 8, "after_delta_commit": 8,
    "before_compaction_commit": 1, "after_compaction_commit": 1, "before_checkpoint": 2, "after_checkpoint": 2,
    "before_trim": 2,
}
SETTINGS = [
    "clock.kind=telemetry", "history.flush_every=300ms", "history.checkpoint_every=900ms",
    "history.maintenance_every=2s", f"documents.objectives={ROOT}/tests/e2e/quick.yaml,{ROOT}/slo",
]
PORTS = ["otlp_grpc", "otlp_http", "grpc", "http", "postgres"]
TABLES = ["blocks", "slo_status", "findings", "alerts", "verdicts", "headroom", "recoveries", "events", "runs"]


class Failed(Exception):
    """What was promised does not hold."""


# The data: a function of seed, rack and step.

def noise(*what):
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=4).digest(), "little") / 2**32


class Data:
    def __init__(self, seed, racks):
        self.seed, self.racks = seed, [f"r{number:02}" for number in range(racks)]

    def readings(self, rack, step):
        """(signal, value) of a rack at a step: every rack has hot spells, silences and now and then a leak."""
        hour, minute_step = divmod(step, 360)
        spell = noise(self.seed, "spell", rack, hour)
        length = 60 + int(120 * noise(self.seed, "length", rack, hour))
        began = int(180 * noise(self.seed, "began", rack, hour))
        inside = began <= minute_step < began + length
        if inside and spell < 0.2:
            return []
        scatter = [noise(self.seed, rack, step, number) - 0.5 for number in range(4)]
        supply = (46.5 if inside and spell > 0.6 else 32.0) + 0.2 * scatter[0]
        power = 56.0 + 2.0 * scatter[1]
        leak = 2.0 if inside and 0.5 < spell < 0.55 and minute_step < began + 12 else 0.0
        values = [
            ("coolant_supply_temperature", supply),
            ("coolant_return_temperature", supply + 8.0 + 0.1 * scatter[2]),
            ("coolant_flow", 100.0 + scatter[3]),
            ("rack_power", power),
            ("leak_state", leak),
        ]
        return [(signal, round(value, 3)) for signal, value in values]

    def body(self, rack, step):
        moment = str((START + STEP * step) * 1_000_000_000)
        attributes = [{"key": "rack", "value": {"stringValue": rack}}, {"key": "loop", "value": {"stringValue": "l1"}}]
        metrics = [
            {"name": signal, "gauge": {"dataPoints": [
                {"timeUnixNano": moment, "asDouble": value, "attributes": attributes}]}}
            for signal, value in self.readings(rack, step)
        ]
        return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()


# The services.

class Service:
    def __init__(self, program, folder, name):
        self.program, self.folder, self.name = program, folder / name, name
        self.folder.mkdir()
        self.store = self.folder / "data" / "store"
        self.log = open(folder / f"{name}.log", "ab")
        self.http = self.grpc = None
        self.process, self.lives = None, 0

    def start(self, failpoint=None):
        """True when it is ready; false when it has ended before."""
        command = [self.program, "serve", "--data", self.folder / "data"]
        for setting in [*SETTINGS, *(f"listen.{port}=127.0.0.1:0" for port in PORTS)]:
            command += ["--set", setting]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("THERMOGATE_")}
        environment["NO_COLOR"] = "1"
        if failpoint:
            environment["THERMOGATE_FAILPOINT"] = failpoint
        self.log.flush()
        begins = os.fstat(self.log.fileno()).st_size
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log, env=environment)
        self.lives += 1
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            text = self.text(begins)
            found = {port: re.search(rf" {port}=http://(\S+)", text) for port in ("http", "grpc")}
            if all(found.values()) and " postgres=" in text:
                self.http, self.grpc = found["http"][1], found["grpc"][1]
                return True
            time.sleep(0.02)
        raise Failed(f"{self.name} is not ready after two minutes: see {self.log.name}")

    def text(self, begins=0):
        with open(self.log.name, "rb") as log:
            log.seek(begins)
            return log.read().decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=120) != 0:
            raise Failed(f"{self.name} ended with {self.process.returncode}: see {self.log.name}")

    def ask(self, method, path, body=None, content="application/json"):
        """Status and body; (0, …) when nobody answered."""
        try:
            connection = http.client.HTTPConnection(self.http, timeout=30)
            try:
                connection.request(method, path, body, {"Content-Type": content})
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error).encode()

    def sql(self, query, at_rest=False):
        command = [self.program, "sql", query, "--output", "csv"]
        environment = dict(os.environ, NO_COLOR="1")
        if at_rest:
            command += ["--data", self.folder / "data"]
        else:
            environment.update(THERMOGATE_HTTP=f"http://{self.http}", THERMOGATE_GRPC=f"http://{self.grpc}")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {query}: {done.stderr}")
        return done.stdout.splitlines()[1:]


# Load.

class Load:
    """Sends each step to both, and goes on once all of it is acknowledged by both."""

    def __init__(self, data, disturbed, quiet, chance):
        self.data, self.disturbed, self.quiet, self.chance = data, disturbed, quiet, chance
        self.pool = concurrent.futures.ThreadPoolExecutor(2 * min(4, len(data.racks)) + 2)
        self.late = []  # (step at which it is sent, rack, step)
        self.steps = self.samples = self.repeats = self.lates = self.resent = self.verdicts = 0
        self.gave_up = threading.Event()

    def send(self, service, rack, step):
        body = self.data.body(rack, step)
        while not self.gave_up.is_set():
            status, answer = service.ask("POST", "/v1/metrics", body)
            if status == 200:
                if answer not in (b"", b"{}") and json.loads(answer).get("partialSuccess"):
                    raise Failed(f"{rack}, step {step}: {answer.decode()}")
                return
            if status not in (0, 503):
                raise Failed(f"{rack}, step {step}: a sound request is answered with {status}: {answer.decode()}")
            if service is self.quiet:
                raise Failed(f"the service that is left alone answers {status}: {answer.decode()}")
            self.resent += 1
            time.sleep(0.05)

    def step(self):
        step, asks = self.steps, (self.steps + 1) % GATE_EVERY == 0
        now, later, leaks = [], [], []
        for rack in self.data.racks:
            readings = self.data.readings(rack, step)
            if not readings:
                continue
            self.samples += len(readings)
            if any(value > 0 for signal, value in readings if signal == "leak_state"):
                leaks.append((rack, step))
            elif not asks and self.chance.random() < 0.01:
                later.append((step + self.chance.randint(1, LATE_STEPS), rack, step))
                self.lates += 1
            else:
                now.append((rack, step))
        now += [(rack, of) for due, rack, of in self.late if due <= step or asks]
        self.late = [entry for entry in self.late if entry[0] > step and not asks] + later
        repeats = [entry for entry in now if self.chance.random() < 0.01]
        self.repeats += len(repeats)
        self.chance.shuffle(now)
        sent = [self.pool.submit(self.send, self.disturbed, *entry) for entry in now + repeats]
        spoken = [(rack, step) for rack in self.data.racks if self.data.readings(rack, step)]
        sent += [self.pool.submit(self.send, self.quiet, *entry) for entry in spoken if entry not in leaks]
        for one in sent:
            one.result()
        # Leaks are told as they come in, with what was known then; all else is judged by its own time.
        for leak in leaks:
            for service in (self.disturbed, self.quiet):
                self.send(service, *leak)
        self.steps += 1
        if asks:
            self.ask_gates(step)

    def finish(self):
        """Sends what is late, then steps until a gate was asked, so that nothing is on its way."""
        while self.steps % GATE_EVERY:
            self.step()

    def ask_gates(self, step):
        # A rack that is silent from the start is not known, and one that spoke just now is shown with the next tick.
        known = [rack for rack in self.data.racks[:3] if any(self.data.readings(rack, before) for before in range(step))]
        for service in (self.disturbed, self.quiet):
            for rack in known:
                self.ask_gate(service, rack, step)
        self.verdicts += len(known)

    def ask_gate(self, service, rack, step):
        body = json.dumps({"scope": {"rack": rack}, "request_id": f"{rack}-{step}"})
        while not self.gave_up.is_set():
            if self.is_judged(service, step):
                status, answer = service.ask("POST", "/v1/gates/default:evaluate", body)
                if status == 200:
                    return
                if status not in (0, 503):
                    raise Failed(f"gate of {rack}: {status}: {answer.decode()}")
            time.sleep(0.05)

    def is_judged(self, service, step):
        """Whether a gate would see all readings: it does not wait for the evaluator."""
        status, answer = service.ask("GET", "/v1/status")
        if status != 200:
            return False
        tick = datetime.datetime.fromtimestamp(START + STEP * step, datetime.timezone.utc)
        return (json.loads(answer).get("tick") or "") >= tick.strftime("%Y-%m-%dT%H:%M:%S")


# Faults.

class Faults(threading.Thread):
    """Disturbs a service until it is told to end, and leaves it running."""

    def __init__(self, service, chance, has_failpoints, pause):
        super().__init__(daemon=True)
        self.service, self.chance, self.has_failpoints, self.pause = service, chance, has_failpoints, pause
        self.ends = threading.Event()
        self.counts, self.reached, self.error = {}, {}, None
        self.places = []

    def run(self):
        kinds = ["kill", "failpoint", "failpoint", "store", "store and kill", "stop"]
        try:
            queue = []
            while not self.ends.wait(self.pause * (0.5 + self.chance.random())):
                if not queue:
                    queue = self.chance.sample(kinds, len(kinds))
                kind = queue.pop()
                {"kill": self.kill, "failpoint": self.failpoint, "store": self.store,
                 "store and kill": self.store_and_kill, "stop": self.stop}[kind]()
                self.counts[kind] = self.counts.get(kind, 0) + 1
        except Exception as error:  # told by the main thread
            self.error = error

    def restart(self):
        deadline = time.monotonic() + 60
        while not self.service.start():
            if time.monotonic() > deadline:
                raise Failed(f"it does not start again: see {self.service.log.name}")

    def kill(self):
        self.service.kill()
        self.restart()

    def failpoint(self):
        if not self.has_failpoints:
            return self.kill()
        if not self.places:
            self.places = self.chance.sample(sorted(PLACES), len(PLACES))
        place = self.places.pop()
        self.service.kill()
        # It may be reached before the service is ready, which is as good a moment as any.
        self.service.start(f"{place}:{self.chance.randint(1, PLACES[place])}")
        try:
            self.service.process.wait(timeout=20)
            self.reached[place] = self.reached.get(place, 0) + 1
        except subprocess.TimeoutExpired:
            self.service.kill()
        self.restart()

    def without_store(self, meanwhile):
        store, away = self.service.store, self.service.folder / "away"
        store.rename(away)
        store.write_text("in its place")
        try:
            meanwhile()
        finally:
            store.unlink()
            away.rename(store)

    def store(self):
        self.without_store(lambda: time.sleep(self.chance.uniform(0.5, 3)))

    def store_and_kill(self):
        def kill():
            time.sleep(self.chance.uniform(0.3, 1))
            self.service.kill()
        self.without_store(kill)
        self.restart()

    def stop(self):
        self.service.process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.5, 3))
        self.service.process.send_signal(signal.SIGCONT)


# Proof.

def prove_samples(load, service):
    """Every acknowledged reading once, with its value, judged; and nothing else."""
    data, hours, seen = load.data, 6, 0
    for first in range(0, load.steps, hours * 360):
        steps = range(first, min(first + hours * 360, load.steps))
        expected = {
            (rack, signal, START + STEP * step): value
            for step in steps for rack in data.racks for signal, value in data.readings(rack, step)
        }
        begins, ends = (timestamp(START + STEP * step) for step in (steps.start, steps.stop))
        rows = service.sql(
            "select rack, signal, cast(time as bigint) / 1000000 as second, value, flag from samples "
            f"where time >= timestamp '{begins}' and time < timestamp '{ends}'")
        found = {}
        for row in rows:
            rack, name, second, value, flag = row.split(",")
            key = (rack, name, int(second))
            if key in found:
                raise Failed(f"{key} is there twice")
            if expected.get(key) != float(value):
                raise Failed(f"{key} is {value}, sent was {expected.get(key)}")
            if flag not in ("ok", "unusual"):
                raise Failed(f"{key} is flagged {flag}: it was sent in time")
            found[key] = value
        if len(found) != len(expected):
            lost = [key for key in expected if key not in found]
            raise Failed(f"{len(lost)} acknowledged readings are lost, the first {lost[0]}")
        seen += len(found)
    if seen != load.samples:
        raise Failed(f"{load.samples} were acknowledged, {seen} are there")


def timestamp(second):
    return datetime.datetime.fromtimestamp(second, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def rows_of(service, table):
    """All rows of a table, sorted, without the columns that say where in the log they come from."""
    columns = [row.split(",")[0] for row in service.sql(
        f"select column_name from information_schema.columns where table_name = '{table}' order by ordinal_position")]
    kept = [f'"{name}"' for name in columns if name not in ("shard", "seq", "date", "facts", "labels")]
    count = int(service.sql(f"select count(*) from {table}")[0])
    rows, hour = [], 0
    if count < 500_000:
        rows = service.sql(f"select {', '.join(kept)} from {table}")
    else:
        while len(rows) < count and hour < 24 * 400:
            begins, ends = timestamp(START - 3_600 + 3_600 * hour), timestamp(START + 3_600 * hour)
            rows += service.sql(f"select {', '.join(kept)} from {table} where time >= timestamp '{begins}' "
                                f"and time < timestamp '{ends}'")
            hour += 1
    return sorted(rows)


def prove_judgement(disturbed, quiet):
    counts = {}
    for table in TABLES:
        seen, expected = rows_of(disturbed, table), rows_of(quiet, table)
        if seen != expected:
            only = [set(one) - set(other) for one, other in ((seen, expected), (expected, seen))]
            samples = "\n".join(f"  {name}: {sorted(rows)[:3]}" for name, rows in zip(("disturbed", "quiet"), only))
            raise Failed(f"{table} differs: {len(seen)} rows instead of {len(expected)}; only in\n{samples}")
        counts[table] = len(seen)
    for table in ("alerts", "verdicts", "blocks"):
        if not counts[table]:
            raise Failed(f"there are no {table} to compare")
    return counts


def has_failpoints(program, folder):
    """Whether this build ends where it is told to."""
    probe = Service(program, folder, "probe")
    try:
        return not probe.start("after_log_sync:1")
    finally:
        probe.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thermogate", default=TARGET / "debug/thermogate", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=0.4, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "little"))
    parser.add_argument("--racks", type=int, default=8)
    parser.add_argument("--steps-a-second", type=float, default=20, help="at most; a step is 10 s of event time")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two faults, on average")
    parser.add_argument("--folder", type=pathlib.Path, help="where to work; a temporary one")
    arguments = parser.parse_args()
    program = arguments.thermogate.resolve()
    if not program.exists():
        sys.exit(f"{program} is missing: cargo build --workspace --bins --features history/failpoints")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="thermogate-soak-", dir=arguments.folder))
    print(f"soak: seed {arguments.seed}, {arguments.minutes:g} minutes, in {folder}", flush=True)

    services = [Service(program, folder, name) for name in ("disturbed", "quiet")]
    disturbed, quiet = services
    began = time.monotonic()
    load = faults = None
    try:
        armed = has_failpoints(program, folder)
        if not armed:
            print("soak: this build has no fail points: kills stand in for them", flush=True)
        for service in services:
            if not service.start():
                raise Failed(f"{service.name} does not start: see {service.log.name}")
        load = Load(Data(arguments.seed, arguments.racks), disturbed, quiet, random.Random(arguments.seed))
        faults = Faults(disturbed, random.Random(arguments.seed + 1), armed, arguments.pause)
        faults.start()
        told, until = began, time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < until and faults.error is None:
            stepped = time.monotonic()
            load.step()
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                print(f"soak: {told - began:.0f} s, {load.samples} samples, {load.resent} sent again, "
                      f"{dict(sorted(faults.counts.items()))}", flush=True)
            time.sleep(max(0, 1 / arguments.steps_a_second - (time.monotonic() - stepped)))
        faults.ends.set()
        # What is under way ends by itself; senders go on until then.
        while faults.is_alive():
            load.step()
        if faults.error is not None:
            raise faults.error
        load.finish()
        prove_samples(load, disturbed)
        counts = prove_judgement(disturbed, quiet)
        disturbed.stop()
        at_rest = int(disturbed.sql("select count(*) from samples", at_rest=True)[0])
        if at_rest != load.samples:
            raise Failed(f"at rest there are {at_rest} samples, {load.samples} were acknowledged")
        quiet.stop()
        panics = [line for line in disturbed.text().splitlines() if "panicked at" in line]
        if panics:
            raise Failed(f"{len(panics)} panics, the first: {panics[0]}")
    except Exception as error:
        if load is not None:
            load.gave_up.set()
        done = "" if load is None else f" after {load.samples} samples, {dict(faults.counts) if faults else {}}"
        print(f"soak: FAILED with seed {arguments.seed}{done}: {error}\nsoak: logs and folders are in {folder}", flush=True)
        if not isinstance(error, (Failed, OSError)):
            raise
        sys.exit(1)
    finally:
        for service in services:
            if service.process is not None and service.process.poll() is None:
                service.process.send_signal(signal.SIGCONT)
                service.kill()
    shutil.rmtree(folder)
    kills = disturbed.lives - 1
    print(
        f"soak: ok: {time.monotonic() - began:.0f} s, seed {arguments.seed}, {load.samples} samples of "
        f"{load.steps * STEP / 3600:.1f} hours once each and none late; {kills} crashes, {sum(faults.reached.values())} of them at "
        f"{len(faults.reached)} fail points; {dict(sorted(faults.counts.items()))}; {load.repeats} requests repeated, "
        f"{load.lates} late, {load.resent} sent again; equal to an undisturbed run: "
        + ", ".join(f"{count} {table}" for table, count in counts.items() if count), flush=True)


if __name__ == "__main__":
    main()
