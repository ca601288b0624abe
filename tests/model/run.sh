#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks the models of a slot's life (slot_life.pml), of a device in another process (channel_life.pml),
# of one on another poller (cell.pml) and of a poller that waits (wait.pml) exhaustively, and that each mutant of them is caught in the way it
# should be. One line a run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)

usage() {
    cat <<END
Usage: tests/model/run.sh [--model NAME] [--only REGEX]
  --model NAME   slot_life, channel_life, cell or wait (default: all)
  --only REGEX   only runs whose line matches; then the table's rows are not all asked for
  --help         show this
Exit codes: 0 the model holds and every mutant was caught, 1 not so, 2 usage, 77 skipped.
END
}

# name | options of the model | caught by: none (it holds), assertion, liveness, ends early | what it is
#   assertion: safety run. ends early: the same, somebody waits for ever. liveness: acceptance cycle
#   under weak fairness. Names that begin with `channel`, `cell` or `wait`:
#   models of their own.
runs() {
    cat <<'END'
orderly safety     |                      | none      | reset after a clear; clear, deadline, stuck client
reset safety       | -DWILD=1             | none      | reset at any time; deadline, stuck client
reset+clear safety | -DWILD=2             | none      | reset at any time; clear
orderly, store     | -DMUTANT=8           | none      | COMPLETE by store is enough for that hypervisor
local safety       | -DLOCAL              | none      | clients on the sweeping poller, which may hang in one
local, reset safety | -DLOCAL -DWILD=3    | none      | the same, reset at any time
clear ends         | -DLIVENESS -DNO_DEADLINE | none  | though a client is stuck and nobody keeps deadlines
orderly ends       | -DLIVENESS           | none      | every request answered or taken back, clear ends
reset ends         | -DLIVENESS -DWILD=1  | none      | the same
reset+clear ends   | -DLIVENESS -DWILD=2 -DREQUESTS=1 | none | the same with one request a slot: time
mutant 1           | -DWILD=1             | assertion | no record check before dispatch
mutant 2           | -DWILD=1             | assertion | claim by store
mutant 3           | -DWILD=1             | assertion | record closed before the slot is written
mutant 4           |                      | assertion | ticket without sequence
mutant 5           |                      | assertion | record opened under the old sequence
mutant 6           |                      | assertion | clear neither settles nor waits
mutant 7           | -DWILD=1             | assertion | answered without a look at the state
mutant 8           | -DWILD=1             | assertion | look at the state, then COMPLETE by store
mutant 9           |                      | assertion | COMPLETE before value
mutant 10          |                      | assertion | clear forgets the record without winning it
mutant 11          |                      | assertion | deadline settles beside the gate
mutant 12          |                      | assertion | clear begins without a quiescent point
mutant 13          | -DLIVENESS -DWILD=1  | liveness  | slot taken back: record never closed
mutant 14          | -DLIVENESS           | liveness  | stuck client, no deadline
mutant 15          | -DLIVENESS           | liveness  | inbox fills with what a stuck client left
mutant 16          | -DLIVENESS -DNO_DEADLINE | liveness  | clear waits for a stuck client without bound
mutant 17          |                      | assertion | clear ends without one more round
mutant 18          |                      | assertion | clear does not wait for another settler
mutant 19          | -DLOCAL              | assertion | frozen poller: only what it holds is settled
mutant 20          | -DLOCAL              | assertion | settled beside a poller that does not stand still
mutant 21          | -DLOCAL              | assertion | frozen in a prompt device: left PENDING
driver safety      | -DCLEAR              | none      | a kernel driver dispatches too; clear
driver, direct     | -DDIRECT             | none      | the same, answers past the driver
driver, local      | -DLOCAL              | none      | the same, a poller that may be made to stand still
driver ends        | -DLIVENESS           | none      | every request answered
driver mutant 30   |                      | assertion | state looked at before the record: words of two requests
driver mutant 31   |                      | assertion | the driver is told before the value is there
driver mutant 32   |                      | assertion | record idle before the driver was told
driver mutant 33   |                      | assertion | record closed before the driver's store
driver mutant 34   | -DCLEAR              | assertion | clear does not wait for the driver
channel dies       | -DCRASH              | none      | death at any step; what was taken fails
channel asks again | -DCRASH -DREISSUE    | none      | the same, and the next one is asked again
channel late       | -DDEADLINES=4 -DHANG -DPATIENCE=2 | none | late, hung, quarantined, comes again
channel far behind | -DDEADLINES=4 -DHANG | none      | the same without quarantine: its ring fills up
channel late, dies | -DDEADLINES=1 -DCRASH -DPATIENCE=1 | none | deadline beside death
channel stale      | -DDEADLINES=2        | none      | answers full of those that came too late
channel cleared    | -DCLEAR -DCRASH -DREISSUE | none | a clear of the VM, and death
channel lies       | -DHOSTILE -DCRASH -DREISSUE | none | any answer, any count, and death
channel late, clear | -DDEADLINES=2 -DCLEAR | none     | deadlines beside a clear
channel lies, late | -DHOSTILE -DDEADLINES=2 -DPATIENCE=1 | none | any answer, any count; deadlines
channel closes     | -DCLOSES -DREISSUE   | none      | an old incarnation goes on beside the next
channel sleeps     | -DSLEEPS             | none      | sleeps when there is nothing, is woken
channel dies, ends | -DLIVENESS -DCRASH   | none      | every request is answered
channel again ends | -DLIVENESS -DCRASH -DREISSUE | none | the same
channel late ends  | -DLIVENESS -DDEADLINES=2 -DHANG -DREQUESTS=1 | none | the same
channel stale ends | -DLIVENESS -DDEADLINES=2 | none  | the same
channel sleep ends | -DLIVENESS -DSLEEPS  | none      | the same
channel mutant 1   | -DCLOSES -DREISSUE   | assertion | memory of the last incarnation, epoch not looked at
channel mutant 2   | -DDEADLINES=2        | assertion | token without ticket
channel mutant 3   | -DDEADLINES=2 -DCLEAR | assertion | deadline settles beside the gate
channel mutant 4   | -DCRASH              | assertion | what was taken last is handed on
channel mutant 5   | -DCRASH              | assertion | what nobody took is failed
channel mutant 6   | -DCRASH              | assertion | acts first, then counts as taken
channel mutant 7   | -DDEADLINES=2        | ends early | answers that were refused are not given back
channel mutant 8   | -DCRASH              | ends early | what nobody took is forgotten at a death
channel mutant 9   | -DCLEAR -DCRASH -DREISSUE | assertion | the next one is asked what is settled
channel mutant 10  | -DDEADLINES=4 -DHANG | assertion | pushed without a look for room
channel mutant 11  | -DDEADLINES=2        | assertion | a late answer counts as malice
channel mutant 12  | -DCLEAR              | assertion | an answer after a clear counts as malice
channel mutant 13  | -DHOSTILE            | assertion | cut off, and what it held forgotten
channel mutant 14  | -DCRASH              | assertion | last answers of a dead one are not read
channel mutant 15  | -DCRASH -DREISSUE    | ends early | the next one is not asked what is held
channel mutant 16  | -DSLEEPS             | ends early | woken for a request before it sleeps
channel mutant 17  | -DSLEEPS             | ends early | what woke it before, forgotten last
channel mutant 18  | -DDEADLINES=4 -DHANG | ends early | full ring: left without a deadline
wait               |                      | none      | a poller that waits: nobody sleeps who should not
wait mutant 1      |                      | ends early | upcall before PENDING
wait mutant 2      |                      | ends early | in flight no more before the notification is due
wait mutant 3      |                      | ends early | a command without a wake
wait mutant 4      |                      | ends early | waits beside what is in flight or due
wait mutant 5      |                      | ends early | waits on what was heard before the last sweep
cell               |                      | none      | requests there and answers back in the cells of an inbox
cell mutant 1      |                      | assertion | an answer settles beside the gate
cell mutant 2      |                      | ends early | a cell is revoked by store
cell mutant 3      |                      | assertion | what a clear settled is not revoked
cell mutant 4      |                      | assertion | pushed into a cell that is the device's
cell mutant 5      |                      | assertion | pushed into a cell whose answer was not taken
cell mutant 6      |                      | ends early | the next request forgets the cell of the last
cell mutant 7      |                      | assertion | given back before the answer is there
cell mutant 8      |                      | ends early | a revoked cell is not given back
END
}

trim() { sed 's/^ *//; s/ *$//' <<<"$1"; }

# One run, in a folder of its own; its line goes into `line` there, and `failed` says it is one.
run_one() {
    local folder=$1 model name options expected what pan_options cc_options kind states seconds begin
    IFS='|' read -r name options expected what <"$folder/run"
    name=$(trim "$name") expected=$(trim "$expected") what=$(trim "$what")
    cd "$folder"
    cc_options="-O2 -DSAFETY" pan_options=
    case $options in
        *LIVENESS*) cc_options="-O2 -DNFAIR=3" pan_options="-a -f" ;;
        *LOCAL*) pan_options=-E ;; # a poller that is frozen stands anywhere
    esac
    case $name in *"mutant "*) # soon over: compiling is most of it
        options="$options -DMUTANT=${name##*mutant }" cc_options="$cc_options -O0" ;;
    esac
    case $name in channel*) model=channel_life ;; cell*) model=cell ;; wait*) model=wait ;; driver*) model=slot_driver ;; *) model=slot_life ;; esac
    begin=$(date +%s%N)
    # Word splitting is wanted: these are lists of options.
    # shellcheck disable=SC2086
    if spin -E-I"$tree" $options -a "$here/$model.pml" >log 2>&1 && ! grep -q Error: log &&
            gcc -w -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=6000 $cc_options -o pan pan.c >>log 2>&1
    then
        ./pan -m1000000 -w24 $pan_options >log 2>&1 || :
        rm -f pan pan.c
    fi
    seconds=$((($(date +%s%N) - begin) / 10000000))
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' log)
    kind="broken run"
    if grep -q 'assertion violated' log; then kind=assertion
    elif grep -q 'acceptance cycle' log; then kind=liveness
    elif grep -qE '^pan:.*(invalid end state)' log; then kind="ends early"
    elif grep -q 'errors: 0$' log && ! grep -qE 'max search depth|out of memory|truncated' log; then
        kind=none
    fi
    local verdict
    case $kind in
        none) verdict="no error" ;;
        assertion) verdict=$(sed -n 's/^pan:1: assertion violated \(.*\) (at.*/\1/p' log)
                   [ "$verdict" != 0 ] || verdict="a step that is not in the table"
                   verdict="assertion: $verdict" ;;
        liveness|"ends early") verdict="never ends" ;;
        *) verdict=$kind ;;
    esac
    [ "$kind" = "$expected" ] || { touch failed; tail -n 20 log >&2; verdict="$verdict  <-- expected: $expected"; }
    printf '%-18s %8s states %4d.%02d s  %s: %s\n' "$name" "${states:-0}" \
        $((seconds / 100)) $((seconds % 100)) "$what" "$verdict"
}

only=. chosen=all
while [ $# -gt 0 ]; do
    case $1 in
        --only) only=${2:?--only needs a regular expression}; shift ;;
        --model) chosen=${2:?--model needs slot_life, channel_life, cell or wait}; shift ;;
        --run-one) run_one "$2"; exit 0 ;; # for ourselves, below
        --help|-h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

case $chosen in
    all) of_model=. ;;
    slot_life) of_model='^([^cw]|clear)' ;; # and slot_driver, which shares its table
    channel_life) of_model='^channel' ;;
    cell) of_model='^cell' ;;
    wait) of_model='^wait' ;;
    *) usage >&2; exit 2 ;;
esac
for program in spin gcc; do
    command -v "$program" >/dev/null || { echo "skip: $program is not installed"; exit 77; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0
while read -r line; do
    count=$((count + 1))
    mkdir "$scratch/$(printf %02d $count)"
    printf '%s\n' "$line" >"$scratch/$(printf %02d $count)/run"
done < <(runs | grep -E -- "$of_model" | grep -E -- "$only")
[ "$count" -gt 0 ] || { echo "no run matches $only" >&2; exit 2; }

# One a processor: each is a single thread of at most 6 GB, as a rule of a tenth of that.
printf '%s\0' "$scratch"/*/ | xargs -0 -n 1 -P "$(nproc)" "$here/run.sh" --run-one
failures=$(find "$scratch" -name failed | wc -l)

# Each row of the table was used by the model, or it does not belong there.
if [ "$only" = . ] && [[ $chosen == @(all|slot_life) ]]; then
    sed -nE 's/^SLOT_(RECORD|PAGE)_TRANSITION\((.*), (.*), (.*)\).*/\L\1\E \2 \3 \4/p' \
        "$tree/pollers/slot_transitions.def" | sort >"$scratch/table"
    for folder in "$scratch"/*/; do
        grep -qE '^wait|^cell|mutant' "$folder/run" || sed -n 's/^used: //p' "$folder/log"
    done | sort -u >"$scratch/used"
    if [ -s "$scratch/table" ] && cmp -s "$scratch/table" "$scratch/used"; then
        echo "slot_transitions.def: $(wc -l <"$scratch/table") rows, each used by the model"
    else
        echo "slot_transitions.def: rows that the model does not use:"
        comm -23 "$scratch/table" "$scratch/used"
        failures=$((failures + 1))
    fi
fi
echo "$count runs, $failures failures"
[ "$failures" -eq 0 ]
