"""Pulls that go on inside a layer after the daemon was killed or the power was cut."""

import pathlib
import random
import re
import time

import pytest

from disks import Disk
from harness import faulty, oci

pytestmark = pytest.mark.machines('host')


def make_image(arch):
    """One layer of about 20 MB, compressed; small files, and large ones."""
    numbers = random.Random(1)
    entries = [oci.entry(f'f{i}', data=numbers.randbytes(100 * i + 1).hex().encode()) for i in range(300)]
    entries += [oci.entry(f'large{i}', data=numbers.randbytes(5_000_000).hex().encode()) for i in range(3)]
    return oci.image([oci.layer(oci.tar(entries))], arch)


@pytest.fixture(name='shop')
def _shop(machine, new_engine, faulty_registry):
    """A registry with the image, an engine, and what both say."""
    return Shop(machine, new_engine, faulty_registry)


class Shop:
    def __init__(self, machine, new_engine, server):
        self.machine = machine
        self.server = server
        self.image = make_image(machine.arch)
        self.blob = max(self.image.all(), key=lambda blob: len(blob.data))
        server.add('thing', 'latest', self.image)
        self.name = f'{server.name}/thing'
        self.engine = new_engine(new_engine.trust(server.name) + '[registries]\nretries = 1\n')
        self.path = f'GET /v2/thing/blobs/{self.blob.digest}'

    def cut_and_kill(self, share=0.9, at_the_cut=lambda: None):
        """Lets that share of the layer through, and kills the daemon."""
        self.server.fault(self.path, faulty.stall(int(len(self.blob.data) * share), 60), times=1)
        pull = self.engine.start_wherry('pull', self.name)
        deadline = time.monotonic() + 30
        while not self.synced() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.synced(), 'no checkpoint was made'
        at_the_cut()
        self.engine.kill()
        pull.wait(30)
        self.server.requests.clear()

    def resume_dir(self):
        return pathlib.Path(self.machine.seen_from_outside(f'{self.engine.root}/store/resume'))

    def synced(self):
        return list(self.resume_dir().glob('*/*/checkpoint.2'))

    def served(self):
        """Bytes of the layer that were asked for."""
        total = 0
        for request in self.server.seen(re.escape(self.path)):
            start = re.fullmatch(r'bytes=(\d+)-', request.headers.get('Range', 'bytes=0-'))
            total += len(self.blob.data) - int(start[1])
        return total

    def assert_pulled(self):
        self.engine.wherry('pull', self.name, timeout=120).ok()
        assert not list(self.resume_dir().iterdir())
        self.engine.wherry('store', 'check', timeout=120).ok()


def test_killed_daemon_goes_on(shop):
    shop.cut_and_kill()
    shop.engine.start()
    assert shop.engine.images() == []
    shop.assert_pulled()
    assert 0 < shop.served() <= 0.12 * len(shop.blob.data)


@pytest.mark.parametrize('kind', ['ext4', 'btrfs'])
def test_cut_power_goes_on(machine, shop, kind):
    """What the device has two seconds after the connection fell silent is enough."""
    disk = Disk(machine, kind)
    try:
        shop.engine.stop()
        shop.engine.root = f'{disk.mount}/data'
        shop.engine.start()

        def cut():
            time.sleep(2)  # the sync of the checkpoint
            disk.freeze()
        shop.cut_and_kill(at_the_cut=cut)
        disk.go_back()
        machine.remove(f'{shop.engine.rundir}')
        shop.engine.start()
        assert shop.engine.images() == []
        shop.assert_pulled()
        assert 0 < shop.served() <= 0.12 * len(shop.blob.data)
        shop.engine.stop()
    finally:
        disk.close()


def test_damaged_checkpoint_costs_the_saving(shop):
    shop.cut_and_kill()
    for path in shop.resume_dir().glob('*/*/checkpoint.*'):
        path.write_bytes(path.read_bytes()[:1000])
    shop.engine.start()
    shop.assert_pulled()
    assert shop.served() == len(shop.blob.data)
    told = [line for line in shop.engine.log().splitlines() if 'is fetched from its start' in line]
    assert len(told) == 1 and 'damaged' in told[0], shop.engine.log()


def test_registry_without_ranges(shop):
    shop.cut_and_kill()
    shop.server.fault(shop.path, faulty.no_range())
    shop.engine.start()
    shop.assert_pulled()


def test_prune_removes_what_is_left(shop):
    shop.cut_and_kill()
    shop.engine.start()
    shop.engine.wherry('image', 'prune', '--force').ok()
    assert not list(shop.resume_dir().iterdir())
    left = [path for path in shop.engine.store_files() if re.search('/(layer|obj/.|img|txn|resume)/', path)]
    assert left == []
