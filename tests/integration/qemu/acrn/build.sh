#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux's own ACRN driver, from Debian's source package, as a module for the kernel that the guest boots,
# with acrn_sim.c below it instead of the hypervisor: TO/acrn_sim.ko and TO/acrn.ko.
#     build.sh KERNEL_RELEASE TO_FOLDER
# The driver's source (GPL-2.0) and the kernel's headers are kept in the cache beside the kernel, never in
# this project. The first run loads about 155 MB and takes half a minute, later ones 3 s and no network.
# What cannot be had: the last line is "skip: REASON", the exit code 77.
set -eu
release=${1:?kernel release} to=${2:?folder}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/tmp}/ioreqd-qemu/acrn
skip() { printf 'skip: %s\n' "$*"; exit 77; }

for program in make xz gcc-12; do
    command -v "$program" > /dev/null || skip "$program, which the kernel's modules are built with, is not installed"
done
mkdir -p "$cache" 2> /dev/null || skip "$cache cannot be made"
exec 9> "$cache/lock"
flock 9
scratch=$(mktemp -d "$cache/loading.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# fetch PACKAGE[=VERSION] NAME: the package's file becomes $scratch/NAME.deb.
fetch() {
    local began=$SECONDS bytes
    bytes=$(apt-cache show --no-all-versions "$1" 2> /dev/null | sed -n 's/^Size: //p' | head -n 1)
    [ -n "$bytes" ] || return 1
    echo "Loading ${1%%=*} from Debian: $(((bytes + 999999) / 1000000)) MB"
    mkdir "$scratch/$2"
    (cd "$scratch/$2" && timeout 240 apt-get -q download "$1" > apt.log 2>&1) || return 1
    mv "$scratch/$2"/*.deb "$scratch/$2.deb"
    echo "   $((SECONDS - began)) s"
}

# Their makefiles name one another by where Debian installs them. $cache/headers-RELEASE goes there last.
load_headers() {
    local package folder
    for package in "linux-headers-$release" "linux-headers-${release%-*-*}-common" linux-kbuild-6.1 \
        linux-compiler-gcc-12-x86; do
        fetch "$package" "$package" && dpkg -x "$scratch/$package.deb" "$scratch/headers" || return 1
    done
    folder=$cache/headers-$release
    find "$scratch/headers/usr/src" -maxdepth 2 -name Makefile -type f -size -2k \
        -exec sed -i "s,/usr/src,$folder/usr/src,g" {} +
    rm -rf "$folder"
    mv "$scratch/headers" "$folder"
}

# Of 138 MB that are packed in the package only its 8 files are kept.
load_driver() {
    local version
    version=$(apt-cache show --no-all-versions "linux-headers-$release" | sed -n 's/^Version: //p' | head -n 1)
    fetch "linux-source-6.1=$version" source || fetch linux-source-6.1 source || return 1
    echo "Unpacking the driver from it"
    dpkg --fsys-tarfile "$scratch/source.deb" | tar -xO ./usr/src/linux-source-6.1.tar.xz |
        tar -xJ -C "$scratch" --wildcards 'linux-source-6.1/drivers/virt/acrn/*' || return 1
    rm -rf "$cache/driver"
    mv "$scratch/linux-source-6.1/drivers/virt/acrn" "$cache/driver"
}

[ -d "$cache/headers-$release" ] || load_headers ||
    skip "the headers of Debian's kernel $release (linux-headers-$release) cannot be loaded"
[ -d "$cache/driver" ] || load_driver || skip "Debian's linux-source-6.1 cannot be loaded"

build=$scratch/build
mkdir -p "$build/tests/integration/qemu"
ln -s "$here" "$build/tests/integration/qemu/acrn"
cp "$cache"/driver/*.[ch] "$here/acrn_sim.c" "$here/shim.h" "$build/"
cat > "$build/Makefile" <<'END_OF_MAKEFILE'
ccflags-y := -include $(src)/shim.h -I$(src)
obj-m := acrn_sim.o acrn.o
acrn-y := hsm.o vm.o mm.o ioreq.o ioeventfd.o irqfd.o
END_OF_MAKEFILE
headers=$(echo "$cache/headers-$release"/usr/src/linux-headers-*-cloud-amd64)
make -C "$headers" "M=$build" modules > "$scratch/log" 2>&1 || {
    cat "$scratch/log"
    echo "the ACRN driver cannot be built for $release"
    exit 1
}
mkdir -p "$to"
strip --strip-debug -o "$to/acrn_sim.ko" "$build/acrn_sim.ko"
strip --strip-debug -o "$to/acrn.ko" "$build/acrn.ko"
