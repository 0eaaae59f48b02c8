"""How much a container may write to its own layer."""

import oci_box
import pytest

from disks import Disk


@pytest.fixture
def engine_on(machine, new_engine, registry):
    """Makes engines with their data on a disk of a kind."""
    disks = []

    def make(kind, config=''):
        disks.append(Disk(machine, kind, 'loop,prjquota'))
        engine = new_engine(new_engine.trust(registry.name) + config, start=False)
        engine.root = f'{disks[-1].mount}/data'
        engine.start()
        machine.reach(registry.port)
        engine.login(registry.name)
        engine.busybox = f'{registry.name}/busybox'
        engine.wherry('pull', '-q', engine.busybox).ok()
        return engine
    yield make
    for disk in disks:
        disk.close()


def write(size):
    return ['dd', 'if=/dev/zero', 'of=/file', 'bs=100000', f'count={size // 100000}']


@pytest.mark.machines('vm-6.12', 'vm-6.1')
@pytest.mark.parametrize('kind', ['ext4 with quotas', 'xfs with quotas'])
def test_limit(engine_on, kind):
    engine = engine_on(kind, '[containers]\nstorage-size = 3m\n')

    def run(*arguments):
        return engine.wherry('run', '--network', 'none', *arguments)
    few = ['--storage-opt', 'size=8m', engine.busybox]
    run('--name', 'first', *few, *write(6_000_000)).ok()
    inspected = engine.inspect('first')
    assert inspected['HostConfig']['StorageOpt'] == {'size': '8m'}
    # What it has counts again when it runs again, and is its own.
    engine.wherry('start', '-a', 'first').ok()
    full = run('--name', 'second', *few, *write(9_000_000))
    assert full.code == 1 and ('quota' in full.err or 'space' in full.err), full
    assert run('--rm', *few, 'df', '-m', '/').ok().out.split()[-5] == '8'
    # What the configuration says is for those that say nothing, and is shown.
    assert run('--name', 'third', engine.busybox, *write(4_000_000)).code == 1
    assert engine.inspect('third')['HostConfig']['StorageOpt'] == {'size': str(3 << 20)}
    # Its number is free again.
    engine.wherry('rm', 'first', 'second', 'third').ok()
    run('--rm', *few, *write(6_000_000)).ok()


@pytest.mark.machines('host')
def test_refused_where_there_are_no_quotas(engine):
    refused = engine.wherry('run', '--rm', '--storage-opt', 'size=10m', engine.busybox, 'true')
    assert refused.code == 125
    for word in ('project quotas', 'prjquota', 'mkfs.ext4 -O project,quota'):
        assert word in refused.err
    for option, said in (('size=1k', 'at least 1m'), ('inodes=1', 'Unknown option inodes'), ('size=many', 'size')):
        assert said in engine.wherry('create', '--storage-opt', option, engine.busybox).fails(125).err


@pytest.mark.machines('host')
def test_refused_by_an_older_kernel(machine, new_engine, registry):
    old = new_engine(new_engine.trust(registry.name), runner=[oci_box.helper(machine, 'old_kernel'), 'quotactl_fd'])
    old.login(registry.name)
    image = f'{registry.name}/hello'
    old.wherry('pull', '-q', image).ok()
    assert 'no quotactl_fd (Linux 5.14)' in old.wherry('create', '--storage-opt', 'size=10m', image).fails(125).err
    old.wherry('create', image).ok()
