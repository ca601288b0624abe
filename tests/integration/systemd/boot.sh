#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# systemd with one service, ioreqd by its unit file, in namespaces of its own: process 1 there, with its own
# /run and its own part of the machine's cgroups. All of it goes with the process that started it.
#
#     boot.sh FOLDER UNIT IOREQD    FOLDER: config.yaml, and where ioreqd writes `err`
#     boot.sh --inside ...          what it calls itself, in the namespaces
#
# Exit code 77, with a line: it cannot run here.
set -euo pipefail

skip() {
    echo "skip: $*" >&2
    exit 77
}

# Where systemd has its processes: a hierarchy of version 1 by its name, or the only one there is.
cgroups() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        echo /sys/fs/cgroup/systemd
    fi
}

if [ "$1" != --inside ]; then
    [ "$(id -u)" = 0 ] || skip "only root may make namespaces with a systemd in them"
    [ -x /lib/systemd/systemd ] || skip "there is no /lib/systemd/systemd; expected Debian's package systemd"
    own=$(cgroups)/ioreqd-test-$$
    mkdir "$own" 2>/dev/null || skip "$(cgroups) cannot be written; systemd needs a cgroup of its own"
    echo $$ >"$own/cgroup.procs" || skip "$own takes no process"
    exec unshare --fork --pid --mount --mount-proc --cgroup --kill-child -- "$0" --inside "$@"
fi
shift
folder=$1 unit=$2 ioreqd=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    umount -R /sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
units=/run/systemd/system
mkdir -p $units/ioreqd.service.d
# As it is installed, but for where it is.
sed "s|^ExecStart=[^ ]* --config .*|ExecStart=$ioreqd --config $folder/config.yaml|" "$unit" >$units/ioreqd.service
cat >$units/ioreqd.service.d/test.conf <<END
[Unit]
DefaultDependencies=no
[Service]
StandardOutput=null
StandardError=append:$folder/err
END
printf '[Unit]\nDefaultDependencies=no\nWants=ioreqd.service\n' >$units/ioreqd-test.target
exec env -i PATH="$PATH" container=other /lib/systemd/systemd --system --unit=ioreqd-test.target \
    --log-target=console --show-status=0
