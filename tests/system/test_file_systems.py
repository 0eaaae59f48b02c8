"""The store on the file systems people use: a pull, a container, a crash; and on one it cannot use."""

import pytest

pytestmark = pytest.mark.machines('host')

MAKE = {
    'ext4': 'mkfs.ext4 -q',
    'xfs': 'mkfs.xfs -q',
    'btrfs': 'mkfs.btrfs -q',
}


class Disk:
    """A file system of its own in a file."""

    def __init__(self, machine, kind):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.image = f'{self.dir}/image'
        self.mount = f'{self.dir}/m'
        machine.shell(f'truncate -s 400M {self.image} && {MAKE[kind]} {self.image} && '
                      f'mkdir {self.mount}').ok()
        self.plug()

    def plug(self):
        self.machine.run(['mount', '-o', 'loop', self.image, self.mount]).ok()

    def unplug(self):
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount "$m" || umount -l "$m"; done')

    def freeze(self):
        """What the device has at this moment: nothing that the file system still holds back."""
        self.machine.run(['cp', '--sparse=always', self.image, f'{self.image}.then']).ok()

    def go_back(self):
        """As after a power cut at the time of freeze()."""
        self.unplug()
        self.machine.run(['mv', f'{self.image}.then', self.image]).ok()
        self.plug()

    def close(self):
        self.unplug()
        self.machine.remove(self.dir)


@pytest.fixture
def disk(machine):
    made = []

    def make(kind):
        made.append(Disk(machine, kind))
        return made[-1]
    yield make
    for one in reversed(made):
        one.close()


@pytest.fixture
def engine_on(new_engine, registry):
    """Makes engines with their data on a disk."""
    def make(where, config=''):
        engine = new_engine(new_engine.trust(registry.name) + config, start=False)
        engine.root = f'{where.mount}/data'
        return engine
    return make


@pytest.mark.parametrize('tier', ['A1', 'B'])
@pytest.mark.parametrize('kind', ['ext4', 'xfs', 'btrfs'])
def test_pull_run_and_crash(engine_on, disk, registry, kind, tier):
    device = disk(kind)
    engine = engine_on(device, f'[store]\ntier = {tier}\n').start()
    engine.login(registry.name)
    busybox, probe = f'{registry.name}/busybox', f'{registry.name}/probe'
    engine.wherry('pull', '-q', busybox).ok()
    assert engine.wherry('run', '--rm', '--network', 'none', busybox, 'echo', 'up').ok().out == 'up\n'
    engine.wherry('pull', '-q', probe).ok()
    device.freeze()
    engine.stop()
    device.go_back()
    engine.start()
    assert len(engine.images()) == 2
    engine.wherry('store', 'check').ok()
    for name in (busybox, probe):
        assert engine.wherry('run', '--rm', '--network', 'none', name, 'echo', 'up').ok().out == 'up\n'
    engine.stop()


def test_overlay_on_overlay(new_engine, machine):
    engine = new_engine('', start=False)
    place = machine.temporary_directory()
    try:
        machine.shell(f'cd {place} && mkdir l u w m && mount -t overlay -o '
                      f'lowerdir={place}/l,upperdir={place}/u,workdir={place}/w overlay m').ok()
        engine.root = f'{place}/m/data'
        with pytest.raises(AssertionError):
            engine.start()
        said = engine.log()
        assert f'{place}/m/data' in said and 'overlay' in said, said
    finally:
        machine.shell(f'umount {place}/m')
        machine.remove(place)
