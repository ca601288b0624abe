#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The gate on the hot path: instructions per request and per lookup, counted by callgrind, beside those in
# instructions.txt. Time is not a gate; this is the same on every machine with the same compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
recorded=$here/instructions.txt
rounds=500
rise_percent=5

usage() {
    cat <<END
Usage: tests/pollers/instructions.sh [--record] [PROGRAM]
  PROGRAM    what instructions_main.c became (default: build/release/tests/instructions, built)
  --record   write what is counted to instructions.txt instead of comparing with it
  --help     show this
Exit codes: 0 no figure rose by more than $rise_percent %, 1 one did, 2 usage, 77 cannot be compared here.
END
}

record= program=
while [ $# -gt 0 ]; do
    case $1 in
        --record) record=yes ;;
        --help|-h) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) program=$1 ;;
    esac
    shift
done

skip() { echo "skip: $*"; exit 77; }
command -v valgrind >/dev/null || skip "valgrind is not installed"
if [ -z "$program" ]; then
    build=$here/../../build/release
    cmake -S "$here/../.." -B "$build" --preset release >/dev/null
    cmake --build "$build" --target instructions >/dev/null
    program=$build/tests/instructions
fi
compiler=$("$program" --compiler)
[ -n "$record" ] || grep -qx "compiler $compiler" "$recorded" ||
    skip "the compiler is $compiler, instructions.txt is of$(sed -n 's/^compiler//p' "$recorded")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count ROUNDS: for each case "name operations instructions".
count() {
    valgrind --tool=callgrind --callgrind-out-file="$work/$1" --collect-atstart=no \
        --toggle-collect=poller_round --toggle-collect=find_batch --dump-after=case_end \
        "$program" "$1" >"$work/cases.$1" 2>"$work/log" || { cat "$work/log" >&2; return 1; }
    local number=0 name operations
    while read -r name operations; do
        number=$((number + 1))
        echo "$name $operations $(sed -n 's/^totals: \([1-9]\)/\1/p' "$work/$1.$number")"
    done <"$work/cases.$1"
}

# What N and 2N rounds have in common cancels.
count "$rounds" >"$work/once"
count $((2 * rounds)) >"$work/twice"
paste -d ' ' "$work/once" "$work/twice" |
    awk 'NF != 6 { print "callgrind counted nothing for " $1 >"/dev/stderr"; exit 1 }
         { printf "%s %.1f\n", $1, ($6 - $3) / ($5 - $2) }' >"$work/now"

if [ -n "$record" ]; then
    cat - "$work/now" >"$recorded" <<END
# SPDX-License-Identifier: BSD-3-Clause
# Instructions of one operation on the hot path, as callgrind counts them in a Release build: a request
# with all 16 slots PENDING and 256 ranges (its share of the sweep and of a device that does nothing
# included), a sweep that finds nothing, a lookup of a random address.
# The test pollers/instructions fails when one rises by more than $rise_percent %. To record anew:
#     tests/pollers/instructions.sh --record
compiler $compiler
END
    echo "recorded with $compiler:"
    cat "$work/now"
    exit 0
fi

awk -v limit="$rise_percent" '
    /^#/ || $1 == "compiler" { next }
    FNR == NR { before[$1] = $2; next }
    FNR == 1  { printf "%-28s %9s %9s %8s\n", "instructions", "recorded", "now", "change" }
    !($1 in before) { printf "%-28s %9s %9.1f  failed: not in instructions.txt\n", $1, "-", $2; bad = 1; next }
    {
        change = 100 * ($2 - before[$1]) / before[$1]
        verdict = ""
        if (change > limit) { verdict = "  failed: rose by more than " limit " %"; bad = 1 }
        if (change < -limit) { verdict = "  fell"; fell = 1 }
        printf "%-28s %9.1f %9.1f %+7.1f%%%s\n", $1, before[$1], $2, change, verdict
        delete before[$1]
    }
    END {
        for (name in before) { print name ": recorded, but not counted any more: failed"; bad = 1 }
        if (fell) print "Keep what was gained: tests/pollers/instructions.sh --record"
        if (bad) print "If this is wanted, say why in the commit, with: tests/pollers/instructions.sh --record"
        exit bad
    }' "$recorded" "$work/now"
