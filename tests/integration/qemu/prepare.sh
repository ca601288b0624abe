#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the tests of this folder need: QEMU installed; Debian's cloud kernel and a static busybox, unpacked
# into the cache and never installed. Does nothing, and needs no network, when all is there. Says what it
# loads; where something cannot be had, the last line is "skip: REASON" and the exit code 77.
set -eu
cache=${XDG_CACHE_HOME:-/var/tmp}/ioreqd-qemu
source_folder=$(cd "$(dirname "$0")/../../.." && pwd)
skip() { printf 'skip: %s\n' "$*"; exit 77; }

[ "$(uname -m)" = x86_64 ] || skip "the guest's kernel is for x86_64, this machine is $(uname -m)"
if ! command -v qemu-system-x86_64 > /dev/null; then
    "$source_folder/server/prerequisites.sh" qemu-system-x86 || skip "QEMU cannot be installed"
fi

mkdir -p "$cache" 2> /dev/null || skip "$cache cannot be made"
exec 9> "$cache/lock"
flock 9
[ -e "$cache/busybox" ] && [ -d "$cache/kernel" ] && exit 0

scratch=$(mktemp -d "$cache/loading.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# fetch PACKAGE: unpacked below $scratch/PACKAGE.
fetch() {
    local began=$SECONDS bytes
    bytes=$(apt-cache show --no-all-versions "$1" 2> /dev/null | sed -n 's/^Size: //p' | head -n 1)
    [ -n "$bytes" ] || return 1
    echo "Loading $1 from Debian: $(((bytes + 999999) / 1000000)) MB"
    mkdir "$scratch/$1"
    (cd "$scratch/$1" && timeout 240 apt-get -q download "$1" > apt.log 2>&1) || return 1
    dpkg -x "$scratch/$1"/*.deb "$scratch/$1/root" || return 1
    echo "   $((SECONDS - began)) s"
}

# The package that the name of the newest stands for.
find_kernel() {
    apt-cache depends linux-image-cloud-amd64 2> /dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

package=$(find_kernel)
if [ -z "$package" ] || ! fetch "$package"; then # the lists are missing or old
    rm -rf "${scratch:?}"/*
    apt-get -q update > /dev/null 2>&1 || true
    package=$(find_kernel)
    [ -n "$package" ] && fetch "$package" ||
        skip "Debian's cloud kernel (linux-image-cloud-amd64) cannot be loaded"
fi
fetch busybox-static || skip "Debian's busybox-static cannot be loaded"

rm -rf "$cache/kernel" "$cache/busybox"
mv "$scratch/busybox-static/root/bin/busybox" "$cache/busybox"
mv "$scratch/$package/root" "$cache/kernel"
