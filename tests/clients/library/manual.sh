#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The manual page of libioreq: no fault in its markup, and every function of the header is in its
# NAME and SYNOPSIS, with the parameters it has there; nothing else is.
#     manual.sh SOURCE_FOLDER
set -eu
page=$1/clients/library/ioreq.3 header=$1/clients/library/ioreq.h
fail() { printf 'manual.sh: %s\n' "$*"; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# "name argument,argument" of each prototype, white space as it may be.
python3 - "$header" "$page" "$scratch" <<'END' || fail "python3 is needed to compare the prototypes"
import re, sys
header, page, scratch = sys.argv[1:]
text = re.sub(r"/\*.*?\*/", "", open(header).read(), flags=re.S)
def squeeze(arguments):
    return ",".join(" ".join(each.split()) for each in arguments)
with open(scratch + "/header", "w") as out:
    for name, arguments in sorted(re.findall(r"\b(ioreq_\w+)\(([^)]*)\);", text)):
        print(name, squeeze(arguments.split(",")), file=out)
text = open(page).read()
synopsis = text[text.index(".Sh SYNOPSIS"):text.index(".Sh DESCRIPTION")]
found = []
for match in re.finditer(r"^\.Fn (\w+) ([^\n]*)$|^\.Fo (\w+)\n(.*?)^\.Fc", synopsis, re.M | re.S):
    arguments = re.findall(r'"([^"]*)"', (match[2] or match[4]).split("\n.Ft")[0])
    found.append((match[1] or match[3], squeeze(arguments)))
with open(scratch + "/synopsis", "w") as out:
    for each in sorted(found):
        print(*each, file=out)
names = text[text.index(".Sh NAME"):text.index(".Nd")]
with open(scratch + "/name", "w") as out:
    print("\n".join(sorted(re.findall(r"^\.Nm (\w+)", names, re.M))), file=out)
END
[ -s "$scratch/header" ] || fail "no prototypes were found in $header"
diff "$scratch/header" "$scratch/synopsis" || fail "header (<) and SYNOPSIS (>) differ"
cut -d' ' -f1 "$scratch/header" | diff - "$scratch/name" || fail "header (<) and NAME (>) differ"

if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$page" || fail "mandoc -T lint finds faults"
elif command -v groff >/dev/null; then
    [ -z "$(groff -mandoc -ww -z "$page" 2>&1)" ] || fail "groff finds faults"
else
    echo "skip: neither mandoc nor groff is installed; the prototypes are right"
    exit 77
fi
