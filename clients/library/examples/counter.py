#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A counter in a process of its own: each read gives how many there were, a write sets it.

Usage: counter.py SOCKET VM CLIENT
"""
import errno
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import ioreq  # noqa: E402


class Counter:
    def __init__(self):
        self.count = 0

    def __call__(self, request):
        if request.direction == ioreq.WRITE:
            self.count = request.value
            return 0
        self.count += 1
        return self.count


def main():
    if len(sys.argv) != 4:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    counter = Counter()
    while True:
        try:
            with ioreq.Client.register(sys.argv[2], sys.argv[3], socket=sys.argv[1]) as client:
                print("serving", flush=True)
                ioreq.serve(client, counter)
        except ioreq.Error as error:
            if error.errno not in (errno.ECONNRESET, errno.EBUSY):
                print(f"cannot register: {error.strerror}", file=sys.stderr)
                return 1
        time.sleep(0.1)  # the server has hung up, or another process serves the client


if __name__ == "__main__":
    sys.exit(main())
