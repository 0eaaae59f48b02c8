"""A proxy before a server that counts what it sends: connections and bytes, headers included."""

import contextlib
import socket
import socketserver
import threading


class _Handler(socketserver.BaseRequestHandler):

    def handle(self):
        proxy = self.server.proxy
        with proxy.lock:
            proxy.connections += 1
        with socket.create_connection(('127.0.0.1', proxy.target)) as server:
            back = threading.Thread(target=self._down, args=(server,), daemon=True)
            back.start()
            self._copy(self.request, server)
            back.join()

    def _down(self, server):
        self._copy(server, self.request, self.server.proxy.count)

    @staticmethod
    def _copy(source, target, count=None):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if count:
                    count(len(data))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    proxy = None


class CountingProxy:
    """Stands before a port of this machine; use it as a context or call close()."""

    def __init__(self, target):
        self.target = target
        self.lock = threading.Lock()
        self.connections = 0
        self.bytes = 0
        self._server = _Server(('127.0.0.1', 0), _Handler)
        self._server.proxy = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def reset(self):
        with self.lock:
            self.connections = 0
            self.bytes = 0

    def count(self, size):
        with self.lock:
            self.bytes += size

    def close(self):
        self._server.shutdown()
        self._server.server_close()
