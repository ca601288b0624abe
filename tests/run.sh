#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds and runs every test. The last line counts test cases: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<END
Usage: tests/run.sh [--only REGEX] [PRESET...]
  PRESET         release, asan, tsan, dev, coverage: unit and integration tests of that build;
                 fuzz: every fuzz target for ten seconds (default: release asan tsan fuzz)
  --only REGEX   only tests whose name matches
  --help         show this
Exit codes: 0 all passed or skipped, 1 some failed, 2 usage.
END
}

only=()
presets=()
while [ $# -gt 0 ]; do
    case $1 in
        --only) only=(-R "${2:?--only needs a regular expression}"); shift ;;
        --help|-h) usage; exit 0 ;;
        release|asan|tsan|dev|coverage|fuzz) presets+=("$1") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
[ ${#presets[@]} -gt 0 ] || presets=(release asan tsan fuzz)

echo "== Packages: installing what is missing"
./server/prerequisites.sh libcmocka-dev seabios clang-14 libclang-rt-14-dev git spin g++ relacy-dev valgrind mandoc python3
./tests/integration/qemu/prepare.sh || true # without it those tests skip, and say why

passed=0 failed=0 skipped=0
reasons=$(mktemp)
trap 'rm -f "$reasons"' EXIT

# Adds up the cases of every program in ctest's log; a program without cases, or one that died before
# it could count them, is one case.
count() {
    local figures
    figures=$(awk '
        /^[0-9]+\/[0-9]+ Test: /     { ok = bad = skip = 0; finished = 0 }
        /^\[       OK \]/            { ok++ }
        /^\[  SKIPPED \] [0-9]+ test/ { skip = $4 }
        / FAILED TEST\(S\)$/         { bad = $1 }
        /^\[==========\] [0-9]+ test\(s\) run\./ { finished = 1 }
        /^Test (Passed|Failed|Skipped)|^Test not run|^Test timeout/ {
            if ($0 ~ /^Test Skipped/ && !ok) skip++
            else if ($0 ~ /^Test Passed/) { if (!finished) ok++ }
            else if (!bad) bad++
            OK += ok; BAD += bad; SKIP += skip
            ok = bad = skip = 0
        }
        # Of a test that its output decides ctest logs only this.
        /^Required regular expression found/     { OK++ }
        /^Required regular expression not found/ { BAD++ }
        /^Skip regular expression found/         { SKIP++ }
        END { print OK + 0, BAD + 0, SKIP + 0 }' "$1/Testing/Temporary/LastTest.log")
    set -- $figures
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    echo "   $1 passed, $2 failed, $3 skipped"
}

for preset in "${presets[@]}"; do
    echo "== $preset: building"
    log=build/$preset.log
    mkdir -p build
    if ! { cmake --preset "$preset" -DIOREQD_TESTS=ON && cmake --build "build/$preset"; } \
            >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "   the build failed: $log"
        failed=$((failed + 1))
        continue
    fi
    echo "== $preset: testing"
    rm -f "build/$preset/Testing/Temporary/LastTest.log"
    failed_before=$failed
    status=0
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error "${only[@]}" |
        sed -uE '/^(Internal ctest|Test project| *Start )/d' || status=$?
    if [ -f "build/$preset/Testing/Temporary/LastTest.log" ]; then
        count "build/$preset"
        # Whatever the log's words are, what ctest calls a failure is one.
        [ "$status" -eq 0 ] || [ "$failed" -gt "$failed_before" ] || failed=$((failed + 1))
        sed -n "s/^skip: /$preset: /p" "build/$preset/Testing/Temporary/LastTest.log" >>"$reasons"
    else
        failed=$((failed + 1))
    fi
done

if [ -s "$reasons" ]; then
    echo "== Skipped, and why"
    sort "$reasons" | uniq -c | sed 's/^ *\([0-9]*\) /   \1 x /'
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
