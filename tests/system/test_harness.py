"""The test infrastructure itself: what the other tests believe must be true."""

import contextlib
import hashlib
import http.client
import socket
import ssl
import time

import pytest

from engine import REGISTRY
from harness import compile as compiler
from harness import faulty, oci, paths
from harness import registry as registries
from harness.machine import TimedOut
from images import reference

pytestmark = pytest.mark.machines('host')
on_all_machines = pytest.mark.machines('host', 'vm-6.1', 'vm-6.12')


# Machines

@on_all_machines
def test_run_carries_streams_and_status(machine):
    result = machine.run(['sh', '-c', 'cat; echo err >&2; exit 9'], input='in\n')
    assert (result.code, result.out, result.err) == (9, 'in\n', 'err\n')


@on_all_machines
def test_signals_are_reported_as_128_and_more(machine):
    assert machine.shell('kill -9 $$').code == 137


@on_all_machines
def test_missing_program_is_127(machine):
    assert machine.run(['no-such-program']).code == 127


@on_all_machines
def test_binary_data_is_unchanged(machine):
    data = bytes(range(256)) * 4000
    result = machine.run(['sh', '-c', 'tee /dev/stderr'], input=data).ok()
    assert result.raw_out == data and result.raw_err == data


@on_all_machines
def test_time_out_kills(machine):
    began = time.monotonic()
    with pytest.raises(TimedOut):
        machine.run(['sleep', '100'], timeout=1 / machine.slow)
    assert time.monotonic() - began < 8
    assert machine.shell('true').code == 0


@on_all_machines
def test_many_commands_at_the_same_time(machine):
    processes = [machine.start(['sh', '-c', f'sleep 0.2; echo {i}']) for i in range(8)]
    assert [process.wait(10) for process in processes] == [0] * 8
    assert [process.out for process in processes] == [b'%d\n' % i for i in range(8)]


@on_all_machines
def test_terminal_of_a_machine(machine):
    process = machine.start(['sh', '-c', 'stty size; read x; echo got $x'], tty=(17, 66))
    process.read_until(rb'17 66\r\n', 10)
    process.write(b'line\n')
    assert process.wait(10) == 0
    assert b'got line\r\n' in process.out


@on_all_machines
def test_environment_and_files(machine):
    place = machine.temporary_directory()
    machine.write(f'{place}/f', b'\0\1\2', 0o600)
    assert machine.read(f'{place}/f') == b'\0\1\2'
    assert machine.shell(f'stat -c %a {place}/f').out == '600\n'
    process = machine.start(['sh', '-c', 'echo $GIVEN'], env={'GIVEN': 'a value'})
    assert process.wait(10) == 0 and process.out == b'a value\n'
    machine.remove(place)
    assert not machine.exists(place)


@on_all_machines
def test_unix_sockets_of_the_machine_are_reachable(machine):
    """Half-closed connections included: docker's input ends that way."""
    place = machine.temporary_directory()
    path = f'{place}/sock'
    program = 'vm-agent'
    if machine.name == 'host':
        program = compiler.static_program(paths.TESTS / 'vm' / 'agent.cpp', machine.arch)
    server = machine.start([program, '--echo', path])
    machine.wait_for(lambda: machine.exists(path), 'no socket')
    data = b'hello' * 50000
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(machine.socket_for_host(path)))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = b''
        while part := client.recv(65536):
            received += part
    assert received == data
    assert server.wait(5) == 0
    machine.remove(place)


@on_all_machines
def test_cgroups_are_unified(machine):
    assert machine.run(['stat', '-f', '-c', '%t', '/sys/fs/cgroup']).ok().out.strip() == '63677270'


@on_all_machines
def test_names_of_the_tests_resolve(machine):
    out = machine.shell(f'grep {REGISTRY} /etc/hosts').ok().out
    assert out.split()[0] == machine.registry_host


@pytest.mark.machines('vm-6.1', 'vm-6.12')
def test_kernel_has_what_the_engine_needs(machine):
    controllers = machine.read('/sys/fs/cgroup/cgroup.controllers').decode().split()
    assert {'memory', 'cpu', 'pids', 'io', 'cpuset'} <= set(controllers)
    script = 'for f in overlay erofs f2fs squashfs ext4 9p; do modprobe $f; grep -w $f ' \
             '/proc/filesystems >/dev/null || echo missing $f; done'
    assert machine.shell(script).ok().out == ''


@pytest.mark.machines('vm-6.12')
def test_reference_images_run_in_the_arm_machine(machine, registry):
    place = machine.temporary_directory()
    for layer in reference.load('probe')['latest'].parts[1].parts[1:]:
        machine.run(['tar', '-xz', '-C', place], input=layer.data).ok()
    assert machine.run(['chroot', place, 'probe', 'eat', '3']).ok().out == 'took 3 MB\n'
    machine.remove(place)


# Registries

def get(port, path, context=None, **headers):
    connection = http.client.HTTPSConnection('127.0.0.1', port, context=context, timeout=10) \
        if context else http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    with contextlib.closing(connection):
        connection.request('GET', path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


@pytest.fixture
def scripted():
    with faulty.FaultyRegistry() as server:
        tar = oci.tar([oci.entry('f', data=b'x' * 5000)])
        server.image = oci.image([oci.layer(tar, 'none')])
        server.add('a/b', 'latest', server.image)
        server.layer = server.image.parts[1]
        server.blob = f'/v2/a/b/blobs/{server.layer.digest}'
        yield server


def test_scripted_registry_serves(scripted):
    status, headers, body = get(scripted.port, '/v2/a/b/manifests/latest')
    assert (status, body) == (200, scripted.image.data)
    assert headers['Content-Type'] == oci.OCI['manifest']
    assert headers['Docker-Content-Digest'] == scripted.image.digest
    assert get(scripted.port, '/v2/a/b/manifests/other')[0] == 404


def test_scripted_registry_serves_ranges(scripted):
    status, headers, body = get(scripted.port, scripted.blob, Range='bytes=1000-')
    assert status == 206 and body == scripted.layer.data[1000:]
    assert headers['Content-Range'] == f'bytes 1000-{scripted.layer.size - 1}/{scripted.layer.size}'


def test_scripted_registry_cuts_and_recovers(scripted):
    scripted.fault('GET .*/blobs/', faulty.cut(100), times=2)
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead) as broken:
            get(scripted.port, scripted.blob)
        assert broken.value.partial == scripted.layer.data[:100]
    assert get(scripted.port, scripted.blob)[2] == scripted.layer.data
    assert len(scripted.seen('/blobs/')) == 3


def test_scripted_registry_wants_tokens(scripted):
    scripted.tokens = faulty.Tokens('me', 'secret', uses=1)
    status, headers, _ = get(scripted.port, '/v2/a/b/manifests/latest')
    assert status == 401 and 'scope="repository:a/b:pull"' in headers['WWW-Authenticate']
    assert get(scripted.port, '/token?scope=x')[0] == 401
    _, _, body = get(scripted.port, '/token?scope=x', Authorization='Basic bWU6c2VjcmV0')
    token = body.decode().split('"token": "')[1].split('"')[0]
    assert get(scripted.port, '/v2/', Authorization='Bearer ' + token)[0] == 200
    assert get(scripted.port, '/v2/', Authorization='Bearer ' + token)[0] == 401


def test_registry_asks_for_password_and_certificate(registry, authority):
    context = ssl.create_default_context(cafile=str(authority.certificate))
    assert get(registry.port, '/v2/', context)[0] == 401
    import base64
    auth = 'Basic ' + base64.b64encode(registry.user.encode()).decode()
    status, headers, body = get(registry.port, '/v2/busybox/manifests/latest', context,
                                Authorization=auth, Accept=oci.OCI['index'])
    assert status == 200 and headers['Docker-Content-Digest'] == oci.digest_of(body)
    with pytest.raises(ssl.SSLCertVerificationError):
        get(registry.port, '/v2/', ssl.create_default_context())


@pytest.mark.parametrize('kind', ['expired', 'wrong name', 'other authority'])
def test_certificates_are_as_bad_as_they_should_be(authority, tmp_path, kind):
    if kind == 'expired':
        pair = authority.issue_expired(f'x{tmp_path.name}', ['127.0.0.1'])
    elif kind == 'wrong name':
        pair = authority.issue(f'w{tmp_path.name}', ['wrong.test'])
    else:
        pair = registries.Authority(tmp_path / 'o').issue('s', ['127.0.0.1'])
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with faulty.FaultyRegistry(*pair) as server, pytest.raises(ssl.SSLCertVerificationError) as why:
        get(server.port, '/v2/', context)
    expected = {'expired': 'expired', 'wrong name': 'mismatch', 'other authority': 'issuer'}[kind]
    assert expected in str(why.value)


def test_images_are_reproducible():
    image = reference.load('hello')['latest']
    assert image.digest == 'sha256:' + hashlib.sha256(image.data).hexdigest()
    tar = oci.tar([oci.entry('a', data=b'x'), oci.entry('d', oci.tarfile.DIRTYPE)])
    assert oci.layer(tar).digest == oci.layer(tar).digest
    for blob in image.all():
        assert oci.digest_of(blob.data) == blob.digest
