"""Damage in the store: found, named, and healed from the registry, while containers run."""

import gzip
import os
import pathlib
import random

import pytest

from harness import compile as compiler
from harness import oci
from images import recipes, reference

pytestmark = pytest.mark.machines('host')

FLIPS = int(os.environ.get('WHERRY_FLIPS', '24'))


def store(engine):
    return pathlib.Path(engine.root, 'store')


def flip(path, chance):
    """Inverts one bit of a file, whatever its mode and times, which stay."""
    info = path.stat()
    with open(path, 'r+b') as file:
        offset = chance.randrange(info.st_size)
        # the time and the maker in the header of a gzip stream mean nothing
        while path.suffix == '.tar' and offset < 10:
            offset = chance.randrange(info.st_size)
        file.seek(offset)
        byte = file.read(1)[0] ^ (1 << chance.randrange(8))
        file.seek(offset)
        file.write(bytes([byte]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def files(engine, *parts):
    found = [path for part in parts for path in sorted(store(engine).glob(part))]
    return [path for path in found if path.is_file() and path.stat().st_size > 0]


def bytes_of(path):
    """The content of a file of the store: of an archive what is packed, which can be packed in several ways."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == '.tar' else data


def content(engine, *parts):
    return {path: bytes_of(path) for path in files(engine, *parts)}


@pytest.fixture(scope='module')
def site(registry):
    """The name of an image that has files of all sizes on top of busybox."""
    arch = compiler.native_arch()
    busybox = reference.load('busybox')['latest'].parts[recipes.ARCHES.index(arch)]
    base = [oci.layer(gzip.decompress(part.data)) for part in busybox.parts[1:]]
    chance = random.Random(5)
    files = [oci.entry(f'srv/{number}', data=chance.randbytes(chance.choice([100, 700, 5000, 400000])))
             for number in range(60)]
    registry.push('web/site', '1', oci.image([*base, oci.layer(oci.tar(files))], arch, Cmd=['sh']))
    return f'{registry.name}/web/site:1'


@pytest.fixture(params=['A1', 'B'])
def filled(request, new_engine, registry, site):
    """An engine with real images, of which only one is damaged in these tests."""
    config = f'[store]\ntier = {request.param}\n' + new_engine.trust(registry.name)
    engine = new_engine(config, start=False)
    try:
        engine.start()
    except AssertionError:
        if request.param == 'B' or 'tier A1' not in engine.log():
            raise
        pytest.skip('this kernel cannot mount images of metadata from files (tier A1)')
    engine.login(registry.name)
    engine.busybox, engine.site = f'{registry.name}/busybox', site
    for name in (engine.busybox, site):
        engine.wherry('pull', '-q', name).ok()
    yield engine
    engine.remove_containers()
    engine.assert_nothing_left()


def check(engine, *options):
    return engine.wherry('store', 'check', *options, timeout=300)


def objects_of_site_alone(engine):
    """Files that only the image site needs: what removing it would remove."""
    before = set(files(engine, 'obj/*/*', 'layer/*', 'img/*'))
    engine.wherry('rmi', engine.site).ok()
    after = set(files(engine, 'obj/*/*', 'layer/*', 'img/*'))
    engine.wherry('pull', '-q', engine.site).ok()
    return sorted(before - after)


def test_sound_store(filled):
    result = check(filled).ok()
    assert '0 damaged' in result.out


def test_random_flips_are_found_and_repaired(filled):
    engine, chance = filled, random.Random(11)
    running = engine.run_detached(engine.busybox, 'sh', '-c',
                                  'while :; do ls -lR /bin > /tmp/x; cat /bin/busybox > /tmp/y; '
                                  'sleep 0.2; done')
    own = objects_of_site_alone(engine)
    before = content(engine, 'obj/*/*', 'layer/*')
    names = [path for path in own if path.parent.name != 'img']
    hit = chance.sample(names, min(FLIPS, len(names)))
    hit += [path for path in own if path.parent.name == 'img']
    for path in hit:
        flip(path, chance)
    # Objects that only a damaged index names cannot be seen before that is repaired.
    found = check(engine).fails(1).out
    broken_index = any(path.suffix == '.idx' for path in hit)
    for path in hit:
        told = str(path.relative_to(store(engine))) in found
        assert told or (broken_index and (path.parent.parent.name == 'obj' or
                                          path.suffix == '.erofs')), f'{path} was not found'
    assert engine.busybox not in found, 'an undamaged image is named'
    assert engine.site in found
    result = check(engine, '--repair').ok()
    assert 'all repaired' in result.out
    for path, old in before.items():
        assert bytes_of(path) == old, f'{path} is not what it was'
    assert '0 damaged' in check(engine).ok().out
    assert engine.state(running)['Running']
    out = engine.wherry('run', '--rm', engine.site, 'true')
    assert out.code == 0, out
    assert not list((store(engine) / 'quarantine').glob('obj-*'))
    assert not list((store(engine) / 'txn').iterdir())


def test_what_cannot_be_repaired_is_named_when_it_is_used(filled, registry):
    engine, chance = filled, random.Random(5)
    lost = chance.choice([path for path in objects_of_site_alone(engine)
                          if path.parent.parent.name == 'obj'])
    digest = lost.parent.name + lost.name
    flip(lost, chance)
    engine.wherry('logout', registry.name).ok()
    result = check(engine, '--repair').fails(1)
    assert f'image {engine.site} is not repaired' in result.out
    # Still there, still listed, and it says what is wrong; also after a start of the daemon.
    for _ in range(2):
        assert len(engine.images()) == 2
        engine.wherry('run', '--rm', engine.site, 'true').fails(
            125, f'{digest}.*|damaged.*store check --repair')
        engine.wherry('run', '--rm', engine.busybox, 'true').ok()
        engine.stop()
        engine.start()
        engine.machine.wait_for(lambda: lost.name in engine.log(), 'the daemon does not tell', 10)
    engine.login(registry.name)
    check(engine, '--repair').ok()
    engine.wherry('run', '--rm', engine.site, 'true').ok()


def test_pull_heals_what_is_known_to_be_damaged(filled):
    engine = filled
    lost = [path for path in objects_of_site_alone(engine) if path.parent.parent.name == 'obj'][0]
    old = lost.read_bytes()
    lost.unlink()
    engine.kill()
    pathlib.Path(engine.rundir, 'store-checked').unlink()  # as after a power cut
    engine.start()
    engine.machine.wait_for(lambda: 'is missing' in engine.log(), 'the daemon does not tell', 10)
    engine.wherry('run', '--rm', engine.site, 'true').fails(125, 'damaged')
    engine.wherry('pull', engine.site).ok()
    assert lost.read_bytes() == old
    engine.wherry('run', '--rm', engine.site, 'true').ok()
    assert '0 damaged' in check(engine).ok().out


@pytest.mark.parametrize('name', ['refs', 'img/*', 'layer/*.idx', 'layer/*.tar'])
def test_daemon_starts_with_damaged_files(filled, name):
    engine, chance = filled, random.Random(3)
    engine.stop()
    flip(files(engine, name)[0], chance)
    engine.start()
    check(engine, '--repair').ok()
    for image in (engine.busybox, engine.site):
        engine.wherry('pull', '-q', image).ok()
    engine.wherry('run', '--rm', engine.busybox, 'true').ok()
    assert '0 damaged' in check(engine).ok().out


def test_second_daemon_on_the_same_store_is_refused(filled):
    engine = filled
    argv = [engine.program, 'daemon', '--config', engine.config, '--root', engine.root,
            '--run', engine.dir + '/r2', '--socket', engine.dir + '/s2']
    result = engine.machine.run(argv, timeout=10)
    assert result.code == 1
    assert 'used by another wherry daemon' in result.err
    check(engine).ok()
