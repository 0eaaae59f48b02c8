"""What the store takes, what may be removed, what a pull would cost."""

import json
import random

import pytest

from engine import docker_program
from harness import oci

pytestmark = pytest.mark.machines('host')


@pytest.fixture
def thing(fresh_engine, faulty_registry):
    """Serves images of random layers; pulls them under tags."""
    engine, arch = fresh_engine, fresh_engine.machine.arch

    def serve(tag, *layers, **options):
        made = [oci.layer(oci.tar([oci.entry(name, data=data)])) for name, data in layers]
        faulty_registry.add('thing', tag, oci.image(made, arch, **options))
        return f'{faulty_registry.name}/thing:{tag}'
    return serve


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def usage(engine):
    return json.loads(engine.wherry('system', 'df', '--format', 'json').ok().out)


def du(engine):
    out = engine.machine.shell(f'du -s --block-size=1 {engine.root}/store').out
    return int(out.split()[0])


def test_system_df_adds_up(fresh_engine, thing):
    engine = fresh_engine
    shared = ('shared', noise(1, 3_000_000))
    for tag, size in (('a', 1_000_000), ('b', 2_000_000)):
        engine.wherry('pull', '-q', thing(tag, shared, (tag, noise(size, size)))).ok()
    answer = usage(engine)
    assert abs(answer['LayersSize'] - du(engine)) < 0.02 * du(engine)
    sizes = {image['RepoTags'][0][-1]: image for image in answer['Images']}
    assert set(sizes) == {'a', 'b'}
    for tag, own in (('a', 1_000_000), ('b', 2_000_000)):
        unique = sizes[tag]['Size'] - sizes[tag]['SharedSize']
        assert own <= unique < own * 1.05
        assert 3_000_000 <= sizes[tag]['SharedSize'] < 3_200_000
        assert sizes[tag]['Containers'] == 0
    total = sum(s['Size'] - s['SharedSize'] for s in sizes.values()) + sizes['a']['SharedSize']
    assert abs(total - du(engine)) < 0.25 * du(engine)  # directories of objects belong to nobody
    table = engine.wherry('system', 'df').ok().out
    assert 'Images' in table and 'RECLAIMABLE' in table
    assert 'UNIQUE SIZE' in engine.wherry('system', 'df', '-v').ok().out


def test_system_df_by_docker(fresh_engine, registry, docker_major):
    assert docker_major
    fresh_engine.login(registry.name)
    fresh_engine.wherry('pull', '-q', f'{registry.name}/busybox').ok()
    assert docker_program()
    out = fresh_engine.docker('system', 'df').ok().out
    assert 'Images' in out and 'Containers' in out
    assert 'busybox' in fresh_engine.docker('system', 'df', '-v').ok().out
    out = fresh_engine.docker('image', 'prune', '-a', '-f').ok().out
    assert 'Total reclaimed space' in out
    assert fresh_engine.images() == []


def test_prune(fresh_engine, thing, registry):
    engine = fresh_engine
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    name = thing('a', ('a', noise(1, 100_000)), Labels={'keep': 'yes'})
    other = thing('b', ('b', noise(2, 500_000)))
    for image in (name, other):
        engine.wherry('pull', '-q', image).ok()
    container = engine.wherry('create', busybox, 'true').ok().out.strip()
    assert 'space: 0B' in engine.wherry('image', 'prune', '-f').ok().out
    assert len(engine.images()) == 3
    before = du(engine)
    out = engine.wherry('image', 'prune', '-af', '--filter', 'label!=keep').ok().out
    assert other in out and name not in out and busybox not in out
    assert before - du(engine) >= 500_000
    assert len(engine.images()) == 2
    engine.wherry('image', 'prune', '-af', '--filter', 'label=keep=no').ok()
    assert len(engine.images()) == 2
    engine.wherry('image', 'prune', '-af', '--filter', 'nonsense=1').fails(1, 'invalid filter')
    engine.wherry('image', 'prune', '-af').ok()
    assert len(engine.images()) == 1, 'a container uses it'
    assert engine.wherry('start', '-a', container).ok()
    engine.wherry('rm', container).ok()
    # Without a terminal or an answer nothing happens.
    engine.wherry('image', 'prune', '-a', input='n\n').ok()
    assert len(engine.images()) == 1
    engine.wherry('image', 'prune', '-a', input='y\n').ok()
    assert engine.images() == []


def test_removal_while_a_container_runs(fresh_engine, registry):
    engine = fresh_engine
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', busybox).ok()
    running = engine.run_detached(busybox, 'sh', '-c', 'while :; do cat /bin/busybox >/dev/null; done')
    engine.wherry('rmi', '-f', busybox).ok()
    engine.wherry('image', 'prune', '-af').ok()
    assert engine.state(running)['Running']
    assert '0 damaged' in engine.wherry('store', 'check').ok().out
    engine.wherry('rm', '-f', running).ok()
    engine.wherry('image', 'prune', '-af').ok()
    assert engine.images() == []


def test_plan_of_a_pull(fresh_engine, faulty_registry, thing):
    engine = fresh_engine
    shared = ('shared', noise(1, 300_000))
    engine.wherry('pull', '-q', thing('a', shared)).ok()
    name = thing('b', shared, ('own', noise(2, 200_000)))
    before = (engine.store_files(), len(faulty_registry.seen('GET .*/blobs/')))
    out = engine.wherry('pull', '--plan', name).ok().out
    assert engine.store_files() == before[0], 'a plan has written something'
    assert len(faulty_registry.seen('GET .*/blobs/')) == before[1] + 1, 'only the configuration'
    assert out.count('here') == 1 and out.count('to download') == 1
    assert 'Fits: yes' in out
    done = engine.wherry('pull', name).ok().out
    assert 'Written: 200kB of content' in done, done
    assert 'Written since start' in engine.wherry('info').ok().out


def test_full_file_system_can_be_pruned(new_engine, faulty_registry):
    engine = new_engine(new_engine.trust(faulty_registry.name), start=False)
    image = oci.image([oci.layer(oci.tar([oci.entry('f', data=noise(4, 1_000_000))]))],
                      engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    shell = engine.machine.shell
    shell(f'mkdir -p {engine.root} && mount -t tmpfs -o size=64m,mode=711 tmpfs {engine.root}').ok()
    try:
        engine.start()
        engine.wherry('pull', '-q', f'{faulty_registry.name}/thing').ok()
        shell(f'dd if=/dev/zero of={engine.root}/fill bs=64k 2>/dev/null; '
              f'dd if=/dev/zero of={engine.root}/fill2 bs=1 count=4096 2>/dev/null')
        engine.wherry('tag', f'{faulty_registry.name}/thing', 'other').fails(1, 'space')
        assert '0 damaged' in engine.wherry('store', 'check').ok().out
        out = engine.wherry('image', 'prune', '-af').ok().out
        assert 'reclaimed space: 1' in out, out
        assert engine.images() == []
        engine.stop()
        engine.start()
        assert engine.images() == []
    finally:
        if engine.running:
            engine.stop()
        shell(f'umount {engine.root}').ok()
