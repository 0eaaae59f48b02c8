"""A store of many objects: memory does not grow with it, and starts do not look at it."""

import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'bench'))
# pylint: disable=wrong-import-position
import big_store
from storage import Device

pytestmark = pytest.mark.machines('host')

IMAGES, TAGS, OBJECTS = 12, 20, 12_000
INODES = OBJECTS * 256  # bytes of them on ext4: what a start would read that looks at each
PEAK = 12 << 20


@pytest.fixture
def engine(new_engine, machine):
    device = Device(machine, 400 << 20, '-N 40000')
    one = new_engine('', start=False)
    one.root = f'{device.mount}/data'
    one.device = device
    yield one.start()
    one.close()
    device.close()


def peak(engine):
    status = engine.machine.read(f'/proc/{engine.pid}/status').decode()
    return int(status.split('VmHWM:')[1].split()[0]) * 1024


def boot(engine):
    """Starts the daemon with nothing in memory."""
    engine.machine.shell(f'rm -rf {engine.rundir} && umount {engine.device.mount} && '
                         f'mount {engine.device.loop} {engine.device.mount}').ok()
    engine.start()


def bytes_read(engine):
    """By the daemon from the disk."""
    text = engine.machine.read(f'/proc/{engine.pid}/io').decode()
    return int(text.split('\nread_bytes:')[1].split()[0])


def test_many_objects(engine):
    big_store.fill(engine, engine.machine.arch, IMAGES, TAGS, OBJECTS)
    assert len(engine.images()) == IMAGES
    engine.wherry('system', 'df').ok()
    assert '0 damaged' in engine.wherry('store', 'check').ok().out
    engine.wherry('rmi', big_store.image_name(0), 'localhost/scale/0:2').ok()
    assert peak(engine) < PEAK
    engine.stop()
    boot(engine)
    time.sleep(1)  # for what it does by itself
    assert bytes_read(engine) < INODES / 4
    assert peak(engine) < 6 << 20
    # After a cut of the power each is looked at, in the background.
    engine.kill()
    engine.machine.remove(f'{engine.root}/store/clean')
    boot(engine)
    engine.machine.wait_for(lambda: engine.machine.exists(f'{engine.root}/store/clean'), 'no check')
    assert bytes_read(engine) > INODES / 2
    engine.wherry('image', 'prune', '-af').ok()
    left = engine.machine.shell(f'find {engine.root}/store/obj -type f | wc -l').ok().out
    assert int(left) == 0
    assert peak(engine) < PEAK
