"""A proxy on the way to a server that loses connections while a client sends."""

import contextlib
import socket
import threading


class CuttingProxy:
    """Forwards TCP connections to a port of this host. `cut_after`: how many bytes from the client
    each of the next connections may carry before both sides are closed; then it only forwards."""

    def __init__(self, port):
        self._target = port
        self.cut_after = []
        self.cuts = 0
        self._server = socket.create_server(('127.0.0.1', 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(('127.0.0.1', self._target))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, None), daemon=True).start()

    def _forward(self, client, server):
        self._copy(client, server, self.cut_after)

    def _copy(self, source, sink, cuts):
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sent += len(data)
                if cuts and sent >= cuts[0]:
                    sink.sendall(data[:len(data) // 2])
                    cuts.pop(0)
                    self.cuts += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
