"""Making deltas on a build host, and pulling by them."""

import hashlib
import json
import pathlib
import random
import re
import subprocess

import pytest

from engine import REGISTRY
from harness import debs, deltas, oci
from harness import registry as registries

pytestmark = pytest.mark.machines('host')


def program(name, size=400_000):
    """Bytes that no compressor makes smaller."""
    return b''.join(hashlib.sha256(f'{name} {i}'.encode()).digest() for i in range(size // 32))


def rebuilt(data, number):
    """As another build of a program: something inserted, and addresses moved here and there."""
    chance = random.Random(number)
    data = bytearray(data)
    for _ in range(len(data) // 2000):
        at = chance.randrange(len(data))
        data[at] = (data[at] + 64) & 255
    middle = len(data) // 3
    return bytes(data[:middle] + chance.randbytes(200) + data[middle:])


def real_files():
    """Programs of this machine, some 8 MB."""
    total, files = 0, {}
    for path in sorted(pathlib.Path('/usr/bin').glob('[d-z]*')):
        if path.is_file() and not path.is_symlink() and 20_000 < path.stat().st_size < 2_000_000:
            files[f'usr/bin/{path.name}'] = path.read_bytes()
            total += path.stat().st_size
        if total > 8_000_000:
            break
    return files


def layer(files, *more, compression='gzip'):
    return oci.layer(oci.tar([*(oci.entry(name, data=data) for name, data in files.items()),
                              *more]), compression)


def images(arch, real=False):
    """Two versions of an image of two layers; only the upper differs."""
    base = layer({'base': program('base', 50_000)})
    files = real_files() if real else {'bin/one': program('one'), 'bin/two': program('two')}
    changed = {name: rebuilt(data, number) for number, (name, data) in enumerate(files.items())}
    old, new = layer(files), layer({**changed, 'new': b'new\n'}, compression='zstd')
    return oci.image([base, old], arch), oci.image([base, new], arch)


@pytest.fixture
def layouts(tmp_path, new_engine):
    """Writes images as layouts and makes the deltas between them."""
    class Layouts:
        """The engine is there for its program."""
        engine = new_engine(start=False)
        out = tmp_path / 'out'

        def write(self, **named):
            for name, image in named.items():
                oci.save_layout(tmp_path / name, {'v': image})

        def create(self, *options, old='old', new='new'):
            return self.engine.wherry('delta', 'create', *options, tmp_path / old, tmp_path / new,
                                      self.out, timeout=300)
    return Layouts()


def test_deltas_are_made_published_and_pulled(layouts, new_engine):
    old, new = images(layouts.engine.machine.arch, real=True)
    layouts.write(old=old, new=new)
    result = layouts.create().ok()
    assert re.fullmatch(r'layer 2: .*B, delta .*B\n.*_deltaindex.* ' + new.digest.replace(':', '-') + '\n', result.out)
    index = deltas.load(layouts.out)
    delta = index.parts[0].parts[1]
    assert delta.size < new.parts[2].size / 20
    server = registries.Registry(access_log=True)
    try:
        client = server.client()
        for tag, image in (('v1', old), ('v2', new), ('_deltaindex', index)):
            client.push('app', tag, image)
        name = f'{REGISTRY}:{server.port}/app'
        engine = new_engine(f'[registry "{REGISTRY}:{server.port}"]\ninsecure = true\n')
        engine.wherry('pull', f'{name}:v1').ok()
        before = len(server.downloads())
        result = engine.wherry('pull', f'{name}:v2').ok()
        assert 'delta not usable' not in result.out
        taken = server.downloads()[before:]
        assert sum(size for _, size in taken) < delta.size + 5000
        assert engine.inspect(f'{name}:v2')['RootFS']['Layers'] == [
            part.diff_id for part in new.parts[1:]]
    finally:
        server.close()


@pytest.mark.parametrize('tag', ['_deltaindex', 'that of referrers'])
def test_skopeo_publishes_the_layout(layouts, new_engine, tag):
    old, new = images(layouts.engine.machine.arch)
    layouts.write(old=old, new=new)
    said = layouts.create().ok().out.split()[-1]
    server = registries.Registry(access_log=True)
    try:
        subprocess.run(['skopeo', '--insecure-policy', 'copy', '-q', '--all', '--dest-tls-verify=false',
                        f'oci:{layouts.out}',
                        f'docker://127.0.0.1:{server.port}/app:{said if tag != "_deltaindex" else tag}'], check=True,
                       env=debs.environment_with('skopeo'))
        client = server.client()
        client.push('app', 'v1', old)
        client.push('app', 'v2', new)
        name = f'{REGISTRY}:{server.port}/app'
        engine = new_engine(f'[registry "{REGISTRY}:{server.port}"]\ninsecure = true\n')
        engine.wherry('pull', f'{name}:v1').ok()
        assert 'delta not usable' not in engine.wherry('pull', f'{name}:v2').ok().out
        assert not any(new.parts[2].digest in path for path, _ in server.downloads())
    finally:
        server.close()


def test_documents_name_image_and_layers(layouts):
    old, new = images(layouts.engine.machine.arch)
    layouts.write(old=old, new=new)
    layouts.create().ok()
    index = deltas.load(layouts.out)
    entry = json.loads(index.data)['manifests'][0]
    assert entry['annotations'] == {deltas.PREFIX + 'target': new.digest}
    manifest = json.loads(index.parts[0].data)
    assert manifest['annotations'] == {deltas.PREFIX + 'target': new.digest}
    assert manifest['config']['mediaType'] == deltas.CONFIG.media_type
    assert [part['mediaType'] for part in manifest['layers']] == [deltas.DELTA]
    assert manifest['layers'][0]['annotations'] == {
        deltas.PREFIX + 'from': old.parts[2].diff_id, deltas.PREFIX + 'to': new.parts[2].diff_id}
    # What registries make of it in a list of referrers, and what such a list is where they make none.
    assert manifest['subject'] == new.descriptor()
    assert entry['artifactType'] == manifest['config']['mediaType']


def test_images_of_an_index_by_platform(layouts):
    (old_arm, new_arm), (old_amd, new_amd) = images('arm64'), images('amd64')
    layouts.write(old=oci.index([(old_arm, oci.platform('arm64')), (old_amd, oci.platform('amd64'))]),
                  new=oci.index([(new_arm, oci.platform('arm64')), (new_amd, oci.platform('amd64'))]))
    layouts.create('--platform', 'linux/arm64', old='old:v', new='new:v').ok()
    entry = json.loads(deltas.load(layouts.out).data)['manifests'][0]
    assert entry['annotations'] == {deltas.PREFIX + 'target': new_arm.digest}


def test_failures_leave_nothing(layouts):
    arch = layouts.engine.machine.arch
    old, new = images(arch)
    unlike = oci.image([layer({'other': program('other')})], arch)
    broken = oci.image([described_wrongly(new.parts[2])], arch)
    layouts.write(old=old, new=new, unlike=unlike, broken=broken)
    for names, reason in (({'new': 'absent'}, 'absent'), ({'new': 'new:x'}, 'tag x'),
                          ({'new': 'unlike'}, 'smaller than itself'),
                          ({'new': 'old'}, 'smaller than itself'), ({'new': 'broken'}, 'diffID')):
        layouts.create(**names).fails(1, reason)
        assert not layouts.out.exists()
    layouts.out.mkdir()
    layouts.create().fails(1, 'already')
    layouts.engine.wherry('delta', 'make', 'a', 'b', 'c').fails(1, 'delta create')


def described_wrongly(blob):
    """The same layer, described wrongly."""
    return oci.Blob(blob.media_type, blob.data, oci.digest_of(b'something else'))
