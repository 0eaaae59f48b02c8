"""Stands between a client and the daemon's socket, passes everything on at once, and judges each answer by Docker's
description of its API."""

import contextlib
import os
import queue
import re
import socket
import tempfile
import threading

MOST = 32 << 20  # bytes of a document that are kept


class Gone(Exception):
    """The other end has closed."""


class Tap:
    """Bytes from one socket to another, and what passes by as lines and blocks."""

    def __init__(self, source, target):
        self._source, self._target, self._seen = source, target, b''

    def _more(self):
        data = self._source.recv(65536)
        if not data:
            raise Gone
        self._target.sendall(data)
        self._seen += data

    def line(self):
        while b'\n' not in self._seen:
            self._more()
        line, _, self._seen = self._seen.partition(b'\n')
        return line.rstrip(b'\r').decode('latin-1')

    def take(self, count, into):
        while count:
            if not self._seen:
                self._more()
            part, self._seen = self._seen[:count], self._seen[count:]
            count -= len(part)
            if len(into) < MOST:
                into += part

    def headers(self):
        """(first line, {name: value})"""
        first, found = self.line(), {}
        while line := self.line():
            name, _, value = line.partition(':')
            found[name.strip().lower()] = value.strip()
        return first, found

    def body(self, headers, into, to_end=False):
        """Collects a body, also what came of one that is cut."""
        if 'chunked' in headers.get('transfer-encoding', ''):
            while size := int(self.line().partition(';')[0], 16):
                self.take(size, into)
                self.line()
            self.line()
        elif 'content-length' in headers:
            self.take(int(headers['content-length']), into)
        elif to_end:
            self.pass_on(into)

    def pass_on(self, into=None):
        """Everything up to the end, unread."""
        with contextlib.suppress(Gone):
            while True:
                self._seen = b''
                self._more()
                if into is not None and len(into) < MOST:
                    into += self._seen


class Witness:
    """A socket that leads to another one. `problems` has what was wrong with the answers, `count` how many there were."""

    def __init__(self, schema, target):
        self._schema, self._target = schema, str(target)
        self.problems, self.count = [], 0
        self._dir = tempfile.mkdtemp(prefix='ww.', dir='/tmp')
        self.path = f'{self._dir}/s'
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._target)
                except OSError:
                    client.close()
                    continue
                asked = queue.Queue()
                for work, source, target in ((self._requests, client, server), (self._answers, server, client)):
                    threading.Thread(target=self._run, args=(work, source, target, asked), daemon=True).start()

    @staticmethod
    def _run(work, source, target, asked):
        with contextlib.suppress(Gone, OSError):
            work(Tap(source, target), asked)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)  # the descriptors go with the last thread that holds them

    @staticmethod
    def _requests(tap, asked):
        while True:
            first, headers = tap.headers()
            method, path, _ = first.split(' ', 2)
            asked.put((method, path))
            body = bytearray()
            tap.body(headers, body)
            plain = path.partition('?')[0]
            streams = plain.endswith('/attach') or (plain.endswith('/start') and '/exec/' in plain)
            if 'upgrade' in headers or (streams and not re.search(rb'"Detach":\s*true', body)):
                tap.pass_on()
                return

    def _answers(self, tap, asked):
        while True:
            first, headers = tap.headers()
            status = int(first.split(' ')[1])
            if status == 100:
                continue
            try:
                method, path = asked.get(timeout=10)
            except queue.Empty:
                self.problems.append(f'"{first}" answers no request')
                return
            body, content = bytearray(), headers.get('content-type', '')
            bare = method == 'HEAD' or status in (101, 204, 304)
            try:
                if not bare:
                    tap.body(headers, body, to_end=True)
            except Gone:  # the client or the daemon has had enough; what came of a stream can still be judged
                known = 'json' in content and self._schema.is_stream(method, path)
                self._judge(method, path, status, content, body if known else None)
                raise
            self._judge(method, path, status, content, body if 'json' in content or status >= 400 else None)
            if status == 101:
                tap.pass_on()
                return

    def _judge(self, method, path, status, content, body):
        self.count += 1
        self.problems += self._schema.problems(method, path, status, content, None if body is None else bytes(body))

    def close(self):
        self._listener.close()
        os.unlink(self.path)
        os.rmdir(self._dir)
