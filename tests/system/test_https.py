"""The API by HTTPS: roles by client certificates, with the stock docker command line and curl."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import time

import pytest

from engine import docker_program
from harness import registry as registries
from harness.machine import LocalProcess

pytestmark = [pytest.mark.machines('host')]


class Remote:
    """A client of the engine by HTTPS."""

    def __init__(self, engine, port, ca, identity, directory):
        self.engine = engine
        self.port = port
        self._dir = directory
        directory.mkdir()
        shutil.copy(ca, directory / 'ca.pem')
        self._context = ssl.create_default_context(cafile=str(directory / 'ca.pem'))
        if identity:
            for source, name in zip(identity, ('cert.pem', 'key.pem')):
                shutil.copy(source, directory / name)
            self._context.load_cert_chain(directory / 'cert.pem', directory / 'key.pem')

    def start_docker(self, *args):
        env = {**self.engine.docker_env(), 'DOCKER_HOST': f'tcp://127.0.0.1:{self.port}',
               'DOCKER_TLS_VERIFY': '1', 'DOCKER_CERT_PATH': str(self._dir), 'DOCKER_BUILDKIT': '0'}
        return LocalProcess([docker_program()[0], *map(str, args)], env=env)

    def docker(self, *args, input=None):
        process = self.start_docker(*args)
        if input:
            process.write(input)
        process.close_input()
        return process.result(['docker', *args], 60)

    def ask(self, method, path, body=None):
        """One request by Python's client; (status, text)."""
        connection = http.client.HTTPSConnection('127.0.0.1', self.port, context=self._context, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def connect(self):
        return self._context.wrap_socket(socket.create_connection(('127.0.0.1', self.port), 20),
                                         server_hostname='127.0.0.1')


@pytest.fixture(scope='module')
def foreign(tmp_path_factory):
    return registries.Authority(tmp_path_factory.mktemp('foreign'), 'another authority')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('https')


@pytest.fixture(scope='module')
def https(session_engine, authority, place):
    """The shared engine, served by HTTPS as well."""
    port = registries.free_port()
    certificate, key = authority.issue('engine', ['127.0.0.1'])
    key.chmod(0o600)
    session_engine.stop()
    session_engine.machine.write(f'{session_engine.dir}/conf.d/https.conf', section(port, authority, certificate, key))
    session_engine.start()
    yield port
    session_engine.stop()
    session_engine.machine.run(['rm', f'{session_engine.dir}/conf.d/https.conf']).ok()
    session_engine.start()


def section(port, authority, certificate, key):
    return (f'[https]\nlisten = 127.0.0.1:{port}\ncertificate = {certificate}\nkey = {key}\n'
            f'client-ca = {authority.certificate}\nadmins = ops, ci\nreaders = monitor\n')


@pytest.fixture
def remote(https, engine, authority, tmp_path):
    """Makes clients by the name of their certificate."""
    def make(name, issuer=authority):
        identity = issuer.issue(name, [], client=True) if name else None
        return Remote(engine, https, authority.certificate, identity, tmp_path / f'client-{name}')
    return make


def test_docker_as_admin(remote, engine, needs_docker_28):
    ops = remote('ops')
    assert ops.docker('version', '--format', '{{.Server.APIVersion}}').ok().out == '1.47\n'
    result = ops.docker('run', '--rm', '--network', 'none', engine.busybox, 'sh', '-c', 'echo out; echo err >&2; exit 3')
    assert (result.code, result.out, result.err.splitlines()[-1]) == (3, 'out\n', 'err')
    assert ops.docker('run', '-i', '--rm', '--network', 'none', engine.busybox, 'sh', '-c', 'cat; echo end',
                      input=b'x' * 300_000).ok().out == 'x' * 300_000 + 'end\n'


def test_logs_and_exec(remote, engine, needs_docker_28):
    ops = remote('ops')
    name = ops.docker('run', '-d', '--network', 'none', engine.busybox, 'sh', '-c',
                      'trap "exit 0" TERM; while true; do echo tick; sleep 0.1; done').ok().out.strip()
    logs = ops.start_docker('logs', '-f', name)
    logs.read_until(rb'(tick\r?\n){5}', 20)
    assert ops.docker('exec', name, 'sh', '-c', 'echo inside; exit 7').fails(7).out == 'inside\n'
    assert ops.docker('exec', '-i', name, 'wc', '-c', input=b'y' * 100_000).ok().out.strip() == '100000'
    engine.wherry('rm', '-f', name).ok()
    logs.close_input()
    assert logs.wait(20) == 0


def test_build_and_transfers(remote, engine, needs_docker_28, tmp_path):
    ops = remote('ops')
    (tmp_path / 'context').mkdir()
    (tmp_path / 'context' / 'big').write_bytes(b'z' * 3_000_000)
    (tmp_path / 'context' / 'Dockerfile').write_text(f'FROM {engine.busybox}\nCOPY big /big\nRUN wc -c /big\n')
    out = ops.docker('build', '-t', 'over-tls', tmp_path / 'context').ok().out
    assert '3000000 /big' in out
    saved = tmp_path / 'saved.tar'
    ops.docker('save', '-o', saved, 'over-tls').ok()
    assert saved.stat().st_size > 3_000_000
    ops.docker('rmi', 'over-tls').ok()
    ops.docker('load', '-i', saved).ok()
    ops.docker('rmi', 'over-tls').ok()


def test_a_reader_may_look(remote, engine, needs_docker_28):
    monitor = remote('monitor')
    name = engine.run_detached('-e', 'TOKEN=hidden', engine.busybox, 'sh', '-c', 'echo said; sleep 1000')
    assert name[:12] in monitor.docker('ps').ok().out
    engine.machine.wait_for(lambda: monitor.docker('logs', name).ok().out == 'said\n', 'no logs', 10)
    status, text = monitor.ask('GET', f'/containers/{name}/json')
    assert status == 200 and 'hidden' not in text and json.loads(text)['Config']['Env'] == []
    assert 'TOKEN=hidden' in engine.inspect(name)['Config']['Env']
    assert monitor.ask('HEAD', '/_ping')[0] == 200
    assert monitor.ask('GET', '/healthz') == (200, 'ok\n')


def test_the_device(remote, engine):
    status, text = remote('monitor').ask('GET', '/wherry/v1/device')
    device = json.loads(text)
    assert status == 200 and device['name'] == engine.machine.shell('hostname').ok().out.strip()
    assert device['kernel'] == engine.machine.shell('uname -r').ok().out.strip()
    assert device['boot'] == engine.machine.shell('cat /proc/sys/kernel/random/boot_id').ok().out.strip()
    assert device['clock']['floor'] >= '2026-11-01' and device['clock']['time'] > device['clock']['floor']
    assert device['state']['mem']['total'] > 0 and device['state']['up'] > 0
    # No fleet and no slots here: what is not is absent.
    assert not {'tenant', 'groups', 'slot'} & set(device)


@pytest.mark.parametrize('method, path', [
    ('POST', '/containers/create'), ('POST', '/containers/x/exec'), ('POST', '/containers/x/attach'),
    ('GET', '/containers/x/archive?path=/'), ('HEAD', '/containers/x/archive?path=/'),
    ('PUT', '/containers/x/archive?path=/'), ('GET', '/containers/x/export'), ('DELETE', '/containers/x'),
    ('POST', '/containers/x/wait'), ('POST', '/build'), ('GET', '/images/get'), ('GET', '/v1.41/images/x/get'),
    ('GET', '/exec/x/json'), ('GET', '/wherry/v1/config'), ('POST', '/auth'), ('POST', '/images/create')])
def test_a_reader_may_not(remote, method, path):
    status, text = remote('monitor').ask(method, path)
    assert status == 403
    if method != 'HEAD':
        assert "the certificate 'monitor' has the role reader" in json.loads(text)['message']


def test_docker_tells_a_reader_why(remote, engine, needs_docker_28):
    result = remote('monitor').docker('run', '--rm', '--network', 'none', engine.busybox, 'true').fails()
    assert "the certificate 'monitor' has the role reader, which may not POST /containers/create" in result.err


def test_a_certificate_without_a_role(remote):
    stranger = remote('stranger')
    for method, path in (('GET', '/_ping'), ('OPTIONS', '/'), ('POST', '/containers/create')):
        status, text = stranger.ask(method, path)
        assert status == 403
        assert json.loads(text)['message'].startswith("the certificate 'stranger' has no role")


def test_no_certificate_is_told_so(remote, needs_docker_28):
    result = remote(None).docker('version').fails()
    assert 'has no certificate; it must connect with one of the authority `client-ca` in [https]' in result.err
    status, _ = remote('ops').ask('GET', '/_ping')
    assert status == 200


def test_a_foreign_certificate_is_told_so(remote, foreign, needs_docker_28):
    result = remote('ops', foreign).docker('version').fails()
    assert 'its certificate is not signed by a trusted authority' in result.err


def test_an_expired_certificate_is_told_so(https, engine, authority, tmp_path):
    client = Remote(engine, https, authority.certificate, authority.issue_expired('ops-old', []), tmp_path / 'old')
    status, text = client.ask('GET', '/_ping')
    assert status == 403 and 'its certificate has expired' in text


def test_a_certificate_for_servers_is_refused(https, engine, authority, tmp_path):
    client = Remote(engine, https, authority.certificate, authority.issue('ops-server', []), tmp_path / 'server')
    status, text = client.ask('GET', '/_ping')
    assert status == 403 and 'its certificate is not made for clients' in text


def test_plain_http_is_told_so(https, engine):
    connection = http.client.HTTPConnection('127.0.0.1', https, timeout=20)
    with contextlib.closing(connection):
        connection.request('GET', '/_ping')
        answer = connection.getresponse()
        assert answer.status == 400
        assert 'HTTP request to an HTTPS server' in answer.read().decode()
    assert engine.wherry('ps').ok()


def test_garbage_and_silence_do_no_harm(remote, https):
    silent = [socket.create_connection(('127.0.0.1', https), 20) for _ in range(20)]
    with socket.create_connection(('127.0.0.1', https), 20) as garbage:
        garbage.sendall(b'\x16\x03\x01\xff\xff' + bytes(range(256)) * 20)
        garbage.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while garbage.recv(4096):
                pass
    assert remote('ops').ask('GET', '/_ping')[0] == 200
    begin = time.monotonic()
    for connection in silent:  # given up after 10 seconds
        connection.settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b''
        connection.close()
    assert time.monotonic() - begin < 15


def test_connections_are_bounded(remote, https):
    ops = remote('ops')
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            held.append(stack.enter_context(ops.connect()))
            held[-1].sendall(b'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n')
            assert held[-1].recv(4096).startswith(b'HTTP/1.1 200')
        with pytest.raises((ConnectionError, ssl.SSLError)):
            ops.connect()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert ops.ask('GET', '/_ping')[0] == 200
            break
        except (ConnectionError, ssl.SSLError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_metrics(remote, engine):
    monitor = remote('monitor')
    engine.run_detached(engine.busybox, 'sleep', '1000')

    def measured():
        status, text = monitor.ask('GET', '/metrics')
        assert status == 200
        values = dict(re.findall(r'^(\w+(?:\{[^}]*\})?) (\d+)$', text, re.MULTILINE))
        return values if 'wherry_store_bytes' in values and \
            values['wherry_containers{state="running"}'] == '1' else None
    values = engine.machine.wait_for(measured, 'no metrics', 20)
    assert int(values['wherry_images']) >= 2
    assert int(values['wherry_store_bytes']) > 100_000
    assert int(values['wherry_container_starts_total']) >= 1
    assert any(name.startswith('wherry_engine_info{version="') for name in values)


WRONG = {
    'no key': ('key', None, 'needs key'),
    'no authority': ('client-ca', None, 'needs client-ca'),
    'an address that is none': ('listen', 'localhost:2376', 'listen = localhost:2376'),
    'a relative path': ('key', 'x.key', 'absolute path'),
    'a key that is missing': ('key', '/no/such.key', '/no/such.key'),
    'empty names': ('admins', 'a,,b', 'admins'),
    'a certificate that is none': ('certificate', '/etc/passwd', '/etc/passwd'),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_configuration(new_engine, authority, name):
    key, value, pattern = WRONG[name]
    certificate, private = authority.issue('wrong', ['127.0.0.1'])
    private.chmod(0o600)
    lines = section(0, authority, certificate, private).splitlines()
    lines = [line for line in lines if not line.startswith(f'{key} =')] + ([f'{key} = {value}'] if value else [])
    engine = new_engine('\n'.join(lines) + '\n', start=False)
    result = engine.machine.run(engine.daemon_argv(), timeout=10)
    assert result.code == 1, str(result)
    assert pattern in result.err and len(result.err.strip().splitlines()) == 1, str(result)


def test_a_key_that_all_may_read(new_engine, authority):
    certificate, private = authority.issue('open', ['127.0.0.1'])
    private.chmod(0o644)
    engine = new_engine(section(0, authority, certificate, private), start=False)
    result = engine.machine.run(engine.daemon_argv(), timeout=10)
    assert result.code == 1 and f'{private} is open to all users' in result.err, str(result)
