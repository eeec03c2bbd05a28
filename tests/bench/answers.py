#!/usr/bin/env python3
"""How soon thermogate answers while load comes in: gates, `slo_now` in SQL, and alerts.

    cargo build --release --bins --workspace
    tests/bench/answers.py                                     # 300,000 series at a million samples a second
    tests/bench/answers.py --racks 100 --rate 300000 --steps 600

Gates are asked by the load generator, fifty times a second; `slo_now` of one rack is asked over HTTP, one question after the
other; of alerts it is counted from the moment a critical reading of a leak detector is sent (OTLP over HTTP, JSON) to the
moment its alert is posted to a listener in Alertmanager's place.
"""
import argparse
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import ingest

LATENESS_SECONDS = 30


class Listener(http.server.ThreadingHTTPServer):
    """Takes alerts, and notes when the first of each rack came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Hook)
        self.came = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = time.monotonic()
        for alert in body:
            if alert["labels"]["alertname"] == "LeakCritical":
                self.server.came.setdefault(alert["labels"].get("rack"), now)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def post(url, body, seconds=60):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return answer.read()


def tick(port):
    """Event time that the service has come to, in seconds."""
    for line in ingest.get(f"http://127.0.0.1:{port}/metrics").splitlines():
        if line.startswith("thermogate_evaluate_watermark_seconds "):
            return float(line.split()[1]) + LATENESS_SECONDS
    return None


def leak(port, rack, seconds):
    point = {"timeUnixNano": str(int(seconds * 1e9)), "asDouble": 2.0,
             "attributes": [{"key": "rack", "value": {"stringValue": rack}}]}
    metric = {"name": "leak_state", "gauge": {"dataPoints": [point]}}
    post(f"http://127.0.0.1:{port}/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})


def percentiles(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(share * len(values)))]
    return f"p50 {at(0.5) * 1e3:.1f} ms, p99 {at(0.99) * 1e3:.1f} ms, highest {values[-1] * 1e3:.1f} ms ({len(values)})" if values else "none"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--racks", type=int, default=1000, help="of 300 series")
    parser.add_argument("--rate", type=int, default=1_000_000, help="samples a second")
    parser.add_argument("--steps", type=int, default=200, help="samples of each series")
    parser.add_argument("--protocol", default="remote-write-1")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two questions in SQL, and two leaks")
    parser.add_argument("--set", action="append", default=[], help="a setting of thermogate")
    parser.add_argument("--thermogate", default=str(ingest.TARGET / "release/thermogate"))
    parser.add_argument("--load", default=str(ingest.TARGET / "release/load"))
    arguments = parser.parse_args()
    listener, otlp = Listener(), ingest.free_port()
    arguments.set += [f'alerts.alertmanagers=["http://127.0.0.1:{listener.server_port}"]']
    with tempfile.TemporaryDirectory(prefix="bench-answers-") as folder:
        receiver = ingest.Thermogate(arguments, pathlib.Path(folder))
        receiver.otlp_http = otlp
        receiver.start()
        load = [arguments.load, "run", "--to", f"127.0.0.1:{receiver.port}", "--racks", str(arguments.racks), "--steps",
                str(arguments.steps), "--rate", str(arguments.rate), "--protocol", arguments.protocol, "--gate", "default"]
        sender = subprocess.Popen(load, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        sql, sent = [], {}
        while tick(receiver.port) is None and sender.poll() is None:
            time.sleep(0.2)
        while sender.poll() is None:
            query = {"sql": "select * from slo_now where rack = 'rack-00000'"}
            since = time.monotonic()
            post(f"http://127.0.0.1:{receiver.port}/v1/sql", query)
            sql.append(time.monotonic() - since)
            time.sleep(arguments.pause / 2)
            rack, now = f"leaks-{len(sent):04}", tick(receiver.port)
            sent[rack] = time.monotonic()
            leak(otlp, rack, now)
            time.sleep(arguments.pause / 2)
        time.sleep(3)
        print(sender.stdout.read(), file=sys.stderr)
        alerts = [listener.came[rack] - since for rack, since in sent.items() if rack in listener.came]
        receiver.end()
    print(f"slo_now: {percentiles(sql)}")
    print(f"alerts: {percentiles(alerts)}; {len(sent) - len(alerts)} did not come")


if __name__ == "__main__":
    main()
