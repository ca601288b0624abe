#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux's own ACRN driver, over a simulated hypervisor (acrn/acrn_sim.c), is what source hsm serves: VMs
# that ioreqd creates and one that a device model hands over; notified, polling through the driver and
# polling past it; reset and destroyed with requests in flight. One completion hypercall a request where
# the hypervisor wants it, none where it polls; of devices' interrupts one hypercall for each rise, each fall
# and each message, before the access that caused it is answered. acrn/vcpus.c is the other side.
#     acrn_test.sh BUILD_FOLDER
. "$(dirname "$0")/harness.sh"
harness_begin "${1:?build folder}"
guest_seconds=200 # it takes 30 on a machine of its own
"$harness_folder/acrn/build.sh" "$kernel_release" "$scratch/modules" > "$scratch/driver.log" 2>&1 || {
    status=$?
    reason=$(tail -n 1 "$scratch/driver.log")
    [ "$status" -eq 77 ] || { cat "$scratch/driver.log"; exit 1; }
    skip "${reason#skip: }"
}
image_add_programs ioreqd ioreqctl tests/acrn-vcpus
image_add_modules "$scratch/modules/acrn_sim.ko" "$scratch/modules/acrn.ko"

guest_start -smp 2 <<'END_OF_SCRIPT'
bank='device: register_bank, ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}],
      options: {registers: [{name: bank, offset: 0, size: 8, count: 512}]}'
pci='device: pci_host, ranges: [{type: pcicfg, bdf: "00:00.0"}]'
uart='device: uart, options: {stream: none}'
devices() {
    for vm in notified direct polled; do
        echo "  - {name: pci, vm: $vm, $pci}"
        echo "  - {name: com1, vm: $vm, $uart, interrupt: 4, ranges: [{type: portio, first: 0x3f8, last: 0x3ff}]}"
        echo "  - {name: com2, vm: $vm, $uart, interrupt: {line: 20, trigger: level},"
        echo "     ranges: [{type: portio, first: 0x2f8, last: 0x2ff}]}"
        echo "  - {name: com3, vm: $vm, $uart, interrupt: {address: 0xfee00000, data: 0x51},"
        echo "     ranges: [{type: portio, first: 0x3e8, last: 0x3ef}]}"
        echo "  - {name: clock, vm: $vm, device: cmos, interrupt: 8, ranges: [{type: portio, first: 0x70, last: 0x71}]}"
    done
}
cat > /tmp/vms.yaml <<YAML
server: {socket: /run/ioreqd.sock}
pollers: [{name: rt, cpu: 1, idle: yield, sandbox: false}, # without an invariant TSC
          {name: calm, cpu: 1, idle: yield, sandbox: false}]
vms:
  - {name: waiting, vcpus: 2, poller: calm, source: hsm, wait_after: 100us}
  - {name: notified, vcpus: 2, poller: rt, source: hsm}
  - {name: direct, vcpus: 2, poller: rt, source: hsm, direct: true}
  - {name: polled, vcpus: 2, poller: rt, source: hsm}
  - {name: handed, vcpus: 2, poller: rt, source: hsm, hsm_vm: handed_over}
clients:
  - {name: bank, vm: waiting, $bank}
  - {name: bank, vm: notified, $bank}
  - {name: bank, vm: direct, $bank}
  - {name: bank, vm: polled, $bank}
  - {name: bank, vm: handed, $bank}
$(devices)
YAML
ioreqd --config /tmp/vms.yaml 2> /tmp/log &
daemon=$!
for turn in $(seq 100); do
    ioreqctl --socket /run/ioreqd.sock status > /tmp/status 2>&1 && break
    sleep 0.1
done
acrn-vcpus /run/ioreqd.sock || { cat /tmp/log; ioreqctl --socket /run/ioreqd.sock status; dmesg | tail -n 20; fail 'acrn-vcpus'; }
kill "$daemon"
status=0
wait "$daemon" || status=$?
cat /tmp/log
[ "$status" -eq 0 ] || fail "ioreqd ended with $status"
END_OF_SCRIPT

guest_finish
grep -a '^== counts' "$console" | tr -d '\r'
