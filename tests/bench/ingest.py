#!/usr/bin/env python3
"""The same payload into thermogate, VictoriaMetrics and Prometheus, one after the other on the same cores.

Prints a Markdown table: samples a second, processor time a sample, acknowledgements, peak memory, bytes a stored sample.
thermogate syncs before it answers, judges all compiled-in objectives and detectors, and writes its history; the others run
as Debian packages them. Release builds are wanted:

    cargo build --release --bins --workspace
    tests/bench/ingest.py                                   # 30,000 series, remote write 1.0, as fast as they are taken
    tests/bench/ingest.py --racks 1000 --rate 1000000       # 300,000 series at a million samples a second
    tests/bench/ingest.py --receivers thermogate --protocol otlp
    tests/bench/ingest.py --rounds 3                        # each receiver three times, in turns
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def size(folder):
    return sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())


def size_in_force(table):
    """Bytes of the files that the newest version of a Delta table has: files replaced by compaction wait for vacuum."""
    files = {}
    for entry in sorted((pathlib.Path(table) / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files[action["add"]["path"]] = action["add"]["size"]
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    return sum(files.values()), len(files)


class Receiver:
    """A program that takes remote write, in a folder of its own."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.port = arguments, folder, free_port()

    def start(self):
        log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        for _ in range(600):
            try:
                get(f"http://127.0.0.1:{self.port}{self.ready}")
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} did not become ready: {self.folder / 'log'}")

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=300)


class Thermogate(Receiver):
    name, ready = "thermogate", "/readyz"
    otlp_http = grpc = postgres = 0  # any free port

    def command(self):
        ports = {"otlp_grpc": 0, "otlp_http": self.otlp_http, "grpc": self.grpc, "postgres": self.postgres}
        return [
            self.arguments.thermogate, "serve", "--data", str(self.folder / "data"), "--set", "clock.kind=telemetry",
            "--set", f"listen.http=127.0.0.1:{self.port}",
            "--set", "history.maintenance_every=15s",
            *[word for name, port in ports.items() for word in ("--set", f"listen.{name}=127.0.0.1:{port}")],
            *[word for setting in self.arguments.set for word in ("--set", setting)],
        ]

    def settle(self):
        time.sleep(20)  # one round of maintenance

    def stored(self):
        return size_in_force(self.folder / "data" / "store" / "samples")


class VictoriaMetrics(Receiver):
    name, ready = "victoria-metrics", "/health"

    def command(self):
        return ["victoria-metrics", f"-storageDataPath={self.folder / 'data'}", f"-httpListenAddr=127.0.0.1:{self.port}"]

    def settle(self):
        get(f"http://127.0.0.1:{self.port}/internal/force_flush")
        get(f"http://127.0.0.1:{self.port}/internal/force_merge")
        time.sleep(10)

    def stored(self):
        return size(self.folder / "data" / "data"), 0


class Prometheus(Receiver):
    name, ready = "prometheus", "/-/ready"

    def command(self):
        (self.folder / "prometheus.yml").write_text("global: {}\n")
        return [
            "prometheus", f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
        ]

    def settle(self):
        time.sleep(1)

    def stored(self):
        return size(self.folder / "data"), 0


RECEIVERS = {receiver.name: receiver for receiver in (Thermogate, VictoriaMetrics, Prometheus)}


def measure(receiver, arguments):
    receiver.start()
    before = receiver.cpu()
    load = [
        arguments.load, "run", "--to", f"127.0.0.1:{receiver.port}", "--racks", str(arguments.racks),
        "--steps", str(arguments.steps), "--protocol", arguments.protocol, "--step-ms", str(arguments.step_ms),
    ]
    if arguments.rate:
        load += ["--rate", str(arguments.rate)]
    sent = subprocess.run(load, capture_output=True, text=True)
    during = receiver.cpu() - before
    memory = receiver.peak_memory()
    if sent.returncode:
        sys.exit(f"{receiver.name}: the load ended with {sent.returncode}:\n{sent.stdout}{sent.stderr}")
    receiver.settle()
    after = receiver.cpu() - before
    receiver.end()
    stored, files = receiver.stored()
    return {"said": sent.stdout + sent.stderr, "cpu_s": during, "cpu_with_maintenance_s": after, "memory": memory,
            "stored_bytes": stored, "files": files}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receivers", default="thermogate,victoria-metrics,prometheus")
    parser.add_argument("--racks", type=int, default=100, help="of 300 series")
    parser.add_argument("--steps", type=int, default=600, help="samples of each series")
    parser.add_argument("--step-ms", type=int, default=1000)
    parser.add_argument("--protocol", default="remote-write-1")
    parser.add_argument("--rate", type=int, default=0, help="samples a second; as fast as they are taken when not given")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="a setting of thermogate")
    parser.add_argument("--thermogate", default=str(TARGET / "release/thermogate"))
    parser.add_argument("--load", default=str(TARGET / "release/load"))
    parser.add_argument("--keep", action="store_true", help="keep what the receivers wrote")
    arguments = parser.parse_args()
    rows = []
    for _ in range(arguments.rounds):
        for name in arguments.receivers.split(","):
            folder = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
            figures = measure(RECEIVERS[name](arguments, folder), arguments)
            print(f"--- {name}\n{figures['said']}", file=sys.stderr, flush=True)
            if not arguments.keep:
                shutil.rmtree(folder)
            rows.append((name, figures))
    samples = arguments.racks * 300 * arguments.steps
    print("| receiver | samples/s | µs CPU a sample | with maintenance | ack p50 / p99 ms | peak memory MB | bytes a sample |")
    print("|---|---|---|---|---|---|---|")
    for name, figures in rows:
        rate = re.search(r"samples_per_second (\d+)", figures["said"])
        acknowledged = re.search(r"acknowledged_ms p50 ([\d.]+) p99 ([\d.]+)", figures["said"])
        print(
            f"| {name} | {rate[1] if rate else '?'} | {figures['cpu_s'] / samples * 1e6:.2f} "
            f"| {figures['cpu_with_maintenance_s'] / samples * 1e6:.2f} "
            f"| {' / '.join(acknowledged.groups()) if acknowledged else '?'} | {figures['memory'] / 1e6:.0f} "
            f"| {figures['stored_bytes'] / samples:.2f} |"
        )


if __name__ == "__main__":
    main()
