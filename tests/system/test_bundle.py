"""Releases from a file: a bundle made from a registry, taken by a device that reaches none."""

import io
import json
import tarfile
import uuid

import pytest

from harness import cosign
from images import reference
from test_updates import BOTH, SLEEP, Device, device_config

pytestmark = pytest.mark.machines('host-net')


class Stranger(Device):
    """A device that trusts no registry's certificate: what it needs has to be in the bundle."""

    def __init__(self, new_engine, registry, maker):
        self.maker = maker
        super().__init__(new_engine, registry, '{}')

    def prepare(self):
        self.machine.write(self.engine.config, '')
        self.machine.shell(f'cp {self.maker.engine.dir}/maker.pub {self.engine.dir}/keys/first.pub').ok()

    def images(self):
        return self.cli('images', '-q').ok().out.split()

    def layers(self):
        return self.machine.shell(f'ls {self.engine.root}/store/layer').ok().out.split()

    def refuses(self, path, says):
        """Refused with this reason, and nothing stays."""
        layers, state = self.layers(), self.status()
        self.cli('ota', 'apply', path).fails(1, says)
        assert self.images() == [] and self.layers() == layers and self.status() == state


@pytest.fixture
def maker(new_engine, registry):
    device = Device(new_engine, registry, device_config(registry))
    device.machine.run(['mkdir', '-p', device.engine.credentials]).ok()
    device.machine.write(f'{device.engine.credentials}/config.json', device_config(registry), 0o600)
    return device


@pytest.fixture
def device(new_engine, registry, maker):
    return Stranger(new_engine, registry, maker)


def pushed(maker, path, name='releases/gateway:test'):
    """A release in the registry; its reference with a digest."""
    push = maker.cli('--config', maker.engine.config, 'release', 'push', f'{maker.registry.name}/{name}', path)
    return push.ok().out.strip()


@BOTH
def test_release_from_a_registry(maker):
    path = maker.release(1, maker.app('web', *SLEEP))
    reference = pushed(maker, path)
    assert reference.startswith(f'{maker.registry.name}/releases/gateway@sha256:')
    assert pushed(maker, path) == reference
    assert maker.apply(reference).code == 0
    assert maker.running() == ['web']
    assert pushed(maker, maker.release(2, maker.app('web', 'sleep', '1002'))) != reference
    assert maker.apply(f'{maker.registry.name}/releases/gateway:test').code == 0
    assert maker.status()['active']['sequence'] == 2


def test_what_is_no_release_in_a_registry(maker):
    path = maker.release(1, maker.app('web', *SLEEP))
    name = maker.registry.name
    apply = lambda text: maker.cli('ota', 'apply', text)  # noqa: E731
    apply(maker.image()).fails(1, 'busybox@sha256:[0-9a-f]* is no release')
    apply(f'{name}/nothing:here').fails(1, 'nothing:here')
    apply('no-such-file').fails(1, 'no-such-file')
    maker.cli('release', 'keygen', f'{maker.engine.dir}/foreign').ok()
    maker.cli('release', 'sign', '--key', f'{maker.engine.dir}/foreign.key', '-o', f'{path}.foreign',
              f'{path}.full').ok()
    apply(pushed(maker, f'{path}.foreign')).fails(1, 'signed by no key this device trusts')
    push = lambda to, file: maker.cli('--config', maker.engine.config, 'release', 'push', to, file)  # noqa: E731
    push(f'{name}/releases/x', f'{path}.full').fails(1, 'no signed document')
    push(maker.image(), path).fails(1, 'a release gets its own')
    assert maker.status()['state'] == 'NONE'


def bundle(maker, sequence, *apps, **more):
    """A bundle of a release in a file."""
    path = maker.release(sequence, *apps, **more)
    maker.cli('--config', maker.engine.config, 'release', 'bundle', '-o', f'{path}.bundle', path).ok()
    return f'{path}.bundle'


def members(machine, path):
    with tarfile.open(fileobj=io.BytesIO(machine.read(path))) as archive:
        return [(member, archive.extractfile(member).read() if member.isfile() else None)
                for member in archive.getmembers()]


def changed(machine, path, change):
    """The bundle with its members as `change` gives them, in another file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for member, content in members(machine, path):
            content = change(member.name, content)
            if content is None and member.isfile():
                continue
            member.size = len(content or b'')
            archive.addfile(member, io.BytesIO(content or b''))
    machine.write(f'{path}.changed', out.getvalue())
    return f'{path}.changed'


@BOTH
def test_bundle_without_a_registry(maker, device):
    path = bundle(maker, 1, maker.app('web', *SLEEP), maker.app('db', *SLEEP))
    names = [member.name for member, _ in members(maker.machine, path)]
    assert names[:3] == ['release.json', 'oci-layout', 'index.json']
    assert device.cli('ota', 'apply', maker.release(2, maker.app('web', *SLEEP))).code == 0
    device.machine.wait_for(lambda: device.status()['waiting'] or device.status()['state'] == 'REJECTED',
                            'it has what it needs from the registry')
    result = device.apply(path)
    assert result.code == 0, result.err
    status = device.status()
    assert status['state'] == 'CONFIRMED' and status['active']['sequence'] == 1
    assert device.running() == ['db', 'web']
    older = bundle(maker, 1, maker.app('other', *SLEEP))
    device.cli('ota', 'apply', older).fails(1, 'only a newer one is taken')


def test_what_is_wrong_with_a_bundle(maker, device):
    machine = maker.machine
    path = bundle(maker, 1, maker.app('web', *SLEEP))
    whole = machine.read(path)
    for size, says in ((0, 'truncated'), (700, 'ends within its release'), (len(whole) // 2, 'bundle: .*ends'),
                       (len(whole) - 3000, 'bundle: ')):
        machine.write(f'{path}.short', whole[:size])
        device.refuses(f'{path}.short', says)

    largest = max((m for m, c in members(machine, path) if c), key=lambda m: m.size).name

    def flip(name, content):
        return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:] if name == largest else content
    device.refuses(changed(machine, path, flip), 'the bundle: ')

    manifest = next(m.name for m, c in members(machine, path) if c and b'"layers"' in c and m.name.startswith('blobs'))
    device.refuses(changed(machine, path, lambda n, c: None if n == manifest else c), 'bundle: ')
    device.refuses(changed(machine, path, lambda n, c: c + b' ' if n == manifest else c),
                   'does not match the digest it is named by')
    device.refuses(changed(machine, path, lambda n, c: None if n == largest else c), 'the archive is incomplete')

    def resign(name, content):
        if name != 'release.json':
            return content
        envelope = json.loads(content)
        envelope['payload'] = envelope['payload'][:-8] + 'AAAA' + envelope['payload'][-4:]
        return json.dumps(envelope).encode()
    device.refuses(changed(machine, path, resign), 'is signed by no key this device trusts for releases')
    device.refuses(changed(machine, path, lambda n, c: None if n == 'release.json' else c), 'this is no bundle')

    maker.cli('release', 'keygen', f'{maker.engine.dir}/foreign').ok()
    foreign = bundle(maker, 3, maker.app('web', *SLEEP), key='foreign')
    device.refuses(foreign, 'is signed by no key this device trusts for releases')
    assert device.apply(path).code == 0


@pytest.mark.parametrize('form', ['tag', 'bundle'])
def test_images_that_have_to_be_signed(maker, new_engine, registry, form):
    device = Stranger(new_engine, registry, maker)
    machine, directory = maker.machine, device.engine.dir
    machine.run(['mkdir', f'{directory}/image-keys']).ok()
    machine.shell(f'cp {maker.engine.dir}/maker.pub {directory}/image-keys/').ok()
    machine.write(f'{directory}/conf.d/signatures.conf', f'[signatures "{registry.name}"]\nkeys = {directory}/image-keys\n')
    device.engine.stop()
    device.engine.start()
    repository, busybox = f'signed/{uuid.uuid4().hex[:8]}', reference.load('busybox')['latest']
    registry.push(repository, 'latest', busybox)
    digest = busybox.digest
    app = maker.app('web', *SLEEP, image=f'{registry.name}/{repository}@{digest}')
    device.refuses(bundle(maker, 1, app), f'{repository}.*{digest}.* has to be signed by a key in .*: it has no signature')
    tag, signed = cosign.tag(digest, '.sig' if form == 'tag' else ''), None
    for key, sequence in (('other', 2), ('maker', 3)):
        if key == 'other':
            maker.cli('release', 'keygen', f'{maker.engine.dir}/other').ok()
        file = f'{maker.engine.dir}/{key}.key'
        signed = cosign.simple(file, cosign.payload(digest)) if form == 'tag' else cosign.bundle(file, cosign.statement(digest))
        registry.push(repository, tag, signed)
        path = bundle(maker, sequence, app)
        if key == 'other':
            device.refuses(path, 'it is signed by another key')
    device.refuses(changed(machine, path, lambda n, c: None if n == f'signatures/{tag}' else c), 'it has no signature')
    device.refuses(changed(machine, path, lambda n, c: None if n.endswith(signed.parts[-1].digest[7:]) else c), 'bundle: ')
    maker.cli('load', '-i', path).ok()  # an archive of images as before
    assert device.apply(path).code == 0
    assert device.running() == ['web']
