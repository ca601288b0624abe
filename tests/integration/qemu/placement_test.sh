#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two NUMA nodes of two CPUs, one of each isolated on the kernel's command line: pollers are planned, and
# really run, on the isolated CPU of their vCPUs' node.
#     placement_test.sh BUILD_FOLDER
. "$(dirname "$0")/harness.sh"
harness_begin "${1:?build folder}"
image_add_programs ioreqd ioreqctl

# CPUs 0 and 1 are node 0, 2 and 3 are node 1.
kernel_arguments='isolcpus=1,2 nohz_full=1,2'
guest_memory=768M
guest_start -smp 4,sockets=2,cores=2 \
    -object memory-backend-ram,id=near,size=384M -object memory-backend-ram,id=far,size=384M \
    -numa node,nodeid=0,cpus=0-1,memdev=near -numa node,nodeid=1,cpus=2-3,memdev=far <<'END'
# plan NAME VCPU_CPUS: a configuration of one VM with that on its vCPUs' CPUs
plan() {
    cat > "/tmp/$1.yaml" <<YAML
server: {socket: /run/$1.sock}
pollers: [{name: rt, idle: sleep, sandbox: false}] # emulation has no invariant time-stamp counter
vms: [{name: car, vcpus: 1, poller: rt, vcpu_cpus: "$2"}]
clients: []
YAML
    say "plan $1 $(ioreqctl placement --json /tmp/$1.yaml)"
}
say "isolated $(cat /sys/devices/system/cpu/isolated), nohz_full $(cat /sys/devices/system/cpu/nohz_full)"
plan node_0 0
plan node_1 3
plan unknown none

# serve NAME: the same for real; the CPU that the poller's thread is on
serve() {
    ioreqd --config "/tmp/$1.yaml" 2> /tmp/log &
    daemon=$!
    for turn in $(seq 100); do
        ioreqctl --socket "/run/$1.sock" status > /tmp/status 2>&1 && break
        sleep 0.1
    done
    for task in "/proc/$daemon"/task/*; do
        [ "$(cat "$task/comm")" != ioreqd ] || continue
        say "thread $1 $(cat "$task/comm") $(sed -n 's/^Cpus_allowed_list:\t//p' "$task/status")"
    done
    cat /tmp/status /tmp/log
    kill "$daemon"
    wait "$daemon"
}
serve node_0
serve node_1
END

cpu_of() { sed -n 's/.*"name": "'"$1"'", "role": "[a-z]*", "cpu": \([0-9]*\),.*/\1/p' <<< "$said"; }
expect_rt() {
    [ "$(cpu_of rt)" = "$1" ] || die "$2: the poller is planned on CPU $(cpu_of rt), expected $1: $said"
}
guest_expect 'isolated .*'
[ "$said" = 'isolated 1-2, nohz_full 1-2' ] || die "the kernel has isolated something else: $said"
guest_expect 'plan node_0 .*'
expect_rt 1 'vCPU on node 0'
guest_expect 'plan node_1 .*'
expect_rt 2 'vCPU on node 1'
[[ $(cpu_of control) = [03] ]] || die "control is planned on an isolated CPU: $said"
guest_expect 'plan unknown .*' # neither node is nearer: an isolated one, not the highest number
expect_rt 2 'vCPUs unknown'
guest_finish
for expected in 'node_0 rt 1' 'node_1 rt 2'; do
    guest_expect "thread $expected"
done
