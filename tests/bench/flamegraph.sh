#!/usr/bin/env bash
# Where a process spends its time, as a flame graph.
#
#   tests/bench/flamegraph.sh PID SECONDS graph.svg
#
# Wanted: perf (Debian: linux-perf) and inferno (cargo install inferno). Stacks are unwound from copies of 32 kB, so that the
# release build is seen as it is; frames below half a per cent are left out.
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
for wanted in perf inferno-collapse-perf inferno-flamegraph; do
  command -v "$wanted" >/dev/null || { echo "$wanted is wanted: see the head of $0" >&2; exit 1; }
done
recorded=$(mktemp)
trap 'rm -f "$recorded"' EXIT
perf record --quiet --output "$recorded" --event cpu-clock --freq 199 --call-graph dwarf,32000 --pid "$1" -- sleep "$2"
perf script --input "$recorded" --no-inline 2>/dev/null | inferno-collapse-perf 2>/dev/null |
  inferno-flamegraph --title "$(basename "$3" .svg)" --minwidth 0.5 --colors rust >"$3"
