#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The project's rules that no compiler checks. Prints each breach; exit 1 if there is one.
set -u
cd "$(dirname "$0")/.."
breaches=0
breach() { printf '%s\n' "$*"; breaches=1; }

mapfile -t sources < <(find clients pollers config server bench tests -name '*.[ch]')
mapfile -t scripts < <(find server tests bench .ci -name '*.sh' -o -path .ci/run)

for file in "${sources[@]}"; do
    [ "$(head -n 1 "$file")" = "/* SPDX-License-Identifier: BSD-3-Clause */" ] ||
        breach "$file: the first line is not the licence line"
done
for file in "${scripts[@]}"; do
    sed -n 2p "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' ||
        breach "$file: the second line is not the licence line"
done

# An include is "folder/file.h": a relative one would walk around the gates.
while read -r line; do breach "$line: relative include"; done \
    < <(grep -nE '#include "(\.|[^"/]*")' "${sources[@]}")

# Each third-party library is used in one file. The examples are programs of others.
for header in liburing.h hwloc.h numa.h yaml.h jansson.h seccomp.h zlib.h; do
    users=$(grep -lE "#include <$header>" "${sources[@]}" | grep -vE '^tests/|/examples/')
    [ "$(printf '%s\n' "$users" | grep -c .)" -eq 1 ] ||
        breach "$header is used by: $(printf '%s ' $users)"
done

# One file touches the page: nobody else names the ABI's structures, but for the requester's side.
while read -r file; do
    case $file in
        pollers/slot.h|server/vm/*|bench/*|tests/*) ;;
        *) breach "$file: takes the slot apart; that is pollers/slot.h's work" ;;
    esac
done < <(grep -lE 'reqs\.|->processed|#include <linux/acrn' "${sources[@]}")

# A test that bears the number of a row of tests/faults.md stands in that row.
while IFS=: read -r file name; do
    row=$((10#${name//[^0-9]/})) test=${file#tests/}
    test=${test%_test.c}
    grep -qE "^\| $row \|.*[| ](${test#pollers/}|$test)[, ]" tests/faults.md ||
        breach "$file: $name: row $row of tests/faults.md does not name it"
done < <(grep -roE 'static void row_?[0-9]+' tests --include='*_test.c' | sed 's/static void //' | sort -u)

while read -r line; do breach "$line: left behind"; done \
    < <(grep -nwE 'TODO|FIXME|XXX' "${sources[@]}" "${scripts[@]}" | grep -v '^tests/tidy.sh')

exit $breaches
