#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage: server/prerequisites.sh PACKAGE...
# Installs those of the Debian packages that are missing, beside what every build needs. Says what it
# does; does nothing, and needs no network and no rights, when all are there.
set -eu

build=(gcc libc6-dev cmake ninja-build pkg-config liburing-dev libhwloc-dev libnuma-dev libyaml-dev
       libjansson-dev libseccomp-dev libsystemd-dev zlib1g-dev)

missing=()
for package in "${build[@]}" "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing from Debian: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Run this as root, or install sudo." >&2; exit 1; }
    as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { "${as_root[@]}" apt-get update &&
       "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "Could not install: ${missing[*]}" >&2
    exit 1
fi
