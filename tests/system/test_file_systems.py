"""The store on the file systems people use: a pull, a container, a crash; and on those it cannot use.

Those this host may not know are for the virtual machine. UBIFS needs the one of 32 bits: Debian's kernels for arm64 have
no flash chip to put it on (CONFIG_MTD_RAW_NAND, MTD_CFI, MTD_MTDRAM, MTD_BLOCK2MTD and MTD_PHRAM are not set).
"""

import os
import random
import time

import pytest
from disks import Disk, Flash
from harness import compile as compiler
from harness import oci, paths

# How often the power is cut in a pull to UBIFS.
CUTS = int(os.environ.get('WHERRY_CUTS', '2'))


@pytest.fixture
def disk(machine):
    made = []

    def make(*arguments):
        made.append(Disk(machine, *arguments))
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


def pull_run_and_crash(engine_on, device, registry, tier):
    engine = engine_on(device, f'[store]\ntier = {tier}\n').start()
    engine.login(registry.name)
    busybox, probe = f'{registry.name}/busybox', f'{registry.name}/probe'
    engine.wherry('pull', '-q', busybox).ok()
    assert engine.wherry('run', '--rm', '--network', 'none', busybox, 'echo', 'up').ok().out == 'up\n'
    engine.wherry('pull', '-q', probe).ok()
    device.freeze()
    engine.kill()
    device.go_back()
    engine.start()
    assert len(engine.images()) == 2
    engine.wherry('store', 'check').ok()
    for name in (busybox, probe):
        assert engine.wherry('run', '--rm', '--network', 'none', name, 'echo', 'up').ok().out == 'up\n'
    engine.stop()


@pytest.mark.machines('host')
@pytest.mark.parametrize('tier', ['A1', 'B'])
@pytest.mark.parametrize('kind', ['ext4', 'xfs', 'btrfs'])
def test_pull_run_and_crash(engine_on, disk, registry, kind, tier):
    pull_run_and_crash(engine_on, disk(kind), registry, tier)


@pytest.mark.machines('vm-6.1', 'vm-6.12')
@pytest.mark.parametrize('tier', ['auto', 'B'])
def test_pull_run_and_crash_on_f2fs(engine_on, disk, registry, tier):
    pull_run_and_crash(engine_on, disk('f2fs'), registry, tier)


@pytest.fixture
def flash(machine):
    chip = Flash(machine)
    yield chip
    chip.close()


@pytest.mark.machines('vm-32')
@pytest.mark.parametrize('tier', ['A1', 'A2', 'B'])
def test_pull_run_and_crash_on_ubifs(engine_on, flash, registry, tier):
    pull_run_and_crash(engine_on, flash, registry, tier)


@pytest.mark.machines('vm-32')
def test_without_syncs_ubifs_loses_the_image(new_engine, flash, registry):
    """The control: the same with a daemon whose syncs do nothing."""
    guest = f'{flash.dir}/guest'
    program = compiler.static_program(paths.TESTS / 'crash/guest.cpp', flash.machine.arch)
    flash.machine.write(guest, program.read_bytes(), 0o755)
    engine = new_engine(new_engine.trust(registry.name), start=False, runner=(guest, 'nosync'))
    engine.root = f'{flash.mount}/data'
    engine.start()
    engine.login(registry.name)
    engine.wherry('pull', '-q', f'{registry.name}/busybox').ok()
    flash.freeze()
    engine.kill()
    flash.go_back()
    engine.start()
    assert engine.images() == []
    engine.stop()


def files(name, sizes, source):
    """A layer of files in a directory of that name."""
    return oci.layer(oci.tar([oci.entry(f'{name}/{number}', data=source.randbytes(size))
                              for number, size in enumerate(sizes)]), 'none')


@pytest.mark.machines('vm-32')
def test_power_cuts_in_a_pull_to_ubifs(engine_on, flash, registry, faulty_registry):
    """What was there before stays whole, what was not finished is not visible, and a pull afterwards goes through."""
    engine = engine_on(flash, f'[registry "{faulty_registry.name}"]\nca = {flash.machine.ca}\n').start()
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', busybox).ok()
    randomness = random.Random(5)
    seconds = 4.0
    for number in range(CUTS):
        name = f'{faulty_registry.name}/thing:{number}'
        faulty_registry.add('thing', str(number), oci.image(
            [files(f'{number}-{part}', [3000] * 60 + [700_000] * 2, randomness) for part in range(3)], 'armhf'))
        pull = engine.start_wherry('pull', '-q', name)
        time.sleep(randomness.uniform(0, seconds))
        flash.freeze()
        engine.kill()
        finished = pull.wait(60) == 0
        flash.go_back()
        engine.start()
        engine.wherry('store', 'check').ok()
        assert len(engine.images()) >= 1 + finished
        assert engine.wherry('run', '--rm', '--network', 'none', busybox, 'echo', 'up').ok().out == 'up\n'
        began = time.monotonic()
        engine.wherry('pull', '-q', name, timeout=120).ok()
        seconds = seconds if number else (time.monotonic() - began) * 2
        engine.wherry('store', 'check').ok()
        engine.wherry('rmi', name).ok()
    engine.stop()


def refuses(engine, *said):
    """The daemon ends with one sentence that has these words."""
    engine.launch()
    assert engine.wait() == 1
    lines = engine.log().splitlines()[1:]  # without the process ID
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in (*said, '--root')), lines[0]


@pytest.mark.machines('vm-6.1', 'vm-6.12')
@pytest.mark.parametrize('options', ['loop', 'loop,umask=0'])
def test_vfat_is_refused(engine_on, disk, options):
    engine = engine_on(disk('vfat', options))
    refuses(engine, engine.root, 'FAT')


@pytest.mark.machines('vm-6.1', 'vm-6.12')
@pytest.mark.parametrize('directory', ['data', 'plain'])
def test_casefold_is_refused(engine_on, disk, directory):
    device = disk('casefold')
    engine = engine_on(device)
    engine.root = f'{device.mount}/{directory}'
    refuses(engine, engine.root, 'casefold')


@pytest.mark.machines('host')
def test_overlay_on_overlay(new_engine, machine):
    engine = new_engine('', start=False)
    place = machine.temporary_directory()
    try:
        machine.shell(f'cd {place} && mkdir l u w m && mount -t overlay -o '
                      f'lowerdir={place}/l,upperdir={place}/u,workdir={place}/w overlay m').ok()
        engine.root = f'{place}/m/data'
        refuses(engine, f'{place}/m/data', 'overlay')
    finally:
        machine.shell(f'umount {place}/m')
        machine.remove(place)
