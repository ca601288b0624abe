#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The Python binding against a running ioreqd: a device in Python answers a load that verifies every
# answer, once by receive and once in an event loop; its errors have the server's words; the example
# serves. Its structures have the sizes that a C compiler gives those of ioreq.h.
#     python.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1 source=$2
fail() { printf 'python.sh: %s\n' "$*"; cat "$scratch/log" 2>/dev/null; exit 1; }
command -v python3 >/dev/null || { echo "skip: python3 is not installed"; exit 77; }
scratch=$(mktemp -d)
server='' device=''
finish() {
    [ -z "$device" ] || kill "$device" 2>/dev/null || :
    [ -z "$server" ] || kill "$server" 2>/dev/null || :
    wait
    rm -rf "$scratch"
}
trap finish EXIT
export PYTHONPATH=$source/clients/library/python PYTHONDONTWRITEBYTECODE=1
export IOREQ_LIBRARY=$build/libioreq.so

printf '#include <ioreq.h>\n#include <stdio.h>\n%s\n' \
    'int main(void) { printf("%zu %zu\n", sizeof(struct ioreq_request), sizeof(struct ioreq_range)); }' \
    >"$scratch/sizes.c"
cc -I"$source/clients/library" -o "$scratch/sizes" "$scratch/sizes.c"
[ "$("$scratch/sizes")" = "$(python3 -c 'import ctypes, ioreq
print(ctypes.sizeof(ioreq.Request), ctypes.sizeof(ioreq.Range))')" ] || fail "sizes differ"
# Every function of the header.
for name in $(grep -oE '\bioreq_[a-z_]+\(' "$source/clients/library/ioreq.h" | tr -d '(' | sort -u); do
    grep -q "_declare(\"$name\"" "$source/clients/library/python/ioreq.py" || fail "$name is missing"
done

cat >"$scratch/config.yaml" <<END
server: {socket: $scratch/socket}
pollers: [{name: rt, cpu: any, idle: yield}]
vms: [{name: guest, vcpus: 2, source: memfd, poller: rt}]
clients:
  - name: outside
    vm: guest
    device: process
    ranges: [{type: mmio, first: 0xfe100000, last: 0xfe100fff}]
    options: {deadline_us: 0}
END
"$build/ioreqd" --config "$scratch/config.yaml" 2>"$scratch/log" &
server=$!
until "$build/ioreqctl" --socket "$scratch/socket" status >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || fail "ioreqd did not start"
    sleep 0.05
done

cat >"$scratch/device.py" <<'END'
import select
import sys
import ioreq

socket, way = sys.argv[1:]

def formula(request):
    ones = 2 ** (8 * request.size_bytes) - 1
    return request.address * 0x9e3779b97f4a7c15 & ~1 & ones

def serve_loop(client):
    poll = select.poll()
    poll.register(client, select.POLLIN)
    while True:
        while request := client.try_receive():
            client.answer(request.token, formula(request))
        if client.arm():
            poll.poll()

try:
    ioreq.Client.register("guest", "nobody", socket=socket)
except ioreq.Error as error:
    assert error.errno == 2 and "no client called nobody" in error.strerror, error
else:
    raise AssertionError("a client that does not exist was registered")
with ioreq.Client.create("guest", "more", [ioreq.Range(0xd0000000, 0xd0000fff, ioreq.MMIO)],
                         socket=socket) as more:
    assert more.receive(timeout_ns=1000) is None and more.try_receive() is None
    more.add_range(ioreq.Range(0xd0002000, 0xd0002fff, ioreq.MMIO))
    more.delete_range(ioreq.Range(0xd0002000, 0xd0002fff, ioreq.MMIO))
    more.destroy()
with ioreq.Client.register("guest", "outside", socket=socket) as client:
    print("serving", flush=True)
    if way == "loop":
        serve_loop(client)
    else:
        ioreq.serve(client, formula)
END
wait_until_it_serves() {
    until grep -q serving "$scratch/out" 2>/dev/null; do
        kill -0 "$device" 2>/dev/null || fail "the device ended: $(cat "$scratch/out")"
        sleep 0.05
    done
}
for way in receive loop; do
    : >"$scratch/out"
    python3 "$scratch/device.py" "$scratch/socket" $way >"$scratch/out" 2>&1 &
    device=$!
    wait_until_it_serves
    "$build/ioreq-vm" load --socket "$scratch/socket" --count 500 --json \
        --mix formula:mmio:0xfe100000-0xfe100fff=1 >"$scratch/report" 2>&1 || fail "$(cat "$scratch/report")"
    grep -q '"given_up": 0,' "$scratch/report" || fail "$way: the server answered in its place"
    kill "$device"
    wait "$device" 2>/dev/null || :
done
: >"$scratch/out"
python3 "$source/clients/library/examples/counter.py" "$scratch/socket" guest outside >"$scratch/out" 2>&1 &
device=$!
wait_until_it_serves
