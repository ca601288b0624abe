#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The headers that modules for the guest's kernel are built with, from Debian, in the cache beside the kernel.
#     kernel_headers.sh KERNEL_RELEASE
# The last line is their folder. The first run loads about 12 MB; later ones need no network. What cannot
# be had: the last line is "skip: REASON", the exit code 77.
set -eu
release=${1:?kernel release}
cache=${XDG_CACHE_HOME:-/var/tmp}/ioreqd-qemu/acrn
skip() { printf 'skip: %s\n' "$*"; exit 77; }

for program in make gcc-12; do
    command -v "$program" > /dev/null || skip "$program, which the kernel's modules are built with, is not installed"
done
mkdir -p "$cache" 2> /dev/null || skip "$cache cannot be made"
exec 9> "$cache/lock"
flock 9
folder=$cache/headers-$release
if [ ! -d "$folder" ]; then
    scratch=$(mktemp -d "$cache/loading.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    for package in "linux-headers-$release" "linux-headers-${release%-*-*}-common" linux-kbuild-6.1 \
        linux-compiler-gcc-12-x86; do
        echo "Loading $package from Debian"
        mkdir "$scratch/$package"
        { (cd "$scratch/$package" && timeout 240 apt-get -q download "$package") &&
            dpkg -x "$scratch/$package"/*.deb "$scratch/headers"; } > "$scratch/log" 2>&1 ||
            skip "the headers of Debian's kernel $release ($package) cannot be loaded"
    done
    # Their makefiles name one another by where Debian installs them.
    find "$scratch/headers/usr/src" -maxdepth 2 -name Makefile -type f -size -2k \
        -exec sed -i "s,/usr/src,$folder/usr/src,g" {} +
    mv "$scratch/headers" "$folder"
fi
echo "$folder"/usr/src/linux-headers-*-cloud-amd64
