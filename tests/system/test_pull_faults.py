"""Registries that misbehave: one clear error each, and nothing is left behind."""

import dataclasses
import hashlib
import json
import time

import pytest

from engine import REGISTRY
from harness import faulty, oci
from harness import registry as registries
from outcome import assert_clean, one_clear_error

pytestmark = pytest.mark.machines('host')

# 300 kB that no compressor makes smaller
CONTENT = b''.join(hashlib.sha256(b'%d' % i).digest() for i in range(9600))


def make_image(arch, compression='gzip'):
    tar = oci.tar([oci.entry('data', data=CONTENT), oci.entry('end', data=b'end\n')])
    return oci.image([oci.layer(tar, compression)], arch)


# Servers that cannot be reached or trusted

def test_unknown_host(fresh_engine):
    one_clear_error(fresh_engine.wherry('pull', 'no-such-host.test/thing'), 'no-such-host.test')
    assert_clean(fresh_engine)


def test_refused_connection(fresh_engine):
    name = f'{REGISTRY}:{registries.free_port()}'
    one_clear_error(fresh_engine.wherry('pull', f'{name}/thing'), f'{name}.*refused|refused.*{name}')
    assert_clean(fresh_engine)


def test_server_that_does_not_answer(new_engine, faulty_registry):
    faulty_registry.fault('.*', faulty.silent(60))
    engine = new_engine(new_engine.trust(faulty_registry.name) +
                        '[registries]\nretries = 1\nstall-timeout = 1s\nconnect-timeout = 1s\n')
    one_clear_error(engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=30),
                    'time|stall|answer|nothing')


@pytest.mark.parametrize('trouble, pattern', [
    ('untrusted', 'trust|certificate|issuer|authority|verif'),
    ('expired', 'expired|valid'),
    ('wrong-name', 'name|match'),
])
def test_certificate(new_engine, authority, tmp_path, trouble, pattern):
    if trouble == 'untrusted':
        pair = registries.Authority(tmp_path / 'other', 'another authority').issue('s', [REGISTRY])
    elif trouble == 'expired':
        pair = authority.issue_expired(f'expired-{tmp_path.name}', [REGISTRY])
    else:
        pair = authority.issue(f'wrong-{tmp_path.name}', ['wrong.test'])
    with faulty.FaultyRegistry(*pair) as server:
        name = f'{REGISTRY}:{server.port}'
        engine = new_engine(new_engine.trust(name))
        server.add('thing', 'latest', make_image(engine.machine.arch))
        result = engine.wherry('pull', f'{name}/thing')
        one_clear_error(result, pattern)
        assert name in result.err or REGISTRY in result.err
        assert server.requests == [], 'spoke to a server that must not be trusted'
        assert_clean(engine)


def test_certificate_file_that_is_missing(new_engine, faulty_registry):
    engine = new_engine(f'[registry "{faulty_registry.name}"]\nca = /no/such/ca.crt\n')
    one_clear_error(engine.wherry('pull', f'{faulty_registry.name}/thing'), '/no/such/ca.crt')


# Answers with an error status

@dataclasses.dataclass
class Status:
    code: int
    pattern: str
    retried: bool


STATUSES = [
    Status(401, 'login|unauthorized|authentication|denied', False),
    Status(403, 'denied|forbidden', False),
    Status(404, 'not found|unknown|does not exist', False),
    Status(429, '429|too many', True),
    Status(500, '500|internal|server error', True),
    Status(503, '503|unavailable', True),
]


@pytest.mark.parametrize('where', ['manifests', 'blobs'])
@pytest.mark.parametrize('status', STATUSES, ids=lambda status: str(status.code))
def test_error_status(new_engine, faulty_registry, status, where):
    engine = new_engine(new_engine.trust(faulty_registry.name) + '[registries]\nretries = 2\n')
    faulty_registry.add('thing', 'latest', make_image(engine.machine.arch))
    rule = faulty_registry.fault(f'(GET|HEAD) .*/{where}/', faulty.status(status.code))
    result = engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=40)
    one_clear_error(result, status.pattern)
    assert f'{faulty_registry.name}/thing' in result.err or faulty_registry.name in result.err
    gets = len(faulty_registry.seen(f'GET .*/{where}/'))
    assert rule.used >= (2 if status.retried else 1)
    assert gets <= 12, f'{gets} requests'
    assert_clean(engine)


@pytest.mark.parametrize('code', [429, 500, 502, 503, 504])
def test_passing_error_is_retried(fresh_engine, faulty_registry, code):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.fault('GET .*/manifests/', faulty.status(code), times=1)
    faulty_registry.fault('GET .*/blobs/', faulty.status(code), times=2)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


def test_retry_after_is_obeyed(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.fault('GET .*/manifests/', faulty.status(429, Retry_After=2), times=1)
    began = time.monotonic()
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()
    assert 2 <= time.monotonic() - began < 10


def test_wrong_password(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.basic = f'{registries.USER}:{registries.PASSWORD}'
    fresh_engine.login(faulty_registry.name)
    faulty_registry.basic = f'{registries.USER}:changed'
    result = fresh_engine.wherry('pull', f'{faulty_registry.name}/thing')
    one_clear_error(result, 'login|password|unauthorized|denied')
    assert registries.PASSWORD not in result.err
    assert_clean(fresh_engine)


# Content that is not what it should be

def blob_fault(engine, server, action, compression='gzip'):
    image = make_image(engine.machine.arch, compression)
    server.add('thing', 'latest', image)
    server.fault(f'GET .*/blobs/{image.parts[1].digest}', action)
    return engine.wherry('pull', f'{server.name}/thing', timeout=60)


BAD_BLOBS = {
    'changed byte': faulty.flip(1000),
    'changed last byte': faulty.body(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    'truncated': faulty.short(5000),
    'empty': faulty.short(0),
    'oversized': faulty.longer(100),
    'much oversized': faulty.longer(1 << 20),
    'something else': faulty.body(b'<html>login page</html>'),
}


@pytest.mark.parametrize('compression', ['gzip', 'zstd', 'none'])
@pytest.mark.parametrize('name', BAD_BLOBS)
def test_bad_blob(fresh_engine, faulty_registry, name, compression):
    result = blob_fault(fresh_engine, faulty_registry, BAD_BLOBS[name], compression)
    one_clear_error(result, 'digest|size|sha256|truncated|corrupt|length|bytes|ended')
    assert_clean(fresh_engine)
    faulty_registry.heal()
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


def test_endless_blob(fresh_engine, faulty_registry):
    result = blob_fault(fresh_engine, faulty_registry, faulty.endless())
    one_clear_error(result, 'digest|size|bytes|corrupt|long')
    assert_clean(fresh_engine)


def test_blob_with_the_right_digest_but_another_diff_id(fresh_engine, faulty_registry):
    arch = fresh_engine.machine.arch
    good = oci.layer(oci.tar([oci.entry('a', data=b'a')]))
    other = oci.layer(oci.tar([oci.entry('b', data=b'b')]))
    image = oci.manifest(oci.config([other], arch), [good])
    faulty_registry.add('thing', 'latest', image)
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'), 'diff|digest')
    assert_clean(fresh_engine)


def test_manifest_whose_digest_differs(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault('GET .*/manifests/', faulty.body(lambda data: data + b'\n'))
    result = fresh_engine.wherry('pull', f'{faulty_registry.name}/thing@{image.digest}')
    one_clear_error(result, 'digest')
    assert_clean(fresh_engine)


def test_index_entry_whose_digest_differs(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    index = oci.index([(image, oci.platform(fresh_engine.machine.arch))])
    faulty_registry.add('thing', 'latest', index)
    faulty_registry.fault(f'GET .*/manifests/{image.digest}', faulty.body(lambda data: data + b' '))
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'), 'digest|size')
    assert_clean(fresh_engine)


def test_configuration_whose_digest_differs(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[0].digest}',
                          faulty.body(lambda data: data.replace(b'linux', b'linuz')))
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'), 'digest')
    assert_clean(fresh_engine)


def test_layer_that_the_registry_does_not_have(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.remove_blob(image.parts[1].digest)
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'),
                    'not found|unknown|does not')
    assert_clean(fresh_engine)


# Connections that break

@pytest.mark.parametrize('compression', ['gzip', 'zstd', 'none'])
@pytest.mark.parametrize('times', [1, 10])
def test_connection_cut_in_a_layer(fresh_engine, faulty_registry, times, compression):
    """Every connection carries a bit more, then breaks: resumed, never corrupt."""
    image = make_image(fresh_engine.machine.arch, compression)
    faulty_registry.add('thing', 'latest', image)
    layer = image.parts[1]
    faulty_registry.fault(f'GET .*/blobs/{layer.digest}', faulty.cut(max(layer.size // 12, 1)), times)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=90).ok()
    resumed = [request for request in faulty_registry.seen(f'GET .*/blobs/{layer.digest}')
               if 'Range' in request.headers]
    assert resumed, 'a broken download goes on where it broke'
    assert_content(fresh_engine, faulty_registry)


def assert_content(engine, server):
    """The layer in the store is what the registry has."""
    name = f'{server.name}/thing'
    layers = engine.inspect(name)['RootFS']['Layers']
    assert len(layers) == 1
    name = hashlib.sha256(CONTENT).hexdigest()
    found = engine.machine.run(['cat', f'{engine.root}/store/obj/{name[:1]}/{name[1:]}'])
    assert found.raw_out == CONTENT


@pytest.mark.parametrize('times', [1, 2])
def test_connection_cut_without_range_support(fresh_engine, faulty_registry, times):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', faulty.no_range(2000), times)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', faulty.no_range())
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60).ok()
    assert_content(fresh_engine, faulty_registry)


def test_resumed_download_with_wrong_content(fresh_engine, faulty_registry):
    """The second connection answers the range with other bytes: found by the digest."""
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    target = f'GET .*/blobs/{image.parts[1].digest}'
    faulty_registry.fault(target, faulty.cut(3000), times=1)

    def other_bytes(handler, answer):
        answer.body = bytes(len(answer.body))
        handler.answer(answer)

    faulty_registry.fault(target, other_bytes)
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60),
                    'digest|corrupt|gzip|data')
    assert_clean(fresh_engine)


def test_connection_that_always_breaks_at_the_same_place(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', faulty.cut(0))
    result = fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=90)
    one_clear_error(result, 'connection|closed|lost|broke')
    assert_clean(fresh_engine)


def test_connection_closed_without_an_answer(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.fault('GET .*/manifests/', faulty.close_at_once(), times=2)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60).ok()


def test_download_that_stalls(fresh_engine, faulty_registry):
    image = make_image(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', faulty.stall(1000, 60), times=1)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60).ok()


# Manifests

def test_no_manifest_for_this_platform_says_which_exist(fresh_engine, registry):
    fresh_engine.login(registry.name)
    result = fresh_engine.wherry('pull', f'{registry.name}/busybox:foreign')
    one_clear_error(result, 'linux/')
    assert 's390x' in result.err and 'riscv64' in result.err
    assert_clean(fresh_engine)


def test_image_of_another_platform_without_an_index(fresh_engine, registry):
    fresh_engine.login(registry.name)
    other = 'arm64' if fresh_engine.machine.arch == 'amd64' else 'amd64'
    result = fresh_engine.wherry('run', '--rm', f'{registry.name}/busybox:only-{other}', 'true')
    assert result.code != 0 and (other in result.err or 'platform' in result.err), str(result)


def raw(media_type, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return oci.Blob(media_type, data)


def _manifest(**changes):
    value = {'schemaVersion': 2, 'mediaType': oci.OCI['manifest'],
             'config': {'mediaType': oci.OCI['config'], 'digest': 'sha256:' + '0' * 64, 'size': 2},
             'layers': []}
    value.update(changes)
    return raw(oci.OCI['manifest'], value)


def _layer(**changes):
    return {'mediaType': oci.OCI['gzip'], 'digest': 'sha256:' + '1' * 64, 'size': 10, **changes}


BAD_MANIFESTS = {
    'no JSON': raw(oci.OCI['manifest'], b'this is not json'),
    'cut JSON': raw(oci.OCI['manifest'], b'{"schemaVersion":2,"config":{'),
    'empty': raw(oci.OCI['manifest'], b''),
    'an array': raw(oci.OCI['manifest'], b'[]'),
    'a number': raw(oci.OCI['manifest'], b'7'),
    'null': raw(oci.OCI['manifest'], b'null'),
    'no config': raw(oci.OCI['manifest'], {'schemaVersion': 2, 'layers': []}),
    'config is a text': _manifest(config='x'),
    'layers is an object': _manifest(layers={}),
    'deep nesting': raw(oci.OCI['manifest'], b'[' * 100000),
    'digest with a path': _manifest(layers=[_layer(digest='sha256:../../../../etc/passwd')]),
    'short digest': _manifest(layers=[_layer(digest='sha256:abc')]),
    'unknown digest algorithm': _manifest(layers=[_layer(digest='md5:' + '0' * 32)]),
    'negative size': _manifest(layers=[_layer(size=-1)]),
    'huge size': _manifest(layers=[_layer(size=1 << 62)]),
    'size is a text': _manifest(layers=[_layer(size='10')]),
    'unknown layer type': _manifest(layers=[_layer(mediaType='application/x-unknown')]),
    'unknown media type': raw('application/vnd.example.thing+json', {'schemaVersion': 2}),
    'text instead': raw('text/html', b'<html>hello</html>'),
    'schema 1': raw('application/vnd.docker.distribution.manifest.v1+json',
                    {'schemaVersion': 1, 'name': 'thing', 'tag': 'latest'}),
    'empty index': raw(oci.OCI['index'], {'schemaVersion': 2, 'manifests': []}),
}


@pytest.mark.parametrize('name', BAD_MANIFESTS)
def test_bad_manifest(fresh_engine, faulty_registry, name):
    blob = BAD_MANIFESTS[name]
    faulty_registry._manifests['thing', 'latest'] = blob  # not an image add() would take
    blob = dataclasses.replace(blob)
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60), 'thing')
    assert_clean(fresh_engine)


def test_manifest_of_many_megabytes(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.fault('GET .*/manifests/', faulty.longer(32 << 20))
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'), 'thing')
    assert_clean(fresh_engine)


def test_index_that_refers_to_itself_in_a_chain(fresh_engine, faulty_registry):
    inner = oci.index([(make_image(fresh_engine.machine.arch),
                        oci.platform(fresh_engine.machine.arch))])
    for _ in range(20):
        inner = oci.index([(inner, oci.platform(fresh_engine.machine.arch))])
    faulty_registry.add('thing', 'latest', inner)
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60), 'thing')
    assert_clean(fresh_engine)


ROOTFS = b'"rootfs":{"type":"layers","diff_ids":[%s]}'
BAD_CONFIGURATIONS = {
    'no JSON': b'nonsense',
    'an array': b'[]',
    'empty': b'{}',
    'diffID that is none': b'{"architecture":"ARCH","os":"linux",' + ROOTFS % b'"x"' + b'}',
    'fewer diffIDs than layers': b'{"architecture":"ARCH","os":"linux",' + ROOTFS % b'' + b'}',
    'more diffIDs than layers': b'{"architecture":"ARCH","os":"linux",' +
                                ROOTFS % b'"DIFF","DIFF"' + b'}',
    'another system': b'{"architecture":"ARCH","os":"windows",' + ROOTFS % b'"DIFF"' + b'}',
    'Cmd is a number': b'{"architecture":"ARCH","os":"linux","config":{"Cmd":7},' +
                       ROOTFS % b'"DIFF"' + b'}',
}


@pytest.mark.parametrize('name', BAD_CONFIGURATIONS)
def test_bad_configuration(fresh_engine, faulty_registry, name):
    layer = oci.layer(oci.tar([oci.entry('f', data=b'x')]))
    value = BAD_CONFIGURATIONS[name].replace(b'DIFF', layer.diff_id.encode())
    value = value.replace(b'ARCH', fresh_engine.machine.arch.encode())
    faulty_registry.add('thing', 'latest',
                        oci.manifest(oci.Blob(oci.OCI['config'], value), [layer]))
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing'), 'thing')
    assert_clean(fresh_engine)


@pytest.mark.parametrize('name', ['UPPER/case', 'a//b', 'thing:', 'thing@sha256:12', ':tag', '-x/y',
                                  'thing:' + 'x' * 129, 'a/../b', ' ', ''])
def test_bad_reference(fresh_engine, name):
    result = fresh_engine.wherry('pull', name)
    assert result.code != 0 and len(result.err.strip().splitlines()) <= 2, str(result)


def test_redirect_loop(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', make_image(fresh_engine.machine.arch))
    faulty_registry.fault('GET .*/blobs/', faulty.redirect(lambda path: path))
    one_clear_error(fresh_engine.wherry('pull', f'{faulty_registry.name}/thing', timeout=60),
                    'redirect')
    assert_clean(fresh_engine)


# A store that cannot take it

def test_disk_full_in_the_middle_of_a_pull(new_engine, faulty_registry):
    """A small file system of our own holds the data; afterwards all of it is free again."""
    engine = new_engine(new_engine.trust(faulty_registry.name) + '[store]\nreserve = 0\n',
                        start=False)
    engine.machine.shell(f'mkdir {engine.root} && mount -t tmpfs -o size=3m,mode=711 tmpfs {engine.root}').ok()
    try:
        engine.start()
        image = oci.image([oci.layer(oci.tar([oci.entry('big', data=CONTENT * 20)]))],
                          engine.machine.arch)  # 6 MB
        faulty_registry.add('thing', 'latest', image)
        faulty_registry.add('small', 'latest', make_image(engine.machine.arch))
        used = engine.machine.shell(f'df -k {engine.root} | tail -1').out.split()[2]
        one_clear_error(engine.wherry('pull', f'{faulty_registry.name}/thing'), 'space|full')
        assert_clean(engine)
        assert engine.machine.shell(f'df -k {engine.root} | tail -1').out.split()[2] == used
        engine.wherry('pull', f'{faulty_registry.name}/small').ok()
        engine.stop()
    finally:
        if engine.running:
            engine.kill()
        engine.machine.shell(f'umount -l {engine.root}')


def test_daemon_killed_in_the_middle_of_a_pull(new_engine, faulty_registry):
    engine = new_engine(new_engine.trust(faulty_registry.name))
    image = make_image(engine.machine.arch, 'none')
    faulty_registry.add('thing', 'latest', image)
    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', faulty.stall(200000, 30), times=1)
    client = engine.start_wherry('pull', f'{faulty_registry.name}/thing')
    engine.machine.wait_for(lambda: faulty_registry.seen(f'GET .*/blobs/{image.parts[1].digest}'),
                            'the layer is not asked for')
    engine.machine.run(['sleep', '0.3'])
    engine.kill()
    assert client.wait(20) != 0
    engine.start()
    assert_clean(engine)
    engine.wherry('pull', f'{faulty_registry.name}/thing').ok()
    assert_content(engine, faulty_registry)
