"""A registry that takes uploads as the specification says: what has come of a part that was cut
short is kept, and told when it is asked for."""

import http.server
import re
import threading

from . import oci


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def place(self, status):
        """Where the upload is and goes on."""
        has = len(self.server.registry.upload)
        self.answer(status, Location=f'/v2/upload/{self.server.registry.begun}?at={has}',
                    Range=f'0-{max(has - 1, 0)}')

    def take(self):
        """Appends the body to the upload; False when it was cut."""
        registry, left = self.server.registry, int(self.headers.get('Content-Length') or 0)
        while left:
            data = self.rfile.read(min(left, 65536))
            registry.upload += data
            registry.received += len(data)
            left -= len(data)
            if registry.cut_after and registry.received >= registry.cut_after[0]:
                registry.cut_after.pop(0)
                self.close_connection = True
                return False
        return True

    def do_HEAD(self):  # pylint: disable=invalid-name
        digest = self.path.rsplit('/', 1)[1]
        blob = self.server.registry.blobs.get(digest)
        self.send_response(200 if blob is not None else 404)
        self.send_header('Content-Length', str(len(blob or b'')))
        self.end_headers()

    def do_GET(self):  # pylint: disable=invalid-name
        if '/upload/' in self.path:
            return self.place(204)
        return self.answer(404)

    def do_POST(self):  # pylint: disable=invalid-name
        registry = self.server.registry
        registry.begun += 1
        registry.upload = b''
        self.place(202)

    def do_PATCH(self):  # pylint: disable=invalid-name
        first = int(self.headers['Content-Range'].split('-')[0])
        if first != len(self.server.registry.upload):
            self.rfile.read(int(self.headers['Content-Length']))
            return self.answer(416)
        if self.take():
            self.place(202)
        return None

    def do_PUT(self):  # pylint: disable=invalid-name
        registry = self.server.registry
        if '/manifests/' in self.path:
            body = self.rfile.read(int(self.headers['Content-Length']))
            registry.manifests[self.path.rsplit('/', 1)[1]] = body
            return self.answer(201, Docker_Content_Digest=oci.digest_of(body))
        if not self.take():
            return None
        digest = re.search('digest=([^&]*)', self.path)[1].replace('%3A', ':')
        if oci.digest_of(registry.upload) != digest:
            return self.answer(400)
        registry.blobs[digest] = registry.upload
        return self.answer(201)


class UploadRegistry:
    """One repository, one upload at a time. `cut_after`: totals of bytes received at which the
    connection is closed."""

    def __init__(self):
        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
        self._server.daemon_threads = True
        self._server.registry = self
        self.port = self._server.server_address[1]
        self.blobs, self.manifests = {}, {}
        self.upload, self.begun, self.received = b'', 0, 0
        self.cut_after = []
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
