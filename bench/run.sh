#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Asks ioreq-bench its questions, and makes of the answers one page that needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<END
Usage: bench/run.sh [options] [QUESTION...] [-- OPTION...]
  QUESTION         of those that ioreq-bench --list prints (default: all)
  --smoke          a second each, to see that it works; into build/bench-smoke
  --output DIR     where the results go (default: build/bench)
  --program FILE   this ioreq-bench (default: the release build's, which is brought up to date)
  --report         no question, only the page, of the results that are there
  --help           show this
  -- OPTION...     for ioreq-bench, for example: -- --poller-cpu 3 --blocks 200
Writes DIR/QUESTION.json, DIR/histograms/ (.hgrm, .hlog, cyclictest's .json) and DIR/report.html. Older
results in DIR stay, and are in the page too.
Exit codes: 0 all questions were answered, 1 some were not, 2 usage.
END
}

wrong() { echo "bench/run.sh: $*; see bench/run.sh --help" >&2; exit 2; }

program= output= is_report_only=
questions=() options=()
while [ $# -gt 0 ]; do
    case $1 in
        --smoke) options+=(--smoke) ;;
        --output) [ $# -ge 2 ] || wrong "--output needs a directory"; output=$2; shift ;;
        --program) [ $# -ge 2 ] || wrong "--program needs a file"; program=$2; shift ;;
        --report) is_report_only=yes ;;
        --help|-h) usage; exit 0 ;;
        --) shift; options+=("$@"); break ;;
        -*) wrong "unknown option $1" ;;
        *) questions+=("$1") ;;
    esac
    shift
done
# What is no measurement does not take a measurement's place.
case " ${options[*]-} " in *" --smoke "*) : "${output:=build/bench-smoke}" ;; esac
: "${output:=build/bench}"

if [ -z "$program" ]; then
    program=build/release/ioreq-bench
    if [ -z "$is_report_only" ]; then
        ./server/prerequisites.sh
        echo "== Building $program"
        mkdir -p build
        { cmake --preset release && cmake --build build/release --target ioreq-bench; } \
            >build/bench.log 2>&1 || { tail -n 20 build/bench.log >&2; exit 1; }
    fi
fi
all=()
[ ! -x "$program" ] || mapfile -t all < <("$program" --list)
[ ${#all[@]} -gt 0 ] || [ -n "$is_report_only" ] ||
    { echo "bench/run.sh: $program does not run" >&2; exit 1; }
for question in "${questions[@]}"; do
    printf '%s\n' "${all[@]}" | grep -qxF -e "$question" ||
        wrong "unknown question $question, expected one of: ${all[*]}"
done
[ -z "$is_report_only" ] || [ ${#questions[@]} -eq 0 ] ||
    wrong "--report asks no question, expected none beside it"
[ -z "$is_report_only" ] || compgen -G "$output/*.json" >/dev/null ||
    { echo "bench/run.sh: no results in $output, expected a directory that --output filled" >&2; exit 1; }
[ ${#questions[@]} -gt 0 ] || questions=("${all[@]}")
mkdir -p "$output/histograms"

# ---- questions ----------------------------------------------------------------------------------

occurrences() { { grep -oF -e "$1" "$2" || true; } | wc -l; }

failed=()
ask() {
    local result=$output/.$1.json begin=$SECONDS
    echo "== $2 of ${#questions[@]}: $1"
    if ! "$program" "$1" --json --export "$output/histograms" "${options[@]}" >"$result"; then
        rm -f "$result"
        failed+=("$1")
        return
    fi
    mv "$result" "$output/$1.json"
    local reached missed
    reached=$(occurrences '"reached": true' "$output/$1.json")
    missed=$(occurrences '"reached": false' "$output/$1.json")
    echo "   $((SECONDS - begin)) s; of what is wanted $reached reached, $missed not"
}
if [ -z "$is_report_only" ]; then
    number=0
    for question in "${questions[@]}"; do
        number=$((number + 1))
        ask "$question" "$number"
    done
fi

# ---- the page -----------------------------------------------------------------------------------

# The results in the order of the questions, then what else is there.
results() {
    local name
    for name in "${all[@]}"; do
        [ ! -f "$output/$name.json" ] || echo "$name.json"
    done
    (cd "$output" && ls) | grep -E '^[A-Za-z0-9_][A-Za-z0-9_.-]*\.json$' |
        grep -vxF -e "$(printf '%s.json\n' "${all[@]}")" || true
}

# Text in a page must not look like an element's end.
as_script() {
    echo "<script type=\"application/json\" class=\"$1\" data-name=\"$2\">"
    sed 's/</\\u003c/g'
    echo "</script>"
}

page() {
    local line name
    while IFS= read -r line; do
        case $line in
            @SCRIPT@) cat bench/report_plot.js bench/report.js ;;
            @RESULTS@)
                echo "\"$(date -u '+%-d %B %Y, %H:%M UTC')\"" | as_script date ""
                for name in "${failed[@]}"; do echo '""' | as_script failed "$name"; done
                for name in $(results); do as_script result "$name" <"$output/$name"; done ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <bench/report.html.in
}
page >"$output/.report.html"
mv "$output/.report.html" "$output/report.html"
echo "== $output/report.html"
if [ ${#failed[@]} -gt 0 ]; then
    echo "   failed: ${failed[*]}"
    exit 1
fi
