"""A name server that knows nothing: tests must not ask the world for names."""

import random
import socket
import threading


STOP = b'stop'


class EmptyNameServer:
    """Answers every question with "no such name", on a loopback address of its own."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self.address = '127.' + '.'.join(str(random.randint(2, 250)) for _ in range(3))
            try:
                self._socket.bind((self.address, 53))
                break
            except OSError:
                continue
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            query, sender = self._socket.recvfrom(4096)
            if query == STOP:
                return
            end = query.find(b'\0', 12) + 5
            if end > 12:
                # the question comes back; response, recursion available, NXDOMAIN
                answer = query[:2] + b'\x81\x83' + query[4:6] + b'\0' * 6 + query[12:end]
                self._socket.sendto(answer, sender)

    def close(self):
        """Closes the socket when nobody uses it any more: its number is somebody else's then."""
        self._socket.sendto(STOP, self._socket.getsockname())
        self._thread.join()
        self._socket.close()
