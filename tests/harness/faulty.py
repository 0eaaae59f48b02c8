"""A registry that misbehaves as told, and remembers every request.

    with FaultyRegistry() as registry:
        registry.add('thing', 'latest', image)
        registry.fault('GET /v2/.*/blobs/', cut(1000), times=10)

Rules are tried in the order they were added; the first that matches "METHOD PATH" and has uses
left acts, otherwise the request is served properly (with ranges, as registries do).
"""

import base64
import dataclasses
import http.server
import json
import re
import secrets
import socket
import ssl
import threading
import time
import urllib.parse

from . import oci


@dataclasses.dataclass
class Request:
    """One request as it came in."""
    method: str
    path: str
    headers: dict
    host: str

    def __str__(self):
        return f'{self.method} {self.path}'


@dataclasses.dataclass
class Rule:
    pattern: re.Pattern
    action: object
    left: float
    used: int = 0


# What a rule can do; each gets the handler and what a proper answer would be.

@dataclasses.dataclass
class Answer:
    """A proper answer: status, headers and body, before ranges."""
    status: int
    headers: dict
    body: bytes


def status(code, body=None, **headers):
    """Answers with an error in the registry's form."""
    def act(handler, _):
        text = body
        if text is None:
            text = json.dumps({'errors': [{'code': 'SCRIPTED', 'message': f'scripted {code}'}]})
        fixed = {name.replace('_', '-'): str(value) for name, value in headers.items()}
        handler.answer(Answer(code, {'Content-Type': 'application/json', **fixed}, text.encode()))
    return act


def body(change):
    """Sends what `change` makes of the proper body, or `change` itself when it is bytes."""
    def act(handler, answer):
        answer.body = change(answer.body) if callable(change) else change
        answer.headers.pop('Docker-Content-Digest', None)
        handler.answer(answer, ranges=False)
    return act


def headers(**values):
    """Changes headers of the proper answer; None removes one."""
    def act(handler, answer):
        for name, value in values.items():
            name = name.replace('_', '-')
            answer.headers.pop(name, None)
            if value is not None:
                answer.headers[name] = value
        handler.answer(answer)
    return act


def cut(after):
    """Promises everything, sends `after` bytes of it, and closes the connection."""
    def act(handler, answer):
        handler.answer(answer, limit=after)
        handler.drop()
    return act


def no_range(after=None):
    """Ignores ranges, and cuts when `after` is given."""
    def act(handler, answer):
        handler.answer(answer, ranges=False, limit=after)
        if after is not None:
            handler.drop()
    return act


def short(size):
    """Sends only the first `size` bytes and says that this is all."""
    return body(lambda data: data[:size])


def longer(extra):
    """Sends the proper body and more behind it."""
    return body(lambda data: data + b'\0' * extra)


def flip(offset):
    """Sends the proper body with one changed byte."""
    return body(lambda data: data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1:])


def stall(after, seconds):
    """Sends `after` bytes, then nothing for a while."""
    def act(handler, answer):
        handler.answer(answer, limit=after)
        handler.server.registry.stopping.wait(seconds)
        handler.drop()
    return act


def silent(seconds):
    """Takes the request and does not answer."""
    def act(handler, _):
        handler.server.registry.stopping.wait(seconds)
        handler.drop()
    return act


def endless(chunk=b'\0' * 65536):
    """Sends bytes without end and without saying how many."""
    def act(handler, answer):
        handler.send_response(200)
        handler.send_header('Content-Type', answer.headers.get('Content-Type', 'text/plain'))
        handler.send_header('Connection', 'close')
        handler.end_headers()
        try:
            while not handler.server.registry.stopping.is_set():
                handler.wfile.write(chunk)
        except OSError:
            pass
        handler.drop()
    return act


def redirect(to, code=307):
    """Sends the client elsewhere; `to` is an address, or gets the path and returns one."""
    def act(handler, _):
        target = to(handler.path) if callable(to) else to
        handler.answer(Answer(code, {'Location': target}, b''))
    return act


def close_at_once():
    """Closes the connection without an answer."""
    return lambda handler, _: handler.drop()


class Tokens:
    """The token service of a registry: who may have tokens, and for how long they hold."""

    def __init__(self, user='', password='', lifetime=300.0, uses=None):
        self.expected = base64.b64encode(f'{user}:{password}'.encode()).decode() if user else None
        self.lifetime = lifetime
        self.uses = uses         # requests a token is good for
        self.issued = {}         # token -> [valid until, uses left]
        self.scopes = []

    def issue(self, handler, query):
        self.scopes.append(query.get('scope', ['']))
        given = handler.headers.get('Authorization', '')
        if self.expected and given != 'Basic ' + self.expected:
            return Answer(401, {'Content-Type': 'application/json'},
                          b'{"details":"incorrect username or password"}')
        token = secrets.token_hex(16)
        self.issued[token] = [time.monotonic() + self.lifetime, self.uses]
        value = {'token': token, 'access_token': token, 'expires_in': int(max(self.lifetime, 60))}
        return Answer(200, {'Content-Type': 'application/json'}, json.dumps(value).encode())

    def accepts(self, authorization):
        kind, _, token = authorization.partition(' ')
        entry = self.issued.get(token)
        if kind != 'Bearer' or entry is None or time.monotonic() > entry[0]:
            return False
        if entry[1] is not None:
            entry[1] -= 1
            return entry[1] >= 0
        return True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server_version = 'faulty'
    timeout = 60

    def setup(self):
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(20)
            self.request.do_handshake()
        super().setup()

    def log_message(self, *_):
        pass

    def drop(self):
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def answer(self, answer, ranges=True, limit=None):
        data, code, extra = answer.body, answer.status, {}
        wanted = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        if ranges and wanted and code == 200:
            first = int(wanted[1])
            last = int(wanted[2]) if wanted[2] else len(data) - 1
            extra['Content-Range'] = f'bytes {first}-{last}/{len(data)}'
            data, code = data[first:last + 1], 206
        self.send_response(code)
        for name, value in {**answer.headers, **extra}.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(data if limit is None else data[:limit])

    def _serve(self):
        registry = self.server.registry
        length = int(self.headers.get('Content-Length') or 0)
        if length:
            self.rfile.read(length)
        request = Request(self.command, self.path, dict(self.headers), self.headers.get('Host', ''))
        action = registry.note(request)
        try:
            if action is not None:
                action(self, registry.proper(self))
            else:
                self.answer(registry.proper(self))
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    registry = None

    def handle_error(self, request, client_address):
        pass  # clients that reject our certificate, and connections we cut


class FaultyRegistry:
    """The server; use it as a context or call close()."""

    def __init__(self, certificate=None, key=None, client_ca=None, port=0):
        self._server = _Server(('127.0.0.1', port), _Handler)
        self._server.registry = self
        self.port = self._server.server_address[1]
        self.tls = certificate is not None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            if client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self.requests = []
        self.tokens = None
        self.realm_host = None   # host and port the token service is named by
        self.basic = None
        self.lists_referrers = False  # as registries before distribution-spec 1.1
        self.stopping = threading.Event()
        self._manifests = {}
        self._blobs = {}
        self._rules = []
        self._lock = threading.Lock()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    # What it holds and how it behaves

    def add(self, repository, tag, image):
        """Serves an image and everything below it."""
        self._manifests[repository, tag] = image
        for blob in image.all():
            if blob.is_manifest:
                self._manifests[repository, blob.digest] = blob
            else:
                self._blobs[blob.digest] = blob

    def remove_blob(self, digest):
        del self._blobs[digest]

    def fault(self, pattern, action, times=None):
        """Adds a rule; `pattern` is searched in "METHOD PATH". Returns it."""
        rule = Rule(re.compile(pattern), action, float('inf') if times is None else times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self):
        """Removes all rules."""
        with self._lock:
            self._rules.clear()

    def seen(self, pattern):
        """The requests that match."""
        with self._lock:
            return [request for request in self.requests if re.search(pattern, str(request))]

    # The server's side

    def note(self, request):
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.left > 0 and rule.pattern.search(str(request)):
                    rule.left -= 1
                    rule.used += 1
                    return rule.action
        return None

    def _refused(self, handler):
        """The answer to a request without the credentials we ask for, else None."""
        given = handler.headers.get('Authorization', '')
        if self.basic and given != 'Basic ' + base64.b64encode(self.basic.encode()).decode():
            challenge = 'Basic realm="faulty"'
        elif self.tokens and not self.tokens.accepts(given):
            scheme = 'https' if self.tls else 'http'
            place = self.realm_host or handler.headers.get('Host')
            name = re.match(r'/v2/(.+)/(?:manifests|blobs)/', handler.path)
            scope = f',scope="repository:{name[1]}:pull"' if name else ''
            challenge = f'Bearer realm="{scheme}://{place}/token",service="faulty"{scope}'
        else:
            return None
        return Answer(401, {'WWW-Authenticate': challenge, 'Content-Type': 'application/json'},
                      b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')

    def _referrers(self, repository, digest, query):
        """The list of what has a manifest as its subject."""
        found = []
        for (place, name), blob in self._manifests.items():
            value = json.loads(blob.data) if place == repository and name == blob.digest else {}
            if value.get('subject', {}).get('digest') == digest:
                kind = value.get('artifactType', value['config']['mediaType'])
                found.append(blob.descriptor(artifactType=kind, annotations=value.get('annotations', {})))
        kinds = query.get('artifactType', [])
        return oci.to_json({'schemaVersion': 2, 'mediaType': oci.OCI['index'], 'manifests': [
            entry for entry in found if not kinds or entry['artifactType'] in kinds]})

    def proper(self, handler):
        """The answer of a registry that works."""
        path = urllib.parse.urlsplit(handler.path)
        if path.path == '/token' and self.tokens:
            return self.tokens.issue(handler, urllib.parse.parse_qs(path.query))
        refused = self._refused(handler)
        if refused:
            return refused
        if path.path in ('/v2', '/v2/'):
            return Answer(200, {'Content-Type': 'application/json'}, b'{}')
        match = re.fullmatch(r'/v2/(.+)/referrers/([^/]+)', path.path)
        if match and self.lists_referrers:
            return Answer(200, {'Content-Type': oci.OCI['index']},
                          self._referrers(match[1], match[2], urllib.parse.parse_qs(path.query)))
        match = re.fullmatch(r'/v2/(.+)/(manifests|blobs)/([^/]+)', path.path)
        blob = None
        if match and match[2] == 'manifests':
            blob = self._manifests.get((match[1], match[3]))
        elif match:
            blob = self._blobs.get(match[3])
        if blob is None:
            code = 'MANIFEST_UNKNOWN' if match and match[2] == 'manifests' else 'BLOB_UNKNOWN'
            return Answer(404, {'Content-Type': 'application/json'}, oci.to_json(
                {'errors': [{'code': code, 'message': 'unknown'}]}))
        kind = blob.media_type if blob.is_manifest else 'application/octet-stream'
        return Answer(200, {'Content-Type': kind, 'Docker-Content-Digest': blob.digest,
                            'Accept-Ranges': 'bytes'}, blob.data)
