#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest of our own under QEMU, for what this machine's kernel does not have. Sourced by the
# tests beside it; each adds what the guest shall hold and what it shall do:
#
#     . "$(dirname "$0")/harness.sh"
#     harness_begin BUILD_FOLDER             a scratch folder, $scratch; what cannot be had: skip, 77
#     image_add_programs ioreqd ioreqctl     of the build folder, with their libraries
#     image_add_modules uio uio_pci_generic  of the kernel package (or paths); loaded in this order
#     image_add_file FROM TO                 TO is absolute, in the guest
#     harness_build_module FILE              FILE.c beside this one, as $scratch/FILE.ko
#     guest_start [QEMU ARGUMENT...] <<'END' what the guest does: sh -eu, as process 2
#     ...
#     END
#     guest_expect 'ready'                   waits for that line (a regular expression) on the console
#     guest_say go                           one line, read by `hear` in the guest
#     guest_finish                           waits for the end; wants the marker of a passed script
#
# In the guest: `say TEXT` prints a line, `hear` reads one from guest_say into $heard, `fail TEXT` ends
# the test. More kernel arguments: kernel_arguments=... before guest_start. The kernel's release is
# $kernel_release. All ends within $guest_seconds, whatever the guest does.
#
# Source: the kernel and busybox are Debian's packages, unpacked and never installed, kept in
# ${XDG_CACHE_HOME:-/var/tmp}/ioreqd-qemu. KVM is not used: nested, it runs no Linux kernel.
set -euo pipefail

harness_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_folder=$(cd "$harness_folder/../../.." && pwd)
cache=${XDG_CACHE_HOME:-/var/tmp}/ioreqd-qemu
kernel_arguments=
guest_seconds=60
guest_memory=512M
guest_marker='== guest: passed'
guest_process=

skip() { printf 'skip: %s\n' "$*"; exit 77; }

# What the guest has said so far goes with it.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*"
    [ ! -f "${console:-/nonexistent}" ] || { echo "---- the guest's console, its end:"; tail -n 60 "$console"; }
    exit 1
}

harness_end() {
    local status=$?
    if [ -n "$guest_process" ]; then
        kill -TERM "$guest_process" 2>/dev/null || true # timeout(1) passes it on; KILL it could not
        wait "$guest_process" 2>/dev/null || true
    fi
    [ -z "${IOREQD_KEEP:-}" ] || { echo "kept: $scratch"; return "$status"; }
    rm -rf "$scratch"
    return "$status"
}

harness_begin() {
    build_folder=$(cd "$1" && pwd)
    "$harness_folder/prepare.sh" > "${TMPDIR:-/tmp}/ioreqd-prepare.$$" 2>&1 || {
        reason=$(tail -n 1 "${TMPDIR:-/tmp}/ioreqd-prepare.$$"); rm -f "${TMPDIR:-/tmp}/ioreqd-prepare.$$"
        skip "${reason#skip: }"
    }
    rm -f "${TMPDIR:-/tmp}/ioreqd-prepare.$$"
    kernel_image=$(find "$cache/kernel/boot" -name 'vmlinuz-*' | head -n 1)
    kernel_release=${kernel_image##*/vmlinuz-}
    scratch=$(mktemp -d)
    console=$scratch/console
    image=$scratch/image
    trap harness_end EXIT
    trap 'exit 1' INT TERM
    mkdir -p "$image"/{bin,dev,etc,lib,modules,proc,root,run,sys,tmp}
    cp "$cache/busybox" "$image/bin/busybox"
    : > "$image/modules/order"
}

# A program's libraries go where its own loader looks for them.
image_add_programs() {
    local program path library
    for program in "$@"; do
        path=$program
        [ -e "$path" ] || path=$build_folder/$program
        [ -x "$path" ] || die "$program is not built in $build_folder"
        cp "$path" "$image/bin/"
        ldd "$path" 2>/dev/null | grep -oE '/[^ ]+' | while read -r library; do
            mkdir -p "$image${library%/*}"
            [ -e "$image$library" ] || cp -L "$library" "$image$library"
        done
    done
}

image_add_modules() {
    local module path
    for module in "$@"; do
        path=$module
        [ -e "$path" ] || path=$(find "$cache/kernel/lib/modules" -name "$module.ko" | head -n 1)
        [ -n "$path" ] || die "the kernel $kernel_release has no module $module"
        cp "$path" "$image/modules/"
        echo "${path##*/}" >> "$image/modules/order"
    done
}

image_add_file() {
    mkdir -p "$image${2%/*}"
    cp "$1" "$image$2"
}

image_write_init() {
    cat > "$image/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/hugepages /dev/shm
mount -t tmpfs none /dev/shm
while read -r module; do
    insmod "/modules/$module" || echo "== guest: failed: module $module"
done < /modules/order
sh -eu /prelude.sh && echo "== guest: passed"
sync
poweroff -f
END
    cat > "$image/prelude.sh" <<'END'
say() { echo "== $*"; }
hear() { read -r heard < /dev/ttyS1; }
fail() { echo "== guest: failed: $*"; exit 1; }
stty -F /dev/ttyS1 raw -echo
. /test.sh
END
    cat > "$image/test.sh"
    chmod +x "$image/init"
}

# The script comes on standard input.
guest_start() {
    image_write_init
    (cd "$image" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) > "$scratch/initramfs"
    mkfifo "$scratch/serial.in" "$scratch/serial.out"
    exec {serial}<> "$scratch/serial.in"      # both ends: opening never waits
    exec {serial_out}<> "$scratch/serial.out"
    : > "$console"
    timeout --signal=KILL "$guest_seconds" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot \
        -display none -M q35,kernel-irqchip=off -accel tcg,thread=multi -cpu max -m "$guest_memory" \
        -device intel-iommu -kernel "$kernel_image" -initrd "$scratch/initramfs" \
        -append "console=ttyS0 panic=-1 quiet no_timer_check intel_iommu=on $kernel_arguments" \
        -serial "file:$console" -serial "pipe:$scratch/serial" "$@" \
        > "$scratch/qemu.log" 2>&1 < /dev/null &
    guest_process=$!
}

guest_is_running() { kill -0 "$guest_process" 2>/dev/null; }

# A line as `say` prints it; its text after the "== " is left in $said.
guest_expect() {
    local last=0
    while :; do
        guest_is_running || last=1
        if said=$(tr -d '\r' < "$console" | grep -E -m 1 -- "^== $1\$"); then
            said=${said#== }
            return
        fi
        ! grep -q '^== guest: failed' "$console" || die "the guest says: $(grep -m 1 '^== guest: failed' "$console")"
        [ "$last" -eq 0 ] || die "the guest ended without: $1; $(tail -n 3 "$scratch/qemu.log")"
        sleep 0.05
    done
}

guest_say() { printf '%s\n' "$*" >&"$serial"; }

guest_finish() {
    local status=0
    wait "$guest_process" || status=$?
    guest_process=
    grep -q "^$guest_marker" "$console" ||
        die "no '$guest_marker' (QEMU's status is $status); $(tail -n 3 "$scratch/qemu.log")"
}

# Builds FILE.c of this folder as a module for the guest's kernel: $scratch/FILE.ko. False, and why in
# $module_reason: its headers cannot be had.
harness_build_module() {
    local headers status=0
    headers=$("$harness_folder/kernel_headers.sh" "$kernel_release" | tail -n 1) || status=$?
    if [ "$status" -ne 0 ]; then
        module_reason=${headers#skip: }
        return 1
    fi
    mkdir "$scratch/module"
    cp "$harness_folder/$1.c" "$scratch/module/"
    echo "obj-m := $1.o" > "$scratch/module/Makefile"
    make -C "$headers" "M=$scratch/module" modules > "$scratch/module/log" 2>&1 || {
        cat "$scratch/module/log"
        die "$1.c cannot be built for $kernel_release"
    }
    strip --strip-debug -o "$scratch/$1.ko" "$scratch/module/$1.ko"
}
