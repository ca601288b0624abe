#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: decoded.sh IOREQ_BENCH DIRECTORY
# Exported files, read by hdr-histogram-js, which npm puts into DIRECTORY unless it is there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bench=$1
modules=$2/node_modules
package=hdr-histogram-js@3.0.1

for program in node npm; do
    command -v "$program" >/dev/null || { echo "skip: $program is not installed"; exit 77; }
done
if [ ! -d "$modules/hdr-histogram-js" ]; then
    mkdir -p "$2"
    (cd "$2" && npm install --silent --no-audit --no-fund --no-save --prefix . "$package") \
        >"$2/npm.log" 2>&1 || { echo "skip: npm cannot install $package"; exit 77; }
fi

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
status=0
for question in $("$bench" --list); do
    case $question in rtt|route|sweep) ;; *) continue ;; esac # the others write as these do
    "$bench" "$question" --smoke --json --export "$run/files" >"$run/$question.json"
    node "$here/decoded.js" "$modules" "$run/$question.json" "$run/files" || status=1
done
exit $status
