#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# How much memory ioreqd takes: resident, anonymous and locked, with VMS VMs of RANGES ranges each,
# as the kernel counts it (/proc/PID/status) once it is ready. With --requests N also what it is after N
# verified accesses, and the pollers' page faults since they began: memory must not grow and faults
# must be 0, or this fails.
#
# What is measured is the server: generated clients are `fallback` devices, which have no memory of
# their own. A VM's page, 4 KiB, comes when its requester does.
set -eu
cd "$(dirname "$0")/.."

usage() {
    cat <<EOF
Usage: bench/memory.sh [OPTION...]
Resident and locked memory of ioreqd for a number of VMs, clients and ranges.

  --vms N        1..64 (default: two runs, 1 and 64)
  --ranges N     of each VM, 1..65536 (default 256)
  --clients N    of each VM, 1..128; they share the ranges (default 16, at most one a range)
  --config FILE  that configuration instead of a generated one; its socket is replaced
  --requests N   that many accesses to the first VM, then the figures again; exit 1 if they grew
  --build DIR    where the programs are (default build/release)
  --json         one JSON object a run
  --smoke        2 VMs of 32 ranges and 20000 requests, to see that it works
  -h, --help     show this

Exit codes: 0 ok, 1 failed or grew, 2 usage, 77 memory cannot be locked here (be root, or raise
ulimit -l).
EOF
}

fail() { echo "bench/memory.sh: $2" >&2; exit "$1"; }

number() { # NAME VALUE MINIMUM MAXIMUM
    case $2 in '' | *[!0-9]*) fail 2 "$1: '$2'; expected a number from $3 to $4" ;; esac
    if [ "${#2}" -gt 12 ] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        fail 2 "$1: '$2'; expected a number from $3 to $4"
    fi
}

vms='' ranges=256 clients=16 config='' requests=0 build=build/release json=0
while [ $# -gt 0 ]; do
    case $1 in
        --vms | --ranges | --clients | --config | --requests | --build)
            [ $# -ge 2 ] || fail 2 "$1: expected a value"
            case $1 in
                --vms) number "$1" "$2" 1 64; vms=$2 ;;
                --ranges) number "$1" "$2" 1 65536; ranges=$2 ;;
                --clients) number "$1" "$2" 1 128; clients=$2 ;;
                --requests) number "$1" "$2" 1 1000000000; requests=$2 ;;
                --config) config=$2 ;;
                --build) build=$2 ;;
            esac
            shift ;;
        --json) json=1 ;;
        --smoke) vms=2 ranges=32 clients=4 requests=20000 ;;
        -h | --help) usage; exit 0 ;;
        *) fail 2 "$1: unknown option; see bench/memory.sh --help" ;;
    esac
    shift
done
[ "$clients" -le "$ranges" ] || clients=$ranges
for program in ioreqd ioreqctl ioreq-vm; do
    [ -x "$build/$program" ] ||
        fail 2 "no $build/$program; build it: cmake --preset release && cmake --build build/release"
done
[ -z "$config" ] || [ -r "$config" ] || fail 2 "cannot read $config"

folder=$(mktemp -d)
server=''
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
socket=$folder/socket

generate() { # VMS
    awk -v vms="$1" -v ranges="$ranges" -v clients="$clients" 'BEGIN {
        print "pollers: [{name: rt, idle: spin}]"
        print "vms:"
        for (v = 0; v < vms; v++)
            printf "  - {name: vm%d, vcpus: 16, poller: rt}\n", v
        print "clients:"
        for (v = 0; v < vms; v++) {
            for (c = 0; c < clients; c++) {
                printf "  - name: c%d\n    vm: vm%d\n    device: fallback\n    ranges:\n", c, v
                for (r = c; r < ranges; r += clients)
                    printf "      - {type: mmio, first: %.0f, last: %.0f}\n",
                           4261412864 + r * 4096, 4261412864 + r * 4096 + 4095
            }
        }
    }'
}

figure() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$server/status"; }

faults() {
    "$build/ioreqctl" --socket "$socket" status --json |
        grep -o '"faults": [0-9]*' | awk '{ sum += $2 } END { print sum + 0 }'
}

not_started() {
    server=''
    cat "$folder/log" >&2
    ! grep -q 'cannot lock memory' "$folder/log" || fail 77 "skip: memory cannot be locked here"
    fail 1 "ioreqd did not start"
}

start() {
    "$build/ioreqd" --config "$folder/config.yaml" --socket "$socket" 2>"$folder/log" &
    server=$!
    for _ in $(seq 600); do
        grep -q ': ready on ' "$folder/log" && return
        kill -0 "$server" 2>/dev/null || not_started
        sleep 0.05
    done
    fail 1 "ioreqd is not ready after 30 s"
}

run() { # VMS, or "" for the given configuration
    if [ -n "$config" ]; then cp "$config" "$folder/config.yaml"; else generate "$1" >"$folder/config.yaml"; fi
    rm -f "$folder/log"
    start
    local rss anon locked after_anon after_locked fault_count=0 grew=0 name
    if [ "$requests" -gt 0 ]; then # the first page, and whatever the first request needs
        name=$("$build/ioreqctl" --socket "$socket" status --json |
            grep -o '"name": "[^"]*", "vcpus"' | head -n 1 | cut -d'"' -f4)
        load 1000 "$name"
        faults >/dev/null
    fi
    rss=$(figure VmRSS) anon=$(figure RssAnon) locked=$(figure VmLck)
    after_anon=$anon after_locked=$locked
    if [ "$requests" -gt 0 ]; then
        load "$requests" "$name"
        fault_count=$(faults)
        after_anon=$(figure RssAnon) after_locked=$(figure VmLck)
        [ "$after_anon" = "$anon" ] && [ "$after_locked" = "$locked" ] && [ "$fault_count" = 0 ] || grew=1
    fi
    local shown_vms=${1:-} shown_ranges=$ranges shown_clients=$clients
    [ -z "$config" ] || shown_vms=- shown_ranges=- shown_clients=-
    if [ "$json" = 1 ]; then
        printf '{"bench": "memory", "config": "%s", "vms": %s, "clients": %s, "ranges": %s, "rss_kib": %s, "anonymous_kib": %s, "locked_kib": %s, "requests": %s, "anonymous_after_kib": %s, "locked_after_kib": %s, "faults": %s}\n' \
            "${config:-generated}" "${shown_vms/-/null}" "${shown_clients/-/null}" "${shown_ranges/-/null}" \
            "$rss" "$anon" "$locked" "$requests" "$after_anon" "$after_locked" "$fault_count"
    else
        printf '%5s %8s %8s %10s %10s %10s %12s %12s %12s %7s\n' "$shown_vms" "$shown_clients" \
            "$shown_ranges" "$rss" "$anon" "$locked" "$requests" "$after_anon" "$after_locked" "$fault_count"
    fi
    kill "$server"
    wait "$server" || fail 1 "ioreqd ended badly"
    server=''
    [ "$grew" = 0 ] || fail 1 "ioreqd grew, or a poller took page faults"
}

load() { # COUNT VM
    local mix=() # generated clients answer all-ones; a given configuration has the load's usual scratch
    [ -n "$config" ] || mix=(--mix "$(printf 'ones:mmio:0xfe000000-0x%x=1' $((0xfe000000 + ranges * 4096 - 1)))")
    "$build/ioreq-vm" load --socket "$socket" --vm "$2" --vcpus 1 --count "$1" "${mix[@]}" \
        >"$folder/load" 2>&1 ||
        { cat "$folder/load" >&2; fail 1 "the load failed"; }
}

[ "$json" = 1 ] || printf '%5s %8s %8s %10s %10s %10s %12s %12s %12s %7s\n' VMS CLIENTS RANGES "RSS KiB" \
    "ANON KiB" "LOCKED KiB" REQUESTS "ANON after" "LOCKED after" FAULTS
if [ -n "$config" ]; then
    run ''
elif [ -n "$vms" ]; then
    run "$vms"
else
    run 1
    run 64
fi
