#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: run.sh IOREQ_BENCH
# bench/run.sh: what it refuses, what it writes, and what it does when a question fails.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bench=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failures=0
fail() { echo "failed: $*"; failures=1; }

# expect NAME CODE TEXT ARGUMENT...: the exit code, and a text in what is printed.
expect() {
    local name=$1 code=$2 text=$3 status=0
    shift 3
    "$root/bench/run.sh" "$@" >"$directory/out" 2>&1 || status=$?
    [ "$status" -eq "$code" ] || { fail "$name: exit code $status, expected $code"; cat "$directory/out"; }
    grep -qF -e "$text" "$directory/out" || { fail "$name: nothing says '$text'"; cat "$directory/out"; }
}

expect "unknown option" 2 "unknown option --fast" --fast
expect "no directory" 2 "--output needs a directory" --output
expect "unknown question" 2 "unknown question why, expected one of: rtt" --program "$bench" \
    --output "$directory/none" why
expect "no program" 1 "does not run" --program "$directory/none" --output "$directory/none"
expect "page without results" 1 "no results in $directory/none" --report --output "$directory/none"
expect "page and question" 2 "--report asks no question" --program "$bench" --output "$directory/none" \
    --report rtt
expect "help" 0 "Usage: bench/run.sh" --help
[ ! -e "$directory/none" ] || fail "a refused run leaves a directory"

# A stand-in that answers one question, in its second run none.
cat >"$directory/program" <<'END'
#!/bin/sh
case $1 in
    --list) echo good; echo bad ;;
    good) [ ! -e "$0.over" ] && echo '{"bench": "good", "points": [], "reach": [{"reached": true}]}' ;;
    *) echo "no answer" >&2; exit 1 ;;
esac
END
chmod +x "$directory/program"
output=$directory/output
expect "a question fails" 1 "failed: bad" --program "$directory/program" --output "$output"
grep -qF '"bench": "good"' "$output/report.html" || fail "the answered question is not in the page"
grep -qF 'class="failed" data-name="bad"' "$output/report.html" || fail "the page does not tell what failed"
[ ! -e "$output/bad.json" ] || fail "half an answer is left"
touch "$directory/program.over"
expect "a question that once succeeded fails" 1 "failed: good" --program "$directory/program" \
    --output "$output" good
grep -qF '"bench": "good"' "$output/good.json" || fail "the older answer is lost"

# Any result that is there, also of a question that the program does not know; text stays text.
echo '{"bench": "older", "summary": "</script><b>"}' >"$output/older.json"
expect "the page only" 0 "report.html" --program "$directory/program" --output "$output" --report
grep -qF '\u003c/script>\u003cb>' "$output/report.html" || fail "text can end its element"

expect "smoke" 0 "2 of 2: ranges" --program "$bench" --smoke --output "$directory/smoke" rtt ranges
for file in rtt.json ranges.json report.html histograms/rtt.1-vCPU.ioreqd.hgrm; do
    [ -s "$directory/smoke/$file" ] || fail "smoke: there is no $file"
done
! grep -qE '(src|href)="?https?:|@import|url\(' "$directory/smoke/report.html" ||
    fail "the page needs a network"

exit $failures
