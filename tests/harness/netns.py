"""Sockets in other network namespaces, and a way out of one that has none."""

import contextlib
import ctypes
import os
import socket
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


def socket_in(pid, kind=socket.SOCK_STREAM, family=socket.AF_INET, protocol=0):
    """A socket of the network namespace of a process."""
    result = []

    def make():  # a thread of its own has a namespace of its own
        target = os.open(f'/proc/{pid}/ns/net', os.O_RDONLY)
        try:
            _enter(target)
            result.append(socket.socket(family, kind, protocol))
        finally:
            os.close(target)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return result[0]


class Relay:
    """A port of 127.0.0.1 inside a namespace that leads to the same port out here."""

    def __init__(self, pid, port):
        self._port = port
        self._listener = socket_in(pid)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(('127.0.0.1', port))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                try:
                    outside = socket.create_connection(('127.0.0.1', self._port))
                except OSError:  # nobody is there at the moment
                    inside.close()
                    continue
                for source, target in ((inside, outside), (outside, inside)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source, target):
    """The descriptors go with the last thread that holds them."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
