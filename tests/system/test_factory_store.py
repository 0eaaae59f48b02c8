"""Images that a device comes with, on a read-only file system."""

import json
import random

import pytest

from harness import faulty, oci
from test_layers_hostile import busybox_layer

pytestmark = pytest.mark.machines('host')

# How a board's maker packs a directory: type of the file system, command with directory and file.
PACK = {
    'squashfs': 'mksquashfs {0} {1} -no-progress -quiet >/dev/null',
    'erofs': 'mkfs.erofs --quiet {1} {0}',
    'ext4': 'truncate -s 32M {1} && mkfs.ext4 -q -d {0} {1}',
}


def noise(seed, size=1_000_000):
    return random.Random(seed).randbytes(size)


class Factory:
    """A factory store on a file system of its own."""

    def __init__(self, machine, maker, kind, tier, *images):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.mount = f'{self.dir}/m'
        maker.wherry('store', 'export-factory', '--tier', tier, f'{self.dir}/made', *images).ok()
        self._mount = f'mount -t {kind} -o loop,{{}} {self.dir}/image {self.mount}; '
        pack = PACK[kind].format(f'{self.dir}/made', f'{self.dir}/image')
        machine.shell(f'set -e; mkdir {self.mount}; {pack}; {self._mount.format("ro")}').ok()

    def change(self, script):
        """Does what no device does."""
        self.machine.shell(f'set -e; ! mountpoint -q {self.mount} || umount {self.mount}; {self._mount.format("rw")} '
                           f'cd {self.mount}; {script}; cd /; umount {self.mount}; {self._mount.format("ro")}').ok()

    def close(self):
        self.machine.shell(f'umount -l {self.mount}')
        self.machine.remove(self.dir)


@pytest.fixture
def factory(machine):
    made = []

    def make(*arguments):
        made.append(Factory(machine, *arguments))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def serve(machine, faulty_registry):
    """Puts images of busybox and one more layer into a registry: (tag, {name: content}) to a name."""
    def make(tag, files):
        layers = [busybox_layer(machine.arch),
                  oci.layer(oci.tar([oci.entry(name, data=data) for name, data in files.items()]))]
        faulty_registry.add('app', tag, oci.image(layers, machine.arch))
        return f'{faulty_registry.name}/app:{tag}'
    return make


@pytest.fixture
def device(new_engine, faulty_registry):
    """An engine whose store is new: (Factory, tier)."""
    def make(factory, tier='auto'):
        return new_engine(new_engine.trust(faulty_registry.name) +
                          f'[store]\nfactory = {factory.mount}\ntier = {tier}\n')
    return make


def contents(engine):
    """Names and sizes of all files of the store but those that say whose it is."""
    return engine.machine.shell(f"cd {engine.root}/store && find . -type f ! -name LOCK ! -name VERSION "
                                "! -name clean -printf '%p %s\\n' | sort").ok().out.splitlines()


def read(engine, image, *names):
    return engine.wherry('run', '--rm', '--network', 'none', image, 'cat', *names).ok().raw_out


def named(engine):
    """The images: ID to names."""
    lines = engine.wherry('images', '-a', '--format', 'json').ok().out.splitlines()
    return {image['Id']: image['RepoTags'] for image in map(json.loads, lines)}


@pytest.mark.parametrize('kind,tier', [('squashfs', 'A1'), ('squashfs', 'A2'), ('squashfs', 'B'), ('erofs', 'A1'),
                                       ('ext4', 'A1')])
def test_runs_without_a_write_and_shares_what_it_has(fresh_engine, serve, factory, device, kind, tier):
    known = noise(1)
    first = serve('1', {'known': known})
    fresh_engine.wherry('pull', '-q', first).ok()
    made = factory(fresh_engine, kind, tier, first)
    engine = device(made, tier)
    assert contents(engine) == []
    assert list(named(engine).values()) == [[first]]
    assert read(engine, first, '/known') == known
    assert engine.wherry('pull', '-q', first).ok()
    engine.wherry('store', 'check').ok()
    assert contents(engine) == []

    second = serve('2', {'known': known, 'fresh': noise(2)})
    engine.wherry('pull', '-q', second).ok()
    objects = [line for line in contents(engine) if line.startswith('./obj/')]
    # In tier B files have to be where they are linked to.
    assert len(objects) == (1 if tier.startswith('A') else 2), objects
    assert read(engine, second, '/known', '/fresh') == known + noise(2)
    engine.wherry('store', 'check').ok()
    engine.stop()
    engine.start()
    assert len(engine.images()) == 2
    assert read(engine, second, '/fresh') == noise(2)
    engine.wherry('rmi', second).ok()
    assert [line.split()[0] for line in contents(engine)] == ['./refs']


def test_what_cannot_be_removed(fresh_engine, serve, factory, device):
    image = serve('1', {'known': noise(1)})
    fresh_engine.wherry('pull', '-q', image).ok()
    made = factory(fresh_engine, 'squashfs', 'auto', image)
    engine = device(made)
    refused = engine.wherry('rmi', image)
    assert refused.code == 1 and 'of the factory store' in refused.err
    image_id = next(iter(named(engine)))
    assert 'of the factory store' in engine.wherry('rmi', '-f', image_id).err
    assert engine.wherry('image', 'prune', '-a', '-f').ok()
    assert engine.wherry('system', 'df').ok()
    assert named(engine) == {image_id: [image]}
    engine.wherry('tag', image, 'mine:1').ok()
    assert {name for names in named(engine).values() for name in names} == {image, 'mine:1'}
    removed = engine.wherry('rmi', 'mine:1').ok().out
    assert 'Untagged: mine:1' in removed and f'Deleted: {image_id}' not in removed
    # A newer image takes the name; without it, it is as it was.
    newer = serve('1', {'known': noise(1), 'more': b'more'})
    engine.wherry('pull', '-q', newer).ok()
    assert len(engine.images()) == 2
    engine.wherry('rmi', newer).ok()
    assert named(engine) == {image_id: [image]}


def test_one_that_cannot_be_used(fresh_engine, serve, factory, device):
    image = serve('1', {'known': noise(1)})
    fresh_engine.wherry('pull', '-q', image).ok()
    made = factory(fresh_engine, 'ext4', 'auto', image)
    engine = device(made)
    second = serve('2', {'known': noise(1), 'fresh': noise(2)})
    engine.wherry('pull', '-q', second).ok()
    assert read(engine, second, '/known') == noise(1)
    engine.stop()
    machine = engine.machine
    machine.shell(f'umount {made.mount}; rm -r {engine.rundir}').ok()
    engine.start()  # as after a boot
    assert f'the factory store {made.mount} is not used' in engine.log()
    engine.machine.shell(f"for i in $(seq 100); do [ -e {engine.rundir}/store-checked ] && exit; sleep 0.1; done")
    refused = engine.wherry('run', '--rm', '--network', 'none', second, 'cat', '/known')
    assert 'the image is damaged' in refused.err and 'store check --repair' in refused.err
    engine.wherry('store', 'check', '--repair').ok()
    assert read(engine, second, '/known') == noise(1)
    engine.stop()
    made.change('echo 2 >VERSION')
    engine.start()
    assert 'store format 2' in engine.log()
    assert list(named(engine).values()) == [[second]]


@pytest.fixture
def damaged(fresh_engine, serve, factory, device):
    """A device whose factory store has a damaged object: (engine, factory, image, its digest, its content)."""
    known = noise(1)
    image = serve('1', {'known': known, 'other': noise(2)})
    fresh_engine.wherry('pull', '-q', image).ok()
    made = factory(fresh_engine, 'ext4', 'auto', image)
    digest = oci.digest_of(known).split(':')[1]
    made.change(f'printf X | dd of=obj/{digest[0]}/{digest[1:]} bs=1 seek=5000 conv=notrunc status=none')
    return device(made), made, image, digest, known


def own_objects(engine):
    return [line for line in contents(engine) if line.startswith('./obj/')]


def test_damage_is_repaired_by_the_device(damaged):
    engine, made, image, digest, known = damaged
    found = engine.wherry('store', 'check')
    assert found.code == 1
    assert f'{made.mount}/obj/{digest[0]}/{digest[1:]}: has other content; needed by {image}' in found.out
    engine.wherry('store', 'check', '--repair').ok()
    assert own_objects(engine) == [f'./obj/{digest[0]}/{digest[1:]} {len(known)}']
    engine.stop()
    engine.start()
    engine.wherry('store', 'check').ok()
    assert read(engine, image, '/known') == known


def test_damage_is_remembered(damaged, faulty_registry):
    engine, made, image, digest, known = damaged
    faulty_registry.fault('/blobs/', faulty.status(404))
    assert engine.wherry('store', 'check', '--repair').code == 1
    for _ in range(2):
        engine.stop()
        engine.start()
        refused = engine.wherry('run', '--rm', '--network', 'none', image, 'cat', '/known')
        assert 'the image is damaged' in refused.err and 'store check --repair' in refused.err
    faulty_registry.heal()
    engine.wherry('store', 'check', '--repair').ok()
    assert read(engine, image, '/known') == known
    # What stands in for it stays when the image is removed from the device.
    engine.wherry('tag', image, 'mine:1').ok()
    engine.wherry('rmi', 'mine:1').ok()
    engine.wherry('image', 'prune', '-a', '-f').ok()
    engine.kill()
    engine.start()
    assert own_objects(engine) == [f'./obj/{digest[0]}/{digest[1:]} {len(known)}']
    assert read(engine, image, '/known') == known


def test_damage_that_is_no_more(damaged, faulty_registry):
    """The same factory store, written again."""
    engine, made, image, digest, known = damaged
    faulty_registry.fault('/blobs/', faulty.status(404))
    assert engine.wherry('store', 'check', '--repair').code == 1
    engine.stop()
    byte = oct(known[5000])[2:]
    made.change(f"printf '\\{byte}' | dd of=obj/{digest[0]}/{digest[1:]} bs=1 seek=5000 conv=notrunc status=none")
    engine.start()
    assert 'the image is damaged' in engine.wherry('run', '--rm', '--network', 'none', image, 'true').err
    engine.wherry('store', 'check', '--repair').ok()
    assert read(engine, image, '/known') == known
    assert own_objects(engine) == []
    engine.stop()
    engine.start()
    assert read(engine, image, '/known') == known
