"""A container that works on a slow disk, while an image is pulled onto it."""

import json
import os
import pathlib
import random
import subprocess
import time

import pytest

from engine import Engine, REGISTRY
from harness import oci, paths
from harness import registry as registries
from harness.machine import VmMachine
from images import reference
from vm.vm import HOST, Vm

DISK_RATE = 500_000    # bytes a second
SIZE = 5_000_000       # of an image
SECONDS = 4            # that the container has for itself
# A device writes back when a share of its memory is dirty, much less than a usual image. The same for a small one.
DIRTY = 'echo 262144 >/proc/sys/vm/dirty_background_bytes; echo 524288 >/proc/sys/vm/dirty_bytes'
# As a database does: each write has to be on the disk before the next.
WORK = 'i=0; while :; do dd if=/dev/zero of=/data/file bs=16k count=1 conv=fsync 2>/dev/null; i=$((i+1)); echo $i >/count/n; done'


def image(name):
    source = random.Random(name)
    files = [oci.entry(f'{name}/{number}', data=source.randbytes(200_000)) for number in range(SIZE // 200_000)]
    return oci.image([oci.layer(oci.tar(files), 'none')], 'arm64')


class Slow:
    """A machine with pressure stall information whose store is on a slow disk, and a container there."""

    def __init__(self, scratch, kernel):
        self.registry = registries.Registry()
        client = self.registry.client()
        client.push('busybox', 'latest', reference.load('busybox')['latest'])
        for name in ('gentle', 'hasty'):
            client.push('big', name, image(name))
        self.name = f'{REGISTRY}:{self.registry.port}'
        disk = scratch / 'disk'
        subprocess.run(['mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk, '200M'], check=True,
                       stdout=subprocess.DEVNULL)
        self.vm = Vm(kernel=kernel, memory=384, disk=0, append='psi=1', binaries=paths.build_dir('aarch64'),
                     files={'etc/hosts': (f'127.0.0.1 localhost\n{HOST} {REGISTRY}\n', 0o644)},
                     devices=['-drive', f'file={disk},format=raw,if=none,id=slow,cache=unsafe,'
                              f'throttling.bps-write={DISK_RATE}',
                              '-device', 'virtio-blk-pci,drive=slow'])
        self.vm.start()
        self.machine = VmMachine(self.vm)
        self.machine.shell('mkdir -p /var/lib/wherry /run/count && mount -o noatime /dev/vdb /var/lib/wherry && '
                           f'mkdir /var/lib/wherry/work && {DIRTY}').ok()
        self.engine = Engine(self.machine, '', self.machine.program('wherry'))

    def configure(self, gentle):
        self.engine.stop()
        self.machine.write(self.engine.config, f'[registry "{self.name}"]\ninsecure = true\n'
                                               f'[store]\ngentle = {json.dumps(gentle)}\n')
        self.engine.start()

    def writes(self):
        # Empty for a moment with each of them.
        return int(self.machine.wait_for(lambda: self.machine.read('/run/count/n').strip(), 'the container does not write'))

    def rate(self, action):
        """Writes of the container in a second, while something is done; and how long that takes."""
        before, began = self.writes(), time.monotonic()
        action()
        took = time.monotonic() - began
        return (self.writes() - before) / took, took

    def close(self):
        self.engine.close()
        self.vm.stop()
        self.registry.close()


@pytest.fixture(params=[pytest.param('6.12', id='vm-6.12')])
def slow(request, tmp_path):
    made = Slow(tmp_path, request.param)
    yield made
    made.close()


@pytest.mark.vm
def test_a_gentle_pull_leaves_the_disk_to_the_container(slow):
    engine = slow.engine
    engine.start()
    slow.configure(True)
    engine.wherry('run', '-d', '--network', 'none', '-v', '/var/lib/wherry/work:/data', '-v', '/run/count:/count',
                  f'{slow.name}/busybox', 'sh', '-c', WORK).ok()
    slow.machine.wait_for(lambda: slow.machine.exists('/run/count/n'), 'the container does not start')
    found = {'alone': slow.rate(lambda: time.sleep(SECONDS))}
    for name, gentle in (('hasty', False), ('gentle', True)):
        slow.configure(gentle)
        found[name] = slow.rate(lambda name=name: engine.wherry('pull', '-q', f'{slow.name}/big:{name}', timeout=300).ok())
    print({name: f'{rate:.1f} writes/s in {took:.1f} s' for name, (rate, took) in found.items()})
    assert found['gentle'][0] > 1.25 * found['hasty'][0], found
