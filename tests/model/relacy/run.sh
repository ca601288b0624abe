#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs the slot hand-off, the inbox and the table swap under relacy: every execution of each suite
# with at most 3 preemptions, weak memory included. Then takes each acquire and each release in that
# code for relaxed, one at a time: some suite must notice.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../../.." && pwd)
preemptions=3

usage() {
    cat <<END
Usage: tests/model/relacy/run.sh [--keep FOLDER] [SUITE...]
  SUITE          these suites only, with the history of a failure; no mutants
  --keep FOLDER  build there, and leave it
  --help         show this
Exit codes: 0 no error and every mutant was caught, 1 not so, 2 usage, 77 skipped.
END
}

# What is compiled as it is, but for its types (see shim/relacy_c.h).
headers=(clients/request.h clients/inbox.h clients/late.h pollers/slot.h pollers/slot_record.h pollers/check.h
         pollers/memory.h pollers/page.h pollers/page_notify.h pollers/page_look.h pollers/page_settle.h
         pollers/pci_ports.h pollers/poller.h pollers/poller_internal.h pollers/device_call.h
         pollers/inbox_serve.h pollers/inbox_drain.h pollers/answer_at_once.h pollers/poller_look.h)

# Atomic types, and plain memory that is handed over: the same lines, other types. Without what control
# alone looks at in a page, word by word.
translate() {
    sed -e '/^static inline enum slots_look slots_look/,/^}/d' \
        -e 's/_Atomic(\([^()]*\))/shim::atomic<\1>/' \
        -e 's/_Atomic \([a-z0-9_]*\)/shim::atomic<\1>/' \
        -e 's/request \*request = &\(.*\)->entry.request;/request *request = \&\1->entry.written().request;/' \
        -e 's/^#define INBOX_CAPACITY .*/#define INBOX_CAPACITY 2u/' \
        -e 's/shim::atomic<uint64_t> \(counters\|settled\)\[/uint64_t \1[/' \
        -e 's/shim::atomic<uint64_t> \(sweeps\|busy_ticks\|requests\|waits\|told\);/uint64_t \1;/' \
        -e '/^struct \(slot_record\|inbox_cell\|poller_command\) {/,/^};/{
                s/^    \(uint8_t\|uint32_t\|bool\) \([a-z_]*\);/    shim::plain<\1> \2;/
                s/struct inbox_entry entry;/shim::plain<struct inbox_entry> entry;/
                s/void (\*function)(void \*context);/shim::plain<void (*)(void *)> function;/
                s/void \*context;/shim::plain<void *> context;/
            }'
}

# The lines of file $1 that match the sed address $2, under their own numbers.
excerpt() {
    local first
    first=$(sed -n "$2{=;q}" "$tree/$1")
    [ -n "$first" ] || { echo "$1: nothing matches $2" >&2; exit 1; }
    printf '#line %s "%s"\n' "$first" "$1"
    sed -n "$2p" "$tree/$1"
}

copy_production() {
    mkdir -p "$copied/clients" "$copied/pollers" "$build/gate"
    ln -sfn "$tree/tests" "$build/gate/tests"
    for file in "${headers[@]}"; do
        { printf '#line 1 "%s"\n' "$file"; translate <"$tree/$file"; } >"$copied/$file"
    done
    for file in pollers/page.c pollers/inbox_serve.c pollers/poller_loop.c; do
        { printf '#line 1 "%s"\n' "$file"; translate <"$tree/$file" | sed 's/^#include.*//'; } \
            >"$copied/${file##*/}.inc"
    done
    {
        excerpt pollers/poller.c '/^#define/'
        excerpt pollers/poller.c '/^static int wait_while_pending/,/^}/'
        excerpt pollers/poller.c '/^int poller_call/,/^}/'
        excerpt pollers/poller.c '/^static void nothing/,/^}/'
        excerpt pollers/poller.c '/^int poller_quiesce/,/^}/'
    } >"$copied/poller.c.inc"
    excerpt pollers/page_notify.c '/^uint32_t page_notify_due/,/^}/' >"$copied/page_notify.c.inc"
    # The one place where a router is published.
    local publisher
    publisher=$(cd "$tree" && grep -l 'atomic_store_explicit(&vm->page->router' server/*.c)
    excerpt "$publisher" '/atomic_store_explicit(&vm->page->router/' \
        >"$copied/publish.inc"
}

# file:line of each acquire and release in those copies, by their #line.
list_orders() {
    local orders='memory_order_(acquire|release|acq_rel|seq_cst)'
    orders="$orders|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)"
    for file in clients/inbox.h pollers/slot.h pollers/slot_record.h pollers/page.h \
                pollers/page_notify.h pollers/page_settle.h pollers/inbox_serve.h \
                pollers/inbox_drain.h pollers/device_call.h page_notify.c.inc page.c.inc \
                inbox_serve.c.inc poller_loop.c.inc poller.c.inc publish.inc; do
        awk -v orders="$orders" '
            /^#line/ { line = $2 - 1; file = $3; gsub(/"/, "", file); next }
            { line++ }
            $0 ~ orders { print file ":" line }' "$copied/$file"
    done
}

# ---- one job each, for xargs -------------------------------------------------------------------

compile_one() {
    g++ -std=gnu++20 -O1 -w -fno-strict-aliasing -fmacro-prefix-map="$build/gate/"= \
        -I"$copied" -I"$build" -I"$here/shim" -I"$build/gate" \
        -c "$here/$1.cpp" -o "$build/$1.o" || touch "$build/failed.$1"
}

run_one() {
    local begin output
    begin=$(date +%s%N)
    if output=$("$build/relacy_tests" "$1" "$preemptions" 2>&1); then
        output="$output, no error"
    else
        touch "$build/failed.$1"
    fi
    printf '%s  %d.%01d s\n' "$output" $((($(date +%s%N) - begin) / 1000000000)) \
        $((($(date +%s%N) - begin) / 100000000 % 10))
}

relax_one() {
    local file=${1%:*} line=${1##*:} text output
    text=$(sed -n "${line}p" "$tree/$file" | sed 's/^ *//')
    output=$("$build/relacy_tests" relax "$1" "$preemptions" 2>&1) ||
        touch "$build/failed.relax.${1//\//_}"
    printf '%-28s relaxed: %s\n' "$1" "$output"
}

# ---- all of it ---------------------------------------------------------------------------------

build= suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --keep) build=${2:?--keep needs a folder}; shift ;;
        --job) build=$3 copied=$3/copied; "$2" "$4"; exit 0 ;; # for ourselves, below
        --help|-h) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) suites+=("$1") ;;
    esac
    shift
done

command -v g++ >/dev/null || { echo "skip: g++ is not installed"; exit 77; }
[ -e /usr/include/relacy/relacy.hpp ] || { echo "skip: relacy-dev is not installed"; exit 77; }

if [ -z "$build" ]; then
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
fi
copied=$build/copied
each() { xargs -n 1 -P "$(nproc)" "$here/run.sh" --job "$1" "$build"; }
no_failure() { [ -z "$(find "$build" -name 'failed.*' -print -quit)" ]; }

rm -f "$build"/failed.*
copy_production
printf '%s\n' handoff table_swap inbox main | each compile_one
if ! no_failure; then
    echo "the code under test does not compile with tests/model/relacy/shim"
    exit 1
fi
g++ "$build"/{handoff,table_swap,inbox,main}.o -o "$build/relacy_tests"

if [ ${#suites[@]} -gt 0 ]; then
    printf '%s\n' "${suites[@]}" | each run_one
    no_failure
    exit
fi
"$build/relacy_tests" list >"$build/suites"
each run_one <"$build/suites"
list_orders >"$build/orders"
each relax_one <"$build/orders"
echo "$(wc -l <"$build/suites") suites, $(wc -l <"$build/orders") orders," \
     "$(find "$build" -name 'failed.*' | wc -l) failures"
no_failure
