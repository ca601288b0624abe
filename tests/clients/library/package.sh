#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# libioreq as others get it: installed into a folder of its own, which is then moved; an outside project
# builds against it by find_package and by pkg-config, in C and in C++; nothing but the API is exported.
#     package.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1 source=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { printf 'package.sh: %s\n' "$*"; exit 1; }

cmake --install "$build" --prefix "$scratch/first" > "$scratch/log" || { cat "$scratch/log"; exit 1; }
mv "$scratch/first" "$scratch/prefix"
library=$(find "$scratch/prefix" -name libioreq.so)
libraries=$(dirname "$library")
[ -L "$library" ] || fail "libioreq.so is no link to a version"
readelf -d "$library" | grep -q 'SONAME.*\[libioreq\.so\.0\]' || fail "no soname libioreq.so.0"

# Every function of the header, and no other symbol.
grep -oE '\bioreq_[a-z_]+\(' "$scratch/prefix/include/ioreq.h" | tr -d '(' | sort -u > "$scratch/declared"
nm -D --defined-only "$library" | awk '{print $3}' | sort -u > "$scratch/exported"
diff "$scratch/declared" "$scratch/exported" || fail "declared (<) and exported (>) differ"

[ -s "$scratch/prefix/share/man/man3/ioreq.3" ] || fail "no manual page"
[ -s "$scratch/prefix/share/ioreq/python/ioreq.py" ] || fail "no Python binding"

# libc, and nothing else.
if readelf -d "$library" | grep NEEDED | grep -vE 'libc\.so|ld-linux|lib(a|ub|t)san'; then
    fail "libioreq needs more than libc"
fi

cmake -S "$source/clients/library/examples" -B "$scratch/outside" \
      -DCMAKE_PREFIX_PATH="$scratch/prefix" > "$scratch/log" 2>&1 &&
    cmake --build "$scratch/outside" >> "$scratch/log" 2>&1 || { cat "$scratch/log"; fail "find_package"; }
"$scratch/outside/ioreq-example-uart" --help | grep -q usage || fail "the example does not run"

export PKG_CONFIG_PATH=$libraries/pkgconfig
[ "$(pkg-config --modversion ioreq)" = "$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' \
    "$source/CMakeLists.txt")" ] || fail "pkg-config tells another version"
# shellcheck disable=SC2046 # words are wanted
cc -D_GNU_SOURCE -Wall -Werror "$source/clients/library/examples/uart_pty.c" -o "$scratch/by_pkg_config" \
   $(pkg-config --cflags --libs ioreq) || fail "pkg-config"
LD_LIBRARY_PATH=$libraries "$scratch/by_pkg_config" --help | grep -q usage || fail "pkg-config: does not run"
if command -v c++ > /dev/null; then
    echo '#include <ioreq.h>
          int main() { return ioreq_answer(nullptr, 0, 0) == 0; }' > "$scratch/plus.cpp"
    # shellcheck disable=SC2046
    c++ -Wall -Werror "$scratch/plus.cpp" -o "$scratch/plus" $(pkg-config --cflags --libs ioreq) ||
        fail "C++"
fi
