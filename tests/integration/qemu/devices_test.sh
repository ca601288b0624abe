#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Pages of one real PCI device by three ways, sysfs, UIO and VFIO: the server runs in the guest, ioreq-vm load
# on this machine plays the hypervisor over the same memory, with interrupts to and doorbells from the
# guest. 10,000 verified requests each, polling and notified.
#     devices_test.sh BUILD_FOLDER
. "$(dirname "$0")/harness.sh"
harness_begin "${1:?build folder}"
image_add_programs ioreqd ioreqctl
if harness_build_module ioreq_uio; then
    image_add_modules uio "$scratch/ioreq_uio.ko"
    uio_driver=ioreq-uio
else # the kernel's own driver that exports such a BAR, as its map 1; it has no interrupts for it
    echo "UIO without interrupts: $module_reason"
    image_add_modules uio uio_cif
    uio_driver=hilscher
fi
image_add_modules irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci
requests=12500 # nine of ten are reads; each read is verified, and 10,000 of them are wanted

ioreq_vm=$build_folder/ioreq-vm
truncate -s 1M "$scratch/memory"
"$build_folder/tests/ivshmem_server" "$scratch/ivshmem" "$scratch/memory" 4 &
ivshmem_server=$!
trap 'kill $ivshmem_server $load 2>/dev/null || true; harness_end' EXIT
load=
for _ in $(seq 100); do [ ! -S "$scratch/ivshmem" ] || break; sleep 0.05; done

echo "$uio_driver" > "$scratch/uio_driver"
image_add_file "$scratch/uio_driver" /uio_driver

guest_seconds=500
guest_start -smp 2 -chardev "socket,id=peers,path=$scratch/ivshmem" \
    -device ivshmem-doorbell,vectors=4,chardev=peers,addr=5 <<'END'
bdf=0000:00:05.0
device=/sys/bus/pci/devices/$bdf

# bind DRIVER: to it alone
bind() {
    [ ! -e $device/driver ] || echo $bdf > $device/driver/unbind
    echo "$1" > $device/driver_override
    echo $bdf > /sys/bus/pci/drivers_probe
    [ "$(basename "$(readlink $device/driver)")" = "$1" ] || fail "$bdf is not bound to $1"
}

# serve NAME PAGE KEYS: until the host has had enough
serve() {
    cat > /tmp/$1.yaml <<YAML
server: {socket: /run/$1.sock}
# Emulation has no invariant time-stamp counter.
pollers: [{name: rt, sandbox: false}]
vms:
  - {name: guest, vcpus: 4, poller: rt, offset: $(($2 * 4096)), $3}
clients:
  - name: scratch
    vm: guest
    device: register_bank
    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]
    options: {registers: [{name: scratch, offset: 0, size: 8, count: 512}]}
YAML
    say "page $1"
    hear # the page is registered
    ioreqd --config /tmp/$1.yaml 2> /tmp/log &
    daemon=$!
    say "serving $1"
    hear # it has been served
    ioreqctl --socket /run/$1.sock status --json > /tmp/status || cat /tmp/log
    say "status $1 $(cat /tmp/status)"
    kill $daemon
    wait $daemon || { cat /tmp/log; fail "ioreqd of $1"; }
}

# Before anybody registered a page: told, and the others are served.
cat > /tmp/none.yaml <<YAML
server: {socket: /run/none.sock}
pollers: [{name: rt, idle: sleep, sandbox: false}]
vms:
  - {name: zeroes, vcpus: 1, poller: rt, source: pci, device: "$bdf", map: 2, offset: 0x80000}
  - {name: unbound, vcpus: 1, poller: rt, source: vfio, device: "$bdf", map: 2}
  - {name: nothing, vcpus: 1, poller: rt, source: uio, device: none-such}
  - {name: well, vcpus: 1, poller: rt}
clients: []
YAML
ioreqd --config /tmp/none.yaml 2> /tmp/log &
daemon=$!
for turn in $(seq 100); do
    ioreqctl --socket /run/none.sock status > /tmp/status 2> /dev/null && break
    sleep 0.1
done
cat /tmp/log
say "states $(sed -n 's/^\(zeroes\|unbound\|nothing\|well\) *\([a-z]*\) .*/\1=\2/p' /tmp/status | tr '\n' ' ')"
kill $daemon
wait $daemon

doorbell="notify_by: doorbell, notify_map: 0, notify_offset: 12, notify_value: 0x10000, notify_step: 1"
serve pci 0 "source: pci, device: \"$bdf\", map: 2, $doorbell"
read -r driver < /uio_driver
bind "$driver"
if [ "$driver" = hilscher ]; then
    serve uio 1 "source: uio, device: \"$(cat /sys/class/uio/uio0/name)\", map: 1"
else
    control="notify_by: control, notify_value: 0x10000, notify_step: 1"
    serve uio 1 "source: uio, device: ioreq-page, map: 0, $control"
    serve uio_waiting 4 "source: uio, device: \"$bdf\", map: 0, $control, interrupt: write, wait_after: 50us"
fi
bind vfio-pci
serve vfio 2 "source: vfio, device: \"$bdf\", map: 2, $doorbell"
serve vfio_waiting 3 "source: vfio, device: \"$bdf\", map: 2, $doorbell, interrupt: msix, vector: 0, wait_after: 50us"

# The kernel wants the device back while it is served.
cp /tmp/vfio.yaml /tmp/taken.yaml
ioreqd --config /tmp/taken.yaml --socket /run/taken.sock 2> /tmp/log &
daemon=$!
for turn in $(seq 100); do
    ioreqctl --socket /run/taken.sock status > /tmp/status 2> /dev/null && break
    sleep 0.1
done
echo $bdf > $device/driver/unbind # waits until it is let go
sleep 0.1
say "taken $(grep -o 'source vfio: .*' /tmp/log)"
kill $daemon
wait $daemon
END

# is_registered PAGE: its slots are FREE, 3, at byte 136; the last one is nobody's
is_registered() { [ "$(od -An -tu1 -N1 -j $(($1 * 4096 + 15 * 256 + 136)) "$scratch/memory" | tr -d ' ')" = 3 ]; }

# run NAME PAGE COMPLETION...: loads it while the guest serves it
run() {
    local name=$1 page=$2 completion status began=$SECONDS
    shift 2
    guest_expect "page $name"
    for completion in "$@"; do
        "$ioreq_vm" load --ivshmem "$scratch/ivshmem" --page-offset $((page * 4096)) --vcpus "${vcpus:-1}" \
            --mix scratch:mmio:0xfe000000-0xfe000fff=1 --count "$requests" --read-percent 90 \
            --completion "$completion" --json > "$scratch/report" 2>&1 &
        load=$!
        for _ in $(seq 100); do ! is_registered "$page" || break; sleep 0.02; done
        if [ "$completion" = "$1" ]; then
            guest_say registered
            guest_expect "serving $name"
        fi
        status=0
        timeout 150 tail --pid=$load -f /dev/null || { kill $load; die "$name, $completion: no answers: $(cat "$scratch/report")"; }
        wait "$load" || status=$?
        load=
        [ "$status" -eq 0 ] || die "$name, $completion: $(cat "$scratch/report")"
        verified=$(sed -n 's/.*"verified": \([0-9]*\), "wrong": 0,.*/\1/p' "$scratch/report")
        [ "${verified:-0}" -ge 10000 ] || die "$name, $completion: too few are verified: $(cat "$scratch/report")"
        echo "$name, $completion: $verified verified of $requests," \
            "$(grep -o '"seconds": [0-9.]*' "$scratch/report" | head -n 1)"
    done
    guest_say served
    guest_expect "status $name .*"
    echo "   $((SECONDS - began)) s"
}

guest_expect 'states .*'
[ "$said" = 'states zeroes=stopped unbound=stopped nothing=stopped well=running ' ] || die "$said"
run pci 0 poll notify
if [ "$uio_driver" = hilscher ]; then
    run uio 1 poll
else
    run uio 1 poll notify
    run uio_waiting 4 poll notify
fi
run vfio 2 poll notify
run vfio_waiting 3 poll notify
guest_expect 'taken .*'
[[ $said = *'the kernel wants 0000:00:05.0 back: '*'; the VM is stopped, '* ]] || die "$said"
guest_finish
