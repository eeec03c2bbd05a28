#!/usr/bin/env python3
"""How long a start takes after a power cut, with so many samples in the log that no checkpoint covers.

    cargo build --release --bins --workspace
    tests/bench/restart.py                       # 20 million samples of 30,000 series
    tests/bench/restart.py --set history.checkpoint_samples_max=5000000

Prints the seconds from the start of the process to its first answer, which is given when all is replayed.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import ingest


def ready(port, since):
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60).read()
            return time.monotonic() - since
        except OSError:
            time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--racks", type=int, default=100, help="of 300 series")
    parser.add_argument("--samples", type=int, default=20_000_000)
    parser.add_argument("--set", action="append", default=[], help="a setting of thermogate")
    parser.add_argument("--thermogate", default=str(ingest.TARGET / "release/thermogate"))
    parser.add_argument("--load", default=str(ingest.TARGET / "release/load"))
    arguments = parser.parse_args()
    # Without these a checkpoint comes every ten minutes or twenty million samples, and less is left to replay.
    arguments.set = ["history.checkpoint_every=100h", "history.checkpoint_samples_max=1000000000", *arguments.set]
    with tempfile.TemporaryDirectory(prefix="bench-restart-") as folder:
        receiver = ingest.Thermogate(arguments, pathlib.Path(folder))
        receiver.start()
        steps = arguments.samples // (arguments.racks * 300)
        load = [arguments.load, "run", "--to", f"127.0.0.1:{receiver.port}", "--racks", str(arguments.racks), "--steps", str(steps)]
        sent = subprocess.run(load, capture_output=True, text=True)
        print(sent.stdout, end="", file=sys.stderr)
        receiver.process.kill()
        receiver.process.wait()
        for _ in range(3):
            since = time.monotonic()
            receiver.process = subprocess.Popen(
                receiver.command(), stdout=subprocess.DEVNULL, stderr=open(receiver.folder / "log", "w")
            )
            seconds = ready(receiver.port, since)
            log = (receiver.folder / "log").read_text()
            replayed = log.split("(replayed ", 1)[1].split()[0]
            print(f"{arguments.racks * 300 * steps} samples sent; ready after {seconds:.2f} s; {replayed} records replayed; "
                  f"peak memory {receiver.peak_memory() / 1e6:.0f} MB")
            receiver.process.kill()
            receiver.process.wait()


if __name__ == "__main__":
    main()
