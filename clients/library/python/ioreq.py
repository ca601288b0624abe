# SPDX-License-Identifier: BSD-3-Clause
"""libioreq in Python: a device of an ioreqd VM in a few lines, for prototypes.

    import ioreq

    with ioreq.Client.register("guest", "outside", socket="/run/ioreqd/ioreqd.sock") as client:
        ioreq.serve(client, lambda request: request.offset)

Flow:    Client.register or Client.create -> receive, answer ... -> close. ioreq.h has the rules.
Threads: of one client one thread may receive and another one answer.
Errors:  Error, an OSError with the errno of ioreq.h and the server's reason; Client.receive returns
         None when its time is over.
Needs:   libioreq.so.0 where the loader finds it, or its path in IOREQ_LIBRARY.
"""
import ctypes
import errno
import os

FOREVER = 2**64 - 1
NO_RANGE = 2**32 - 1
PORTIO, MMIO, PCICFG, WP = range(4)
READ, WRITE = range(2)


class Request(ctypes.Structure):
    """One access of a guest; struct ioreq_request."""

    _fields_ = [
        ("token", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("ticks", ctypes.c_uint64),
        ("range_index", ctypes.c_uint32),
        ("vcpu", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("direction", ctypes.c_uint32),
        ("size_bytes", ctypes.c_uint32),
        ("resets", ctypes.c_uint32),
    ]


class Range(ctypes.Structure):
    """Addresses, both ends inclusive; struct ioreq_range."""

    _fields_ = [
        ("first", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("type", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    ]


class Error(OSError):
    """What libioreq refused: errno, and why in words."""


_library = ctypes.CDLL(os.environ.get("IOREQ_LIBRARY", "libioreq.so.0"))
_client = ctypes.c_void_p


def _declare(name, result, *arguments):
    function = getattr(_library, name)
    function.restype, function.argtypes = result, arguments
    return function


_register = _declare("ioreq_register", ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p,
                     ctypes.c_char_p, ctypes.POINTER(_client))
_create = _declare("ioreq_create", ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p,
                   ctypes.POINTER(Range), ctypes.c_size_t, ctypes.POINTER(_client))
_add_range = _declare("ioreq_add_range", ctypes.c_int, _client, ctypes.POINTER(Range))
_delete_range = _declare("ioreq_delete_range", ctypes.c_int, _client, ctypes.POINTER(Range))
_try_receive = _declare("ioreq_try_receive", ctypes.c_int, _client, ctypes.POINTER(Request))
_receive = _declare("ioreq_receive", ctypes.c_int, _client, ctypes.POINTER(Request),
                    ctypes.c_uint64, ctypes.c_uint64)
_descriptor = _declare("ioreq_descriptor", ctypes.c_int, _client)
_arm = _declare("ioreq_arm", ctypes.c_int, _client)
_resets = _declare("ioreq_resets", ctypes.c_uint32, _client)
_answer = _declare("ioreq_answer", ctypes.c_int, _client, ctypes.c_uint64, ctypes.c_uint64)
_fail = _declare("ioreq_fail", ctypes.c_int, _client, ctypes.c_uint64)
_error = _declare("ioreq_error", ctypes.c_char_p, _client)
_close = _declare("ioreq_close", None, _client)
_destroy = _declare("ioreq_destroy", ctypes.c_int, _client)


def _bytes(text):
    return None if text is None else text.encode()


class Client:
    """A client that this process serves; made by register or create."""

    def __init__(self, handle):
        self._handle = handle

    @classmethod
    def register(cls, vm=None, name=None, socket=None):
        """Becomes the device of a client that the configuration declares with device: process.

        None: as ioreqd says it in the environment of a process that it starts.
        """
        handle = _client()
        result = _register(_bytes(socket), _bytes(vm), _bytes(name), ctypes.byref(handle))
        return cls._made(result, handle)

    @classmethod
    def create(cls, vm, name, ranges, socket=None):
        """The same for a client that does not exist yet, with these Ranges."""
        handle, array = _client(), (Range * len(ranges))(*ranges)
        result = _create(_bytes(socket), _bytes(vm), _bytes(name), array, len(ranges),
                         ctypes.byref(handle))
        return cls._made(result, handle)

    @classmethod
    def _made(cls, result, handle):
        if result < 0:
            raise Error(-result, _error(None).decode() or os.strerror(-result))
        return cls(handle)

    def _check(self, result):
        if result < 0:
            raise Error(-result, _error(self._handle).decode() or os.strerror(-result))

    def _open(self):
        if not self._handle:
            raise Error(errno.EBADF, "the client is closed")
        return self._handle

    def receive(self, timeout_ns=FOREVER, spin_ns=0):
        """The oldest Request, or None after timeout_ns."""
        request = Request()
        result = _receive(self._open(), ctypes.byref(request), timeout_ns, spin_ns)
        if result == -errno.ETIMEDOUT:
            return None
        self._check(result)
        return request

    def try_receive(self):
        """The oldest Request, or None."""
        request = Request()
        result = _try_receive(self._open(), ctypes.byref(request))
        if result == -errno.EAGAIN:
            return None
        self._check(result)
        return request

    def answer(self, token, value=0):
        """Answers the request of that token; waits while the server reads earlier answers."""
        while (result := _answer(self._open(), token, value % 2**64)) == -errno.EAGAIN:
            pass
        self._check(result)

    def fail(self, token):
        """The device cannot: the guest reads all-ones."""
        while (result := _fail(self._open(), token)) == -errno.EAGAIN:
            pass
        self._check(result)

    def fileno(self):
        """For select, poll and asyncio; readable says something only after arm returned True."""
        return _descriptor(self._open())

    def arm(self):
        """True: fileno tells the next request. False: there is one now."""
        result = _arm(self._open())
        if result == -errno.EAGAIN:
            return False
        self._check(result)
        return True

    def resets(self):
        """1 at first, one more with each reset of the VM; Request.resets has it, too."""
        return _resets(self._open())

    def add_range(self, range_):
        self._check(_add_range(self._open(), ctypes.byref(range_)))

    def delete_range(self, range_):
        self._check(_delete_range(self._open(), ctypes.byref(range_)))

    def close(self):
        """Leaves; what was not answered is completed by the client's policy."""
        handle, self._handle = self._handle, None
        _close(handle)

    def destroy(self):
        """The same, and removes the client with its ranges."""
        handle, self._handle = self._open(), None
        result = _destroy(handle)
        if result < 0:
            raise Error(-result, os.strerror(-result))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def serve(client, handle, spin_ns=50000):
    """Answers each request with handle(request) (None: 0), until the server hangs up."""
    while True:
        request = client.receive(spin_ns=spin_ns)
        client.answer(request.token, handle(request) or 0)
