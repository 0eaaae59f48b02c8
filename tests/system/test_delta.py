"""Pulling layers as deltas against layers that are there."""

import hashlib
import json
import re

import pytest

from engine import REGISTRY
from harness import deltas, faulty, oci
from harness import registry as registries

pytestmark = pytest.mark.machines('host')


def noise(name, size):
    """Bytes that no compressor makes smaller."""
    return b''.join(hashlib.sha256(f'{name} {i}'.encode()).digest() for i in range(size // 32))


# Two versions of a program and its data
APP = noise('app', 300_000)
V1 = oci.tar([oci.entry('bin/app', data=APP), oci.entry('etc/version', data=b'1\n'),
              oci.entry('data', data=noise('data', 200_000))])
V2 = oci.tar([oci.entry('bin/app', data=APP[:1000] + b'changed' + APP[1100:]),
              oci.entry('etc/version', data=b'2\n'), oci.entry('etc/new', data=b'new\n'),
              oci.entry('data', data=noise('data', 200_000))])


class Pair:
    """Two images, the second with deltas."""

    def __init__(self, arch, delta=None, compression='gzip', by='diff_id'):
        self.layers = [oci.layer(tar, compression) for tar in (V1, V2)]
        self.old, self.new = (oci.image([layer], arch) for layer in self.layers)
        self.delta = deltas.between(V1, V2) if delta is None else delta
        self.from_, self.to = (getattr(layer, by) for layer in self.layers)
        self.manifest = deltas.manifest(self.new, [(self.from_, self.to, self.delta)])
        self.index = deltas.index((self.new, self.manifest))

    @property
    def delta_digest(self):
        return oci.digest_of(self.delta)


def archive_digest(engine, name):
    return engine.inspect(name)['RootFS']['Layers'][-1]


def pull(engine, server, pair, index=None):
    """Pulls the old image and then the new one, by its delta if that can be used."""
    server.add('thing', 'v1', pair.old)
    server.add('thing', 'v2', pair.new)
    server.add('thing', '_deltaindex', index or pair.index)
    engine.wherry('pull', f'{server.name}/thing:v1').ok()
    return engine.wherry('pull', f'{server.name}/thing:v2').ok()


def fetched(server, digest):
    return len(server.seen(f'GET /v2/thing/blobs/{digest}'))


def assert_fell_back(engine, server, pair, result, reason):
    """One line says why; the layer itself was fetched and nothing else is left."""
    lines = re.findall('.*delta not usable.*', result.out)
    assert len(lines) == 1 and re.search(reason, lines[0]), result.out
    assert fetched(server, pair.layers[1].digest) == 1
    assert archive_digest(engine, f'{server.name}/thing:v2') == pair.layers[1].diff_id
    files = [path for path in engine.store_files() if re.search('/(layer|txn)/', path)]
    names = {layer.diff_id.split(':')[1] for layer in pair.layers}
    assert all(re.search('|'.join(names), path) or path.endswith('.erofs') for path in files), files


def test_real_registry_and_its_bytes(new_engine):
    server = registries.Registry(access_log=True)
    try:
        client = server.client()
        engine = new_engine(f'[registry "{REGISTRY}:{server.port}"]\ninsecure = true\n')
        pair = Pair(engine.machine.arch)
        for tag, image in (('v1', pair.old), ('v2', pair.new), ('_deltaindex', pair.index)):
            client.push('thing', tag, image)
        name = f'{REGISTRY}:{server.port}/thing'
        engine.wherry('pull', f'{name}:v1').ok()
        before = len(server.downloads())
        result = engine.wherry('pull', f'{name}:v2').ok()
        assert 'delta not usable' not in result.out
        taken = server.downloads()[before:]
        assert any(pair.delta_digest in path for path, _ in taken)
        assert not any(pair.layers[1].digest in path for path, _ in taken)
        total = sum(size for _, size in taken)
        assert total < 5000 < 400_000 < pair.layers[1].size
        assert archive_digest(engine, f'{name}:v2') == pair.layers[1].diff_id
        # What was made is the same as what would have been fetched: its base is no longer needed.
        engine.wherry('rmi', f'{name}:v1').ok()
        container = engine.wherry('create', f'{name}:v2', '/bin/app').ok().out.strip()
        engine.wherry('rm', container).ok()
    finally:
        server.close()


@pytest.mark.parametrize('compression', ['gzip', 'zstd', 'none'])
@pytest.mark.parametrize('by', ['diff_id', 'digest'])
def test_layers_by_either_digest(fresh_engine, faulty_registry, by, compression):
    pair = Pair(fresh_engine.machine.arch, by=by, compression=compression)
    result = pull(fresh_engine, faulty_registry, pair)
    assert 'delta not usable' not in result.out
    assert 'Pull complete' in result.out
    assert fetched(faulty_registry, pair.delta_digest) == 1
    assert fetched(faulty_registry, pair.layers[1].digest) == 0


def test_without_an_old_layer_nobody_asks(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    faulty_registry.add('thing', 'v2', pair.new)
    faulty_registry.add('thing', '_deltaindex', pair.index)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing:v2').ok()
    assert faulty_registry.seen('_deltaindex') == []
    assert fetched(faulty_registry, pair.layers[1].digest) == 1


def test_delta_as_large_as_the_layer_is_left_alone(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch,
                delta=deltas.stream(deltas.op(deltas.DATA, V2 + noise('more', 5000))))
    result = pull(fresh_engine, faulty_registry, pair)
    assert 'delta not usable' not in result.out
    assert fetched(faulty_registry, pair.delta_digest) == 0
    assert fetched(faulty_registry, pair.layers[1].digest) == 1


def test_deltas_for_other_layers_are_left_alone(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    other = oci.digest_of(b'other')
    manifest = deltas.manifest(pair.new, [(other, pair.to, pair.delta),
                                          (pair.from_, other, pair.delta)])
    result = pull(fresh_engine, faulty_registry, pair, deltas.index((pair.new, manifest)))
    assert 'delta not usable' not in result.out
    assert fetched(faulty_registry, pair.delta_digest) == 0
    assert fetched(faulty_registry, pair.layers[1].digest) == 1


def test_smallest_delta_is_taken(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    large = deltas.stream(deltas.op(deltas.DATA, V2[:-100]), deltas.op(deltas.DATA, V2[-100:]))
    assert len(pair.delta) < len(large)
    manifest = deltas.manifest(pair.new, [(pair.from_, pair.to, large),
                                          (pair.from_, pair.to, pair.delta)])
    pull(fresh_engine, faulty_registry, pair, deltas.index((pair.new, manifest)))
    assert fetched(faulty_registry, pair.delta_digest) == 1
    assert fetched(faulty_registry, oci.digest_of(large)) == 0


GOOD = deltas.between(V1, V2)
OP = deltas.op
UNUSABLE = {
    'wrong-magic': (b'tardf2' + GOOD[6:], 'no delta in the tar-diff format'),
    'no-zstd': (GOOD[:8] + b'plain text', 'zstd'),
    'truncated': (GOOD[:-20], 'too early'),
    'truncated-operation': (deltas.stream(b'\0\x7fx'), 'too early'),
    'unknown-operation': (deltas.stream(OP(7, 0)), r'unknown operation \(7\)'),
    'path-not-there': (deltas.stream(OP(deltas.OPEN, b'absent')), "'absent'"),
    'path-outside': (deltas.stream(OP(deltas.OPEN, b'../../etc/passwd')), 'etc/passwd'),
    'beyond-the-end': (deltas.stream(OP(deltas.OPEN, b'etc/version'), OP(deltas.COPY, 3)), 'beyond'),
    'absurd-size': (deltas.stream(OP(deltas.OPEN, b'etc/version'), OP(deltas.COPY, 2**63)), 'beyond'),
    'another-archive': (deltas.stream(OP(deltas.DATA, V1[:1024] + bytes(10240))), 'diffID'),
    'no-archive': (deltas.stream(OP(deltas.DATA, b'x' * 600)), 'header|diffID|archive|tar'),
    'empty': (deltas.stream(), 'diffID|ends'),
}


@pytest.mark.parametrize('kind', UNUSABLE)
def test_unusable_deltas_fall_back(fresh_engine, faulty_registry, kind):
    delta, reason = UNUSABLE[kind]
    pair = Pair(fresh_engine.machine.arch, delta)
    result = pull(fresh_engine, faulty_registry, pair)
    assert_fell_back(fresh_engine, faulty_registry, pair, result, reason)


def test_delta_that_is_not_there_falls_back(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    faulty_registry.fault(pair.delta_digest, faulty.status(404))
    result = pull(fresh_engine, faulty_registry, pair)
    lines = re.findall('.*delta not usable.*', result.out)
    assert len(lines) == 1, result.out
    assert fetched(faulty_registry, pair.layers[1].digest) == 1


INDEXES = {
    'no-json': b'<html>',
    'no-object': b'[]',
    'no-manifests': b'{"schemaVersion":2}',
    'other-type': b'{"schemaVersion":2,"manifests":{"a":1}}',
}


@pytest.mark.parametrize('kind', INDEXES)
def test_malformed_index_falls_back(fresh_engine, faulty_registry, kind):
    pair = Pair(fresh_engine.machine.arch)
    result = pull(fresh_engine, faulty_registry, pair, oci.Blob(oci.OCI['index'], INDEXES[kind]))
    assert_fell_back(fresh_engine, faulty_registry, pair, result, 'delta index')


def test_manifest_for_another_image_falls_back(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    manifest = deltas.manifest(pair.old, [(pair.from_, pair.to, pair.delta)])
    result = pull(fresh_engine, faulty_registry, pair, deltas.index((pair.new, manifest)))
    assert_fell_back(fresh_engine, faulty_registry, pair, result, 'another image')


def test_entries_that_make_no_sense_are_passed_over(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    value = json.loads(pair.index.data)
    value['manifests'] = [7, None, {}, {'annotations': []}, *value['manifests']]
    index = oci.Blob(oci.OCI['index'], oci.to_json(value), parts=pair.index.parts)
    result = pull(fresh_engine, faulty_registry, pair, index)
    assert 'delta not usable' not in result.out
    assert fetched(faulty_registry, pair.layers[1].digest) == 0


def test_kill_during_a_delta_leaves_nothing(fresh_engine, faulty_registry):
    engine = fresh_engine
    pair = Pair(engine.machine.arch)
    faulty_registry.fault(pair.delta_digest, faulty.stall(len(pair.delta) - 10, 30))
    server = faulty_registry
    for tag, image in (('v1', pair.old), ('v2', pair.new), ('_deltaindex', pair.index)):
        server.add('thing', tag, image)
    engine.wherry('pull', f'{server.name}/thing:v1').ok()
    files = engine.store_files()
    client = engine.start_wherry('pull', f'{server.name}/thing:v2')
    client.read_until(b'Pulling fs layer')
    engine.machine.run(['sleep', '0.3'])
    engine.kill()
    client.wait(10)
    engine.start()
    assert engine.store_files() == files
    server.heal()
    engine.wherry('pull', f'{server.name}/thing:v2').ok()
    assert fetched(server, pair.layers[1].digest) == 0


# Found as what refers to the image

def referring(pair, **more):
    """The delta manifest, with the image as its subject."""
    subject = {'subject': {'mediaType': pair.new.media_type, 'digest': pair.new.digest, 'size': pair.new.size}}
    return deltas.manifest(pair.new, [(pair.from_, pair.to, pair.delta)], **{**subject, **more})


def pull_second(engine, server, pair):
    server.add('thing', 'v1', pair.old)
    server.add('thing', 'v2', pair.new)
    engine.wherry('pull', f'{server.name}/thing:v1').ok()
    return engine.wherry('pull', f'{server.name}/thing:v2').ok()


def referrers_tag(pair):
    return pair.new.digest.replace(':', '-')


@pytest.mark.parametrize('place', ['list', 'tag', 'tag without annotations', 'beside an index of others'])
def test_found_among_referrers(fresh_engine, faulty_registry, place):
    pair = Pair(fresh_engine.machine.arch)
    manifest = referring(pair)
    server = faulty_registry
    server.lists_referrers = place == 'list'
    if place == 'list':
        server.add('thing', manifest.digest, manifest)
    elif place == 'tag without annotations':
        listed = json.loads(deltas.referrers(manifest).data)
        del listed['manifests'][0]['annotations']
        server.add('thing', referrers_tag(pair), oci.Blob(oci.OCI['index'], oci.to_json(listed), parts=(manifest,)))
    else:
        server.add('thing', referrers_tag(pair), deltas.referrers(manifest))
    if place == 'beside an index of others':
        server.add('thing', '_deltaindex', deltas.index((pair.old, pair.manifest)))
    result = pull_second(fresh_engine, server, pair)
    assert 'delta not usable' not in result.out
    assert fetched(server, pair.delta_digest) == 1
    assert fetched(server, pair.layers[1].digest) == 0
    asked = server.seen(f'/referrers/{pair.new.digest}')
    kind = deltas.CONFIG.media_type.replace('/', '%2F').replace('+', '%2B')
    assert [request.path.split('?')[1] for request in asked] == [f'artifactType={kind}']
    assert archive_digest(fresh_engine, f'{server.name}/thing:v2') == pair.layers[1].diff_id


def test_index_of_deltas_spares_the_question(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    faulty_registry.lists_referrers = True
    pull(fresh_engine, faulty_registry, pair)
    assert faulty_registry.seen('/referrers/') == []


def listed_as(pair, manifest, **changes):
    """A list of referrers whose entry says something else than the manifest is."""
    value = json.loads(deltas.referrers(manifest).data)
    value['manifests'][0].update(changes)
    return oci.Blob(oci.OCI['index'], oci.to_json(value), parts=(manifest, pair.new))


OTHER = oci.digest_of(b'other')
LYING = {
    'another subject': (lambda pair: deltas.referrers(referring(pair, subject={
        'mediaType': pair.old.media_type, 'digest': pair.old.digest, 'size': pair.old.size})), 'another image'),
    'absent': (lambda pair: listed_as(pair, referring(pair), digest=OTHER), 'does not exist'),
    'itself': (lambda pair: listed_as(pair, referring(pair), digest=pair.new.digest, mediaType=pair.new.media_type),
               None),
    'an index': (lambda pair: deltas.referrers(pair.index), 'layers is missing'),
    'many': (lambda pair: oci.Blob(oci.OCI['index'], oci.to_json({'manifests': [{}] * 10_001})), 'more than 10000'),
    'huge': (lambda pair: oci.Blob(oci.OCI['index'], b' ' * (5 << 20) + b'{}'), '4194304|too large|more than'),
    'no json': (lambda pair: oci.Blob(oci.OCI['index'], b'<html>'), 'delta index'),
    'no delta': (lambda pair: listed_as(pair, referring(pair), artifactType='application/x', annotations={}), None),
}


@pytest.mark.parametrize('lie', LYING)
def test_lists_that_lie_cost_a_line(fresh_engine, faulty_registry, lie):
    make, reason = LYING[lie]
    pair = Pair(fresh_engine.machine.arch)
    server = faulty_registry
    server.add('thing', referrers_tag(pair), make(pair))
    result = pull_second(fresh_engine, server, pair)
    if reason:
        assert_fell_back(fresh_engine, server, pair, result, reason)
    else:
        assert 'delta not usable' not in result.out
        assert fetched(server, pair.layers[1].digest) == 1


def test_manifest_changed_on_its_way_costs_a_line(fresh_engine, faulty_registry):
    pair = Pair(fresh_engine.machine.arch)
    manifest = referring(pair)
    faulty_registry.add('thing', referrers_tag(pair), deltas.referrers(manifest))
    faulty_registry.fault(f'/manifests/{manifest.digest}', faulty.flip(40))
    result = pull_second(fresh_engine, faulty_registry, pair)
    assert_fell_back(fresh_engine, faulty_registry, pair, result, 'in place of')
