#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: export.sh IOREQ_BENCH
# ioreq-bench --export: which files there are, and what is said when they cannot be.
set -eu
bench=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failures=0
fail() { echo "failed: $*"; failures=1; }

# refused NAME DIRECTORY EXPECTED...: exit code 1, nothing measured before, and a message with all EXPECTED.
refused() {
    local name=$1 where=$2 status=0 expected
    shift 2
    "$bench" rtt --smoke --vcpus 1 --export "$where" >"$directory/out" 2>"$directory/err" || status=$?
    [ "$status" -eq 1 ] || fail "$name: exit code $status, expected 1"
    for expected in "$where" "$@"; do
        grep -qF -e "$expected" "$directory/err" ||
            fail "$name: '$(cat "$directory/err")' does not say '$expected'"
    done
}

refused "parent missing" "$directory/none/such" "cannot make the directory" "No such file"
[ ! -s "$directory/out" ] || fail "parent missing: was noticed only after the run"
: >"$directory/file"
refused "a file" "$directory/file" "Not a directory"
long=$directory/$(printf 'd%.0s' {1..300})
refused "too long" "$long" "File name too long"
if [ "$(id -u)" -ne 0 ]; then
    mkdir -m 500 "$directory/closed"
    refused "no right to write" "$directory/closed" "Permission denied"
fi

mkdir "$directory/full"
ln -s /dev/full "$directory/full/rtt.1-vCPU.ioreqd.hlog"
refused "disk full" "$directory/full" "cannot write" "rtt.1-vCPU.ioreqd.hlog" "No space left"
[ ! -L "$directory/full/rtt.1-vCPU.ioreqd.hlog" ] || fail "disk full: half a file is left"
grep -q '^  ioreqd' "$directory/out" || fail "disk full: the figures are lost"

"$bench" rtt --smoke --vcpus 2 --json --export "$directory/new" >"$directory/json"
series=$(grep -o '"role"' "$directory/json" | wc -l)
for form in hgrm hlog json; do
    files=$(find "$directory/new" -name "rtt.2-vCPUs.*.$form" | wc -l)
    [ "$files" -eq "$series" ] || fail "$files files .$form, expected $series"
done
unsafe=$(find "$directory/new" -type f | sed 's,.*/,,' | grep -vE '^[A-Za-z0-9_.-]+$' || true)
[ -z "$unsafe" ] || fail "unsafe file names: $unsafe"
count=$(sed -n 's/^#\[Max .*Total count *= *\([0-9]*\)\]$/\1/p' "$directory/new/rtt.2-vCPUs.ioreqd.hgrm")
grep -q "\"count\": $count," "$directory/json" || fail "the count in .hgrm, $count, is not the result's"
"$bench" rtt --smoke --vcpus 2 --export "$directory/new" >/dev/null || fail "a second time"

exit $failures
