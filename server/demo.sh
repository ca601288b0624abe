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
  --shadow SIZE     how much of its end lies below 1 MiB as well (default: 128KiB)
  --until TEXT      ends when the firmware's console says TEXT (default for SeaBIOS: No bootable
                    device.)
  --timeout SECONDS ends after that long in any case (default: 60)
  --replay          replays the recorded boot even if there is /dev/kvm
  --help            show this
END
}

firmware=
guest=()
until=
timeout=60
replay=no
while [ $# -gt 0 ]; do
    case $1 in
        --firmware) firmware=${2:?--firmware needs a file}; shift ;;
        --shadow) guest+=(--shadow "${2:?--shadow needs a size}"); shift ;;
        --until) until=${2:?--until needs a text}; shift ;;
        --timeout) timeout=${2:?--timeout needs seconds}; shift ;;
        --replay) replay=yes ;;
        --help|-h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
if [ -z "$firmware" ]; then
    firmware=/usr/share/seabios/bios.bin
    until=${until:-No bootable device.}
fi
[ -z "$until" ] || guest+=(--until "$until")

step() { printf '\n== %s\n' "$*"; }

step "1/5 Packages: installing what is missing"
./server/prerequisites.sh seabios

step "2/5 Building the release preset into build/release"
echo "about a minute the first time (what the compiler says: build/release.log)"
mkdir -p build
if ! { cmake --preset release &&
       cmake --build build/release --target ioreqd ioreqctl ioreq-vm; } >build/release.log 2>&1; then
    tail -n 30 build/release.log >&2
    exit 1
fi
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

step "3/5 Starting ioreqd on config/ioreqd.yaml (its log: build/release/demo.log)"
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

result=0
if [ $replay = no ]; then
    step "4/5 $(basename "$firmware") in a KVM guest; what follows is its own console"
    "${vm[@]}" kvm --socket "$socket" --firmware "$firmware" --timeout "$timeout" "${guest[@]}" \
        >"$folder/summary" || result=$?
else
    [ -n "$reason" ] && echo "No KVM guest here: $reason"
    step "4/5 Replaying a recorded boot of SeaBIOS; what follows is its own console"
    "${vm[@]}" replay --socket "$socket" tests/server/vm/seabios.trace >"$folder/summary" ||
        result=$?
fi
sleep 0.1 # the console's last bytes

# One VM that polls for its answers beside one that sleeps until it is notified, on the same poller.
ctl=("${as_root[@]}" "$bin/ioreqctl" --socket "$socket")
mixed() {
    local registers='{type: mmio, first: 0xfe000000, last: 0xfe000fff}' name
    for name in polled notified; do
        "${ctl[@]}" vm-create "{name: $name, vcpus: 1, source: memfd, poller: rt}"
        "${ctl[@]}" client-create "{name: $name-regs, vm: $name, device: register_bank,
            ranges: [$registers], options: {registers: [{name: r, offset: 0, size: 8, count: 512}]}}"
        "${ctl[@]}" vm-start "$name"
    done
    local load=("${vm[@]}" load --socket "$socket" --duration 2 --mix
                scratch:mmio:0xfe000000-0xfe000fff=1)
    "${load[@]}" --vm polled >"$folder/polled" &
    local polled=$!
    "${load[@]}" --vm notified --completion notify >"$folder/notified" || result=$?
    wait "$polled" || result=$?
}
echo
step "5/5 Two VMs at once for two seconds: one polls for its answers, one sleeps until notified"
mixed
grep -hE '^(load|answers|round trip)' "$folder/polled" "$folder/notified"
printf '\n== The firmware made\n'
cat "$folder/summary"
printf '\n== ioreqd saw\n'
echo "(accesses per device; ns from the poller's look to the answer; devices this firmware does not"
echo "use show 0)"
"${ctl[@]}" status
exit $result
