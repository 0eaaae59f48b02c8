"""Objects whose content the kernel checks whenever it is read."""

import gzip
import pathlib
import random
import subprocess
import tempfile

import pytest

from disks import Disk
from harness import oci
from test_layers_hostile import add_image


def flip(machine, disk, path):
    """Changes one byte of a file behind the back of the file system."""
    disk.unplug()
    packed = machine.run(['gzip', '-1', '-c', disk.image]).ok().raw_out
    with tempfile.TemporaryDirectory() as scratch:
        image = pathlib.Path(scratch, 'image')
        image.write_bytes(gzip.decompress(packed))
        blocks = subprocess.run(['debugfs', '-R', f'bmap {path} 3', str(image)], check=True, capture_output=True,
                                text=True).stdout
        size = subprocess.run(['debugfs', '-R', 'stats', str(image)], check=True, capture_output=True,
                              text=True).stdout
        block_size = int(next(line for line in size.splitlines() if line.startswith('Block size:')).split()[-1])
        content = bytearray(image.read_bytes())
        content[int(blocks) * block_size + 7] ^= 1
        machine.run(['sh', '-c', 'gunzip -c >"$1"', 'sh', disk.image], input=gzip.compress(bytes(content), 1)).ok()
    disk.plug()


@pytest.mark.machines('vm-6.12')
def test_a_flipped_bit_is_an_error_and_repaired(machine, new_engine, faulty_registry):
    machine.reach(faulty_registry.port)
    disk = Disk(machine, 'ext4 with verity')
    engine = new_engine(new_engine.trust(faulty_registry.name) + '[store]\nfs-verity = require\n', start=False)
    try:
        engine.root = f'{disk.mount}/data'
        engine.start()
        assert 'fs-verity: on' in engine.wherry('info').ok().out
        known = random.Random(1).randbytes(200_000)
        image = add_image(engine, faulty_registry, oci.tar([oci.entry('known', data=known)]))
        engine.wherry('pull', '-q', image).ok()
        read = ['run', '--rm', '--network', 'none', image, 'cat', '/known']
        assert engine.wherry(*read).ok().raw_out == known
        engine.stop()
        digest = oci.digest_of(known).split(':')[1]
        flip(machine, disk, f'/data/store/obj/{digest[0]}/{digest[1:]}')
        engine.start()
        damaged = engine.wherry(*read)
        assert damaged.code == 1 and 'Input/output error' in damaged.err
        assert damaged.raw_out == known[:len(damaged.raw_out)]  # nothing that is wrong
        found = engine.wherry('store', 'check')
        assert found.code == 1 and f'obj/{digest[0]}/{digest[1:]}: ' in found.out
        engine.wherry('store', 'check', '--repair').ok()
        assert engine.wherry(*read).ok().raw_out == known
        engine.stop()
    finally:
        engine.close()
        disk.close()


@pytest.mark.machines('host')
def test_where_there_is_none(new_engine):
    engine = new_engine('[store]\nfs-verity = require\n', start=False)
    engine.launch()
    assert engine.wait() == 1
    for word in ('fs-verity does not work', 'CONFIG_FS_VERITY', 'fs-verity = off'):
        assert word in engine.log()
    assert 'fs-verity: off' in new_engine('[store]\nfs-verity = auto\n').wherry('info').ok().out
