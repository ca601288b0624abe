#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: usage.sh IOREQ_BENCH
# What ioreq-bench refuses before it measures, that it says what it expected, and a full disk.
set -eu
bench=$1
failures=0
fail() { echo "failed: $*"; failures=1; }

# refused TEXT ARGUMENT...: exit code 2, nothing on stdout, and TEXT in the message.
refused() {
    local text=$1 status=0 out error
    shift
    error=$(mktemp)
    out=$(timeout 20 "$bench" "$@" 2>"$error") || status=$?
    [ "$status" -eq 2 ] || fail "$*: exit code $status, expected 2"
    [ -z "$out" ] || fail "$*: prints '$out'"
    grep -qF -e "$text" "$error" || fail "$*: '$(cat "$error")' does not say '$text'"
    rm -f "$error"
}

refused "no question; expected one of: rtt"
refused "more than one question; expected one of: rtt" rtt wake
refused "'RTT' is no question; expected one of: rtt" RTT
refused "--vcpus: '17'; expected a number from 1 to 16" rtt --vcpus 17
refused "--ranges: '0'; expected a number from 1 to 65536" rtt --ranges 0
refused "--blocks: '-1'; expected a number from 1 to 10000" rtt --blocks -1
refused "--samples: '1e3'; expected a number from 100 to 1000000" rtt --samples 1e3
refused "--poller-cpu: 'x'; expected a number from 0" rtt --poller-cpu x
refused "ioreq-bench: option '--vcpus' requires" rtt --vcpus
# Two threads that spin for each other on one CPU would never end.
for question in rtt hop channel death sweep rate; do
    refused "would share CPU 0; expected two CPUs" $question --smoke --requester-cpu 0 --poller-cpu 0
done

# An answer that could not be written, as on a full disk.
for form in "" --json; do
    status=0
    "$bench" jitter --smoke $form >/dev/full 2>/dev/null || status=$?
    [ "$status" -eq 1 ] || fail "full disk $form: exit code $status, expected 1"
done

exit $failures
