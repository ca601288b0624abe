#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: report.sh IOREQ_BENCH
# The report in a browser: every point has its plot, text stays text, and nothing goes wrong.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo "skip: chromium is not installed"; exit 77; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failures=0
fail() { echo "failed: $*"; failures=1; }

mkdir "$directory/home"
show() {
    HOME=$directory/home timeout 60 "$browser" --headless --no-sandbox --disable-gpu \
        --user-data-dir="$directory/home" --enable-logging=stderr --dump-dom \
        "file://$directory/results/report.html" >"$directory/page" 2>"$directory/log" ||
        { echo "skip: $browser does not start: $(tail -n 1 "$directory/log")"; exit 77; }
    ! grep CONSOLE "$directory/log" || fail "the page's script has an error"
}
count() { grep -oF -e "$1" "$directory/page" | wc -l; }

"$root/bench/run.sh" --program "$1" --smoke --output "$directory/results" >"$directory/out" ||
    { cat "$directory/out"; exit 1; }
show
points=$(cat "$directory"/results/*.json | grep -o '"series": \[' | wc -l)
plots=$(count 'aria-label="Latency: ')
[ "$plots" -eq "$points" ] || fail "$plots distributions are drawn, of $points points"
[ "$(count 'aria-label="Cost against vCPUs')" -ge 1 ] || fail "rtt has no plot of cost against scale"
wanted=$(cat "$directory"/results/*.json | grep -oE '"reached": (true|false)' | wc -l)
[ "$(grep -oE '<span class="(good|bad)">' "$directory/page" | wc -l)" -eq "$wanted" ] ||
    fail "not all $wanted that are wanted are in the table"
! grep -qE 'NaN|undefined|Infinity' <(sed 's/<script.*//' "$directory/page" | grep -E '<svg|<table') ||
    fail "a figure is no number"
all=$(count '<svg class="plot"')

# What is no result, or has nothing in it, or would be markup.
echo '{"bench": "cut off' >"$directory/results/broken.json"
echo '[1]' >"$directory/results/list.json"
echo '{"bench": "new", "summary": "</script><b id=markup>", "points": [{"name": "<b id=markup>",
  "series": [{"name": "none", "role": "ours", "count": 0, "distribution": []}]}]}' \
    >"$directory/results/new.json"
"$root/bench/run.sh" --program "$1" --report --output "$directory/results" >"$directory/out"
show
[ "$(count '<svg class="plot"')" -eq "$all" ] || fail "bad results change the others' plots"
[ "$(count '<b id="markup"')" -eq 0 ] || fail "text of a result becomes markup"
for name in broken list; do
    grep -q "$name.json: " "$directory/page" || fail "the page does not tell that $name.json is no result"
done
echo "$all plots"
exit $failures
