"""Pushing images to registries that work, and to some that do not."""

import hashlib
import json
import re

import pytest

from engine import REGISTRY
from harness import cutting, faulty, oci, uploads
from harness import registry as registries
from images import reference
from outcome import one_clear_error

pytestmark = pytest.mark.machines('host')

QUICK = '[registries]\nretries = 3\nstall-timeout = 5s\nconnect-timeout = 3s\n'
# 14 MB that no compressor makes smaller: three chunks of an upload
LARGE = b''.join(hashlib.sha512(b'%d' % i).digest() for i in range(220_000))


def image_of(arch, data, docker=False):
    types = oci.DOCKER if docker else oci.OCI
    return oci.image([oci.layer(oci.tar([oci.entry('file', data=data)]), types=types)], arch, types=types)


@pytest.fixture
def target():
    """An empty registry."""
    server = registries.Registry(access_log=True)
    server.name = f'127.0.0.1:{server.port}'
    yield server
    server.close()


def load(engine, tmp_path, data, name):
    """An image that no registry knows, tagged."""
    blob = image_of(engine.machine.arch, data)
    layout = tmp_path / 'layout'
    oci.save_layout(layout, {'1': blob})
    engine.machine.shell(f'tar -C {layout} -cf {tmp_path}/image.tar .')
    out = engine.wherry('load', '-i', f'{tmp_path}/image.tar').ok().out
    identity = re.search('sha256:[0-9a-f]{64}', out)[0]
    engine.wherry('tag', identity, name).ok()
    return identity


def digest_of(out):
    return re.search(r'digest: (sha256:[0-9a-f]{64}) size: \d+', out)[1]


def pull_again(new_engine, name):
    """The ID of an image as another engine pulls it."""
    other = new_engine(QUICK)
    other.wherry('pull', '-q', name, timeout=120).ok()
    return other.inspect(name)['Id']


@pytest.mark.parametrize('tag', ['latest', 'zstd', 'plain', 'docker'])
def test_push_to_another_registry(new_engine, registry, target, tag):
    engine = new_engine(new_engine.trust(registry.name) + QUICK)
    engine.login(registry.name)
    engine.wherry('pull', '-q', f'{registry.name}/busybox:{tag}').ok()
    name = f'{target.name}/mine/busybox:{tag}'
    engine.wherry('tag', f'{registry.name}/busybox:{tag}', name).ok()
    out = engine.wherry('push', name, timeout=120).ok().out
    assert f'The push refers to repository [{target.name}/mine/busybox]' in out
    assert 'Pushed' in out
    assert f"{target.name}/mine/busybox@{digest_of(out)}" in engine.inspect(name)['RepoDigests']
    assert pull_again(new_engine, name) == engine.inspect(name)['Id']
    # What was compressed here is known again by what the registry has under the tag.
    again = engine.wherry('push', name).ok().out
    assert 'Layer already exists' in again and 'Pushed' not in again
    assert digest_of(again) == digest_of(out)


def test_push_where_it_came_from_keeps_the_manifest(new_engine, target):
    engine = new_engine(QUICK)
    blob = image_of(engine.machine.arch, b'one\n', docker=True)
    target.client().push('a/b', '1', blob)
    engine.wherry('pull', '-q', f'{target.name}/a/b:1').ok()
    engine.wherry('tag', f'{target.name}/a/b:1', f'{target.name}/a/b:2').ok()
    out = engine.wherry('push', f'{target.name}/a/b:2').ok().out
    assert 'Layer already exists' in out and digest_of(out) == blob.digest
    assert not any(method == 'PATCH' for method, _, _ in target.requests())


def test_layers_of_another_repository_are_mounted(new_engine, target):
    engine = new_engine(QUICK)
    blob = image_of(engine.machine.arch, b'one\n')
    target.client().push('from/here', '1', blob)
    engine.wherry('pull', '-q', f'{target.name}/from/here:1').ok()
    engine.wherry('tag', f'{target.name}/from/here:1', f'{target.name}/to/there:1').ok()
    out = engine.wherry('push', f'{target.name}/to/there:1').ok().out
    assert 'Mounted from from/here' in out and digest_of(out) == blob.digest
    assert pull_again(new_engine, f'{target.name}/to/there:1') == engine.inspect(f'{target.name}/to/there:1')['Id']


def test_all_tags(new_engine, target, tmp_path):
    engine = new_engine(QUICK)
    load(engine, tmp_path, b'one\n', f'{target.name}/many:1')
    engine.wherry('tag', f'{target.name}/many:1', f'{target.name}/many:2').ok()
    out = engine.wherry('push', '-a', f'{target.name}/many').ok().out
    assert '1: digest:' in out and '2: digest:' in out
    assert sorted(json.loads(target.client().get('/v2/many/tags/list'))['tags']) == ['1', '2']


def test_docker_cli(new_engine, registry, target, docker_major):
    assert docker_major
    engine = new_engine(new_engine.trust(registry.name) + QUICK)
    engine.login(registry.name)
    engine.wherry('pull', '-q', f'{registry.name}/busybox').ok()
    name = f'{target.name}/busybox:1'
    engine.docker('tag', f'{registry.name}/busybox', name).ok()
    out = engine.docker('push', name, timeout=120).ok().out
    assert re.search(r'1: digest: sha256:[0-9a-f]{64} size: \d+', out), out
    engine.docker('push', f'{target.name}/busybox:2').fails(1, 'does not exist locally with the tag')


def test_login_for_a_push(new_engine, registry, tmp_path):
    engine = new_engine(new_engine.trust(registry.name) + QUICK)
    name = f'{registry.name}/pushed/{tmp_path.name}:1'
    identity = load(engine, tmp_path, tmp_path.name.encode(), name)
    one_clear_error(engine.wherry('push', '-q', name), 'login')
    engine.login(registry.name)
    engine.wherry('push', '-q', name).ok()
    engine.wherry('rmi', name, identity)
    engine.wherry('pull', '-q', name).ok()
    assert engine.inspect(name)['Id'] == identity


def test_cut_connections(new_engine, target, tmp_path):
    """This registry forgets an upload when a part of it is cut: it begins anew."""
    engine = new_engine(QUICK)
    with cutting.CuttingProxy(target.port) as proxy:
        name = f'127.0.0.1:{proxy.port}/large:1'
        identity = load(engine, tmp_path, LARGE, name)
        proxy.cut_after = [3_000_000, 1_000_000, 7_000_000]
        engine.wherry('push', name, timeout=120).ok()
        assert proxy.cuts == 3
        assert pull_again(new_engine, name) == identity


def test_a_cut_upload_goes_on(new_engine, tmp_path):
    """A registry that keeps what has come gets every byte once."""
    engine = new_engine(QUICK)
    with uploads.UploadRegistry() as server:
        name = f'127.0.0.1:{server.port}/large:1'
        load(engine, tmp_path, LARGE, name)
        server.cut_after = [3_000_000, 6_000_000, 12_000_000]
        out = engine.wherry('push', name, timeout=120).ok().out
        assert server.cut_after == []
        manifest = json.loads(server.manifests['1'])
        assert digest_of(out) == oci.digest_of(server.manifests['1'])
        layer = manifest['layers'][0]
        assert len(server.blobs[layer['digest']]) == layer['size']
        assert server.begun == 2, 'one upload for the layer, one for the configuration'
        assert server.received < layer['size'] + 100_000


def test_registry_that_goes_away_during_a_push(new_engine, target, tmp_path):
    engine = new_engine(QUICK.replace('retries = 3', 'retries = 1'))
    with cutting.CuttingProxy(target.port) as proxy:
        name = f'127.0.0.1:{proxy.port}/large:1'
        load(engine, tmp_path, LARGE, name)
        proxy.cut_after = [100_000] * 50
        one_clear_error(engine.wherry('push', '-q', name, timeout=120), '127.0.0.1')
        with pytest.raises(RuntimeError, match='404'):
            target.client().get('/v2/large/manifests/1')


def test_read_only_registry(new_engine, tmp_path):
    server = registries.Registry(read_only=True)
    try:
        engine = new_engine(QUICK)
        name = f'127.0.0.1:{server.port}/thing:1'
        load(engine, tmp_path, b'one\n', name)
        one_clear_error(engine.wherry('push', '-q', name), 'read-only')
    finally:
        server.close()


@pytest.mark.parametrize('request_, code, pattern', [
    ('POST /v2/.*/uploads', 403, 'denies|may not write'),
    ('POST /v2/.*/uploads', 404, 'does not know|repository'),
    ('POST /v2/.*/uploads', 500, '500'),
    ('POST /v2/.*/uploads', 413, 'size'),
    ('HEAD /v2/', 401, 'login'),
    ('HEAD /v2/', 500, '500'),
])
def test_refusals(new_engine, faulty_registry, tmp_path, request_, code, pattern):
    engine = new_engine(new_engine.trust(faulty_registry.name) +
                        QUICK.replace('retries = 3', 'retries = 1'))
    name = f'{REGISTRY}:{faulty_registry.port}/thing:1'
    load(engine, tmp_path, b'one\n', name)
    faulty_registry.fault(request_, faulty.status(code))
    one_clear_error(engine.wherry('push', '-q', name, timeout=30), pattern)


def test_scopes(new_engine, faulty_registry, tmp_path):
    """The token is asked for with the right to push."""
    engine = new_engine(new_engine.trust(faulty_registry.name) + QUICK)
    name = f'{REGISTRY}:{faulty_registry.port}/thing:1'
    load(engine, tmp_path, b'one\n', name)
    faulty_registry.tokens = faulty.Tokens()
    engine.wherry('push', '-q', name, timeout=30).fails(1)
    assert any('push' in scope for scopes in faulty_registry.tokens.scopes for scope in scopes), \
        faulty_registry.tokens.scopes


@pytest.mark.parametrize('name, pattern', [
    ('no/such:1', 'does not exist locally with the tag: no/such:1'),
    ('no/such@sha256:' + '0' * 64, 'digest reference'),
    ('Bad Name', 'invalid|reference'),
])
def test_bad_names(engine, name, pattern):
    one_clear_error(engine.wherry('push', name), pattern)
