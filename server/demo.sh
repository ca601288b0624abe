#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Boots real firmware in a KVM guest whose every device access is answered by ioreqd, and shows how
# long each device took. Without /dev/kvm it replays a recorded boot: same server, same table.
set -eu
cd "$(dirname "$0")/.."

usage() {
    cat <<END
Usage: server/demo.sh [options]
  --firmware FILE   another image than SeaBIOS (64 KiB to 16 MiB)
  --until TEXT      ends when the firmware's console says TEXT (default: No bootable device.)
  --timeout SECONDS ends after that long in any case (default: 60)
  --replay          replays the recorded boot even if there is /dev/kvm
  --help            show this
END
}

firmware=/usr/share/seabios/bios.bin
until="No bootable device."
timeout=60
replay=no
while [ $# -gt 0 ]; do
    case $1 in
        --firmware) firmware=${2:?--firmware needs a file}; until=; shift ;;
        --until) until=${2:?--until needs a text}; shift ;;
        --timeout) timeout=${2:?--timeout needs seconds}; shift ;;
        --replay) replay=yes ;;
        --help|-h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

step() { printf '\n== %s\n' "$*"; }

step "1/4 Packages: installing what is missing"
./server/prerequisites.sh seabios

step "2/4 Building the release preset into build/release"
if ! { cmake --preset release -DBUILD_TESTING=OFF && cmake --build build/release; } \
        >build.log 2>&1; then
    tail -n 30 build.log >&2
    exit 1
fi
mkdir -p build/release && mv build.log build/release/build.log
bin=$PWD/build/release

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
folder=$(mktemp -d /tmp/ioreqd-demo-XXXXXX)
socket=$folder/socket
log=$bin/demo.log
server=
finish() {
    if [ -n "$server" ]; then
        "${as_root[@]}" kill "$server" 2>/dev/null || : # sudo passes it on
        wait "$server" 2>/dev/null || :
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

step "3/4 Starting ioreqd on config/ioreqd.yaml (its log: build/release/demo.log)"
"${as_root[@]}" "$bin/ioreqd" --config config/ioreqd.yaml --socket "$socket" \
    </dev/null 2>"$log" &
server=$!
for _ in $(seq 200); do
    [ -S "$socket" ] && break
    kill -0 $server 2>/dev/null || break
    sleep 0.05
done
[ -S "$socket" ] || { cat "$log" >&2; exit 1; }

vm=("${as_root[@]}" "$bin/ioreq-vm")
reason=$("${vm[@]}" kvm --probe 2>&1 >/dev/null) || replay=yes
cpus=()
[ "$(nproc)" -gt 1 ] && cpus=(--cpus 0)

result=0
if [ $replay = no ]; then
    step "4/4 $(basename "$firmware") in a KVM guest; what follows is its own console"
    [ -n "$until" ] && cpus+=(--until "$until")
    "${vm[@]}" kvm --socket "$socket" --firmware "$firmware" --timeout "$timeout" "${cpus[@]}" \
        >"$folder/summary" || result=$?
else
    [ -n "$reason" ] && echo "No KVM guest here: $reason"
    step "4/4 Replaying a recorded boot of SeaBIOS; what follows is its own console"
    "${vm[@]}" replay --socket "$socket" tests/server/vm/seabios.trace >"$folder/summary" ||
        result=$?
fi
sleep 0.1 # the console's last bytes
printf '\n\n== The requester saw\n'
cat "$folder/summary"
printf '\n== ioreqd saw (latency from claim to completion)\n'
"${as_root[@]}" "$bin/ioreqctl" --socket "$socket" status
exit $result
