"""A real registry (Debian's docker-registry) and a client that puts images into it."""

import base64
import contextlib
import ctypes
import http.client
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

from . import debs

USER, PASSWORD = 'skipper', 'cargo-9f3'


def free_port():
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def bcrypt(password):
    """A password hash as an htpasswd file of the registry wants it."""
    crypt = ctypes.CDLL('libcrypt.so.1').crypt
    crypt.restype = ctypes.c_char_p
    crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    hashed = crypt(password.encode(), b'$2y$04$' + b'wherryTestsSalt0123456'[:22])
    if not hashed or not hashed.startswith(b'$2y$'):
        raise RuntimeError('libcrypt cannot make bcrypt hashes')
    return hashed.decode()


class Authority:
    """A certificate authority of our own, by openssl."""

    def __init__(self, directory, name='wherry test authority'):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.certificate = self.dir / 'ca.crt'
        self.key = self.dir / 'ca.key'
        self._openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                      '-nodes', '-keyout', self.key, '-out', self.certificate, '-days', '30',
                      '-subj', f'/CN={name}', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')

    @staticmethod
    def _openssl(*args):
        subprocess.run(['openssl', *map(str, args)], check=True, capture_output=True)

    @staticmethod
    def _alternative_names(hosts):
        names = [('IP:' if host.replace('.', '').isdigit() else 'DNS:') + host for host in hosts]
        return f'subjectAltName={",".join(names)}\n' if names else ''

    def issue(self, name, hosts, days=30, client=False):
        """A certificate for host names and addresses: (certificate file, key file)."""
        key, request = self.dir / f'{name}.key', self.dir / f'{name}.csr'
        certificate, extensions = self.dir / f'{name}.crt', self.dir / f'{name}.ext'
        usage = 'clientAuth' if client else 'serverAuth'
        extensions.write_text(f'extendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n' +
                              self._alternative_names(hosts),
                              encoding='utf-8')
        self._openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                      '-keyout', key, '-out', request, '-subj', f'/CN={name}')
        self._openssl('x509', '-req', '-in', request, '-CA', self.certificate, '-CAkey', self.key,
                      '-CAcreateserial', '-out', certificate, '-days', days, '-extfile', extensions)
        return certificate, key

    def issue_expired(self, name, hosts):
        """A certificate that was valid once."""
        key, certificate = self.dir / f'{name}.key', self.dir / f'{name}.crt'
        database = self.dir / f'{name}.db'
        database.mkdir()
        (database / 'index.txt').touch()
        (database / 'ca.cnf').write_text(
            f'[ca]\ndefault_ca=own\n[own]\ndatabase={database}/index.txt\nserial={database}/serial\n'
            f'new_certs_dir={database}\ndefault_md=sha256\npolicy=any\nx509_extensions=leaf\n'
            f'certificate={self.certificate}\nprivate_key={self.key}\n[any]\ncommonName=supplied\n'
            f'[leaf]\n{self._alternative_names(hosts)}', encoding='utf-8')
        self._openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                      '-keyout', key, '-out', database / 'csr', '-subj', f'/CN={name}')
        self._openssl('ca', '-batch', '-config', database / 'ca.cnf', '-rand_serial', '-startdate',
                      '20200101000000Z', '-enddate', '20210101000000Z', '-in', database / 'csr',
                      '-out', certificate, '-notext')
        return certificate, key


class Client:
    """Pushes images by the distribution protocol."""

    def __init__(self, url, ca=None, user=None):
        parts = urllib.parse.urlsplit(url)
        self._headers = {}
        if user:
            self._headers['Authorization'] = 'Basic ' + base64.b64encode(user.encode()).decode()
        if parts.scheme == 'https':
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
            self._connection = http.client.HTTPSConnection(parts.netloc, context=context, timeout=60)
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=60)

    def _request(self, method, path, body=None, expect=(200,), **headers):
        self._connection.request(method, path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        response.text = response.read()
        if expect and response.status not in expect:
            raise RuntimeError(f'{method} {path}: {response.status} {response.text[:500]!r}')
        return response

    def get(self, path, **headers):
        """The bytes at an address of the registry."""
        return self._request('GET', path, **headers).text

    def push(self, repository, reference, image):
        """Uploads an image with all its parts under a tag."""
        for blob in image.all():
            if blob.is_manifest:
                name = reference if blob is image else blob.digest
                self._request('PUT', f'/v2/{repository}/manifests/{name}', blob.data, (201,),
                              **{'Content-Type': blob.media_type})
            else:
                self._push_blob(repository, blob)

    def _push_blob(self, repository, blob):
        path = f'/v2/{repository}/blobs/{blob.digest}'
        if self._request('HEAD', path, expect=()).status == 200:
            return
        place = self._request('POST', f'/v2/{repository}/blobs/uploads/', expect=(202,))
        target = urllib.parse.urlsplit(place.headers['Location'])
        query = target.query + ('&' if target.query else '') + f'digest={blob.digest}'
        self._request('PUT', f'{target.path}?{query}', blob.data, (201,),
                      **{'Content-Type': 'application/octet-stream'})


class Registry:
    """A running docker-registry in a directory of its own; close() ends it."""

    def __init__(self, certificate=None, key=None, password=False, port=None, access_log=False,
                 read_only=False):
        self.port = port or free_port()
        self.tls = certificate is not None
        self.ca = None
        self.user = f'{USER}:{PASSWORD}' if password else None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='wherry-registry.'))
        config = {'version': 0.1, 'log': {'level': 'warn', 'accesslog': {'disabled': not access_log}},
                  'storage': {'filesystem': {'rootdirectory': str(self.dir / 'data')},
                              'delete': {'enabled': True}},
                  'http': {'addr': f'127.0.0.1:{self.port}'}}
        if read_only:
            config['storage']['maintenance'] = {'readonly': {'enabled': True}}
        if self.tls:
            config['http']['tls'] = {'certificate': str(certificate), 'key': str(key)}
        if password:
            (self.dir / 'htpasswd').write_text(f'{USER}:{bcrypt(PASSWORD)}\n', encoding='utf-8')
            config['auth'] = {'htpasswd': {'realm': 'wherry tests',
                                           'path': str(self.dir / 'htpasswd')}}
        # JSON is YAML
        (self.dir / 'config.yml').write_text(json.dumps(config), encoding='utf-8')
        self._log = open(self.dir / 'log', 'wb')  # pylint: disable=consider-using-with
        program = debs.tool('docker-registry', 'docker-registry')
        self._process = subprocess.Popen([program, 'serve', self.dir / 'config.yml'],
                                         stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=self._log, cwd=self.dir)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            time.sleep(0.02)
        raise RuntimeError('docker-registry did not start:\n' +
                           (self.dir / 'log').read_text(errors='replace'))

    def downloads(self):
        """Path and bytes of each blob and manifest sent so far; needs access_log."""
        text = (self.dir / 'log').read_text(errors='replace')
        return [(path, int(size)) for path, size in
                re.findall(r'"GET (\S+) HTTP/[\d.]+" 20\d (\d+)', text)]

    def requests(self):
        """Method, path and status of each request so far; needs access_log."""
        text = (self.dir / 'log').read_text(errors='replace')
        return [(method, path, int(status)) for method, path, status in
                re.findall(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+)', text)]

    def client(self, ca=None):
        scheme = 'https' if self.tls else 'http'
        return Client(f'{scheme}://127.0.0.1:{self.port}', ca, self.user)

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
