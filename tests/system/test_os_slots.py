"""Operating systems in two slots, with Debian's U-Boot: tried together with the apps, committed or fallen back together.

WHERRY_KILLS=50 ./dev test tests/system/test_os_slots.py pulls the plug that often and tries each bad slot; without it the
plug is pulled once, and one slot is bad: an emulated machine takes half a minute for each.
"""

import json
import os
import random
import subprocess
import time

import pytest

from harness import oci, paths
from harness import registry as registries
from images import reference
from vm import board, slots

pytestmark = pytest.mark.vm
HOST = '10.0.2.2'
AT_REST = ('CONFIRMED', 'REVERTED', 'REJECTED', 'BOTH_BAD')
KILLS = int(os.environ.get('WHERRY_KILLS', '1'))
FAULTS = ('panic', 'hang', 'root') if KILLS > 1 else ('panic',)


class Maker:
    """Signs releases and puts their images into a registry."""

    def __init__(self, directory):
        self.dir = directory
        self.registry = registries.Registry()
        self.client = self.registry.client()
        self.client.push('busybox', 'latest', reference.load('busybox')['latest'])
        self.wherry('release', 'keygen', directory / 'maker')

    @staticmethod
    def wherry(*args):
        subprocess.run([paths.build_dir('host') / 'wherry', *map(str, args)], check=True, stdout=subprocess.DEVNULL)

    def system(self, version, fault=None):
        """An operating system in the registry: the `os` of a release."""
        image = self.dir / f'os-{version}'
        slots.make_image(image, paths.build_dir('aarch64'), version, fault)
        data = image.read_bytes()
        layer = oci.Blob('application/vnd.wherry.os+gzip', oci.gzip.compress(data, 1))
        manifest = oci.manifest(oci.Blob('application/vnd.oci.empty.v1+json', b'{}'), [layer])
        self.client.push('os', str(version), manifest)
        return {'version': str(version), 'image': f'{HOST}:{self.registry.port}/os@{manifest.digest}',
                'size': len(data), 'sha256': oci.digest_of(data).removeprefix('sha256:')}

    def release(self, sequence, system=None, script='exec sleep 100000'):
        """The file of a signed release with one app, which prints the number of the release."""
        name = self.dir / f'release-{sequence}'
        digest = reference.load('busybox')['latest'].digest
        document = {'name': 'gateway', 'seq': sequence,
                    'apps': [{'name': 'app', 'image': f'{HOST}:{self.registry.port}/busybox@{digest}',
                              'config': {'Cmd': ['sh', '-c', f'echo release {sequence}; {script}'], 'StopTimeout': 1,
                                         'HostConfig': {'NetworkMode': 'none'}}}],
                    'trial': {'soak_s': 2, 'deadline_s': 120, 'starts': 3}}
        if system:
            document['os'] = system
        name.with_suffix('.json').write_text(json.dumps(document), encoding='utf-8')
        self.wherry('release', 'create', '-o', name.with_suffix('.full'), name.with_suffix('.json'))
        self.wherry('release', 'sign', '--key', self.dir / 'maker.key', '-o', name, name.with_suffix('.full'))
        return name

    def configuration(self):
        return f'''[board]
slots = uboot
slot-a = /dev/vda3
slot-b = /dev/vda4
environment = /var/lib/wherry/fw_env.config
watchdog = /dev/watchdog
watchdog-timeout = 30s
[updates]
keys = /var/lib/wherry/keys
[registry "{HOST}:{self.registry.port}"]
insecure = true
'''


class Device:
    """A board, and what is asked of it."""

    def __init__(self, disk):
        self.board = board.Board(disk)

    def __enter__(self):
        self.board.start()
        return self

    def __exit__(self, *_):
        self.board.__exit__()

    def apply(self, sequence):
        self.board.run('for i in $(seq 60); do [ -e /run/wherry/wherry.sock ] || sleep 0.5; done', patience=60).ok()
        self.board.run(f'wherry ota apply --deployment d{sequence} /var/lib/wherry/release-{sequence}').ok()

    def rest(self, deployment, timeout=400):
        """Waits until this deployment has come to its end; the status."""
        deadline = time.monotonic() + timeout
        status = None
        while time.monotonic() < deadline:
            answer = self.board.run('wherry ota status --format json')
            status = json.loads(answer.out) if answer.code == 0 else status
            if answer.code == 0 and status['settled'] and status['deployment'] == deployment and \
                    status['state'] in AT_REST:
                return status
            time.sleep(0.5)
        raise AssertionError(f'not at rest: {status}\n{self.board.console()[-3000:]}')

    def whole(self):
        """(release, slot, version of the operating system, what the app says) of what runs."""
        status = json.loads(self.board.run('wherry ota status --format json').ok().out)
        app = self.board.run(f'wherry logs --tail 1 {status["apps"][0]["container"]}; cat /etc/os-version').ok().out
        said, version = app.split('\n')[:2]
        return status['active']['sequence'], status['slot'], int(version), said


OLD = (1, 'A', 1, 'release 1')


@pytest.fixture(scope='module')
def maker(tmp_path_factory):
    maker = Maker(tmp_path_factory.mktemp('os'))
    yield maker
    maker.registry.close()


@pytest.fixture(scope='module')
def releases(maker):
    """Signed releases by number: 1 without a system, 2 with a good one, the others with bad ones."""
    systems = {2: maker.system(2), **{3 + i: maker.system(3 + i, fault) for i, fault in enumerate(FAULTS)}}
    made = {1: maker.release(1), **{number: maker.release(number, system) for number, system in systems.items()}}
    made[6] = maker.release(6, systems[2], script='exit 3')
    return made


@pytest.fixture(scope='module')
def disk(maker, releases):
    """A device with release 1, in slot A."""
    fresh = maker.dir / 'fresh'
    slot_a = maker.dir / 'os-1'
    slots.make_image(slot_a, paths.build_dir('aarch64'), 1)
    slots.make_disk(fresh, slot_a, {
        'wherry.conf': maker.configuration().encode(), 'now': str(int(time.time())).encode(),
        'fw_env.config': slots.environment_config('/dev/vda2', 0).encode(),
        'keys/maker.pub': (maker.dir / 'maker.pub').read_bytes(),
        **{path.name: path.read_bytes() for path in releases.values()}})
    with Device(fresh) as device:
        device.apply(1)
        assert device.rest('d1')['state'] == 'CONFIRMED'
        assert device.whole() == OLD
        device.board.run('sync').ok()
        device.board.pull_plug()
        prepared = maker.dir / 'prepared'
        subprocess.run(['cp', '--sparse=always', device.board.disk, prepared], check=True)
    return prepared


@pytest.mark.parametrize('kernel', ['vm-6.12'])
def test_update_and_rollback(disk, kernel):
    with Device(disk) as device:
        device.apply(2)
        assert device.rest('d2')['state'] == 'CONFIRMED'
        assert device.whole() == (2, 'B', 2, 'release 2')
        assert device.board.environment() == {'BOOT_ORDER': 'B A', 'BOOT_A_LEFT': '3', 'BOOT_B_LEFT': '3'}
        device.board.pull_plug()
        device.board.start()
        assert device.rest('d2')['state'] == 'CONFIRMED'
        assert device.whole() == (2, 'B', 2, 'release 2')
        device.board.run('wherry ota rollback').ok()
        assert device.rest('d2')['state'] == 'REVERTED'
        assert device.whole() == OLD
        assert device.board.environment()['BOOT_ORDER'] == 'A B'
        assert device.board.boots() == 'ABBA'


@pytest.mark.parametrize('number', [pytest.param(3 + i, id=f'vm-6.12-{fault}') for i, fault in enumerate(FAULTS)])
def test_bad_slot_falls_back(disk, number):
    with Device(disk) as device:
        device.apply(number)
        status = device.rest(f'd{number}')
        assert (status['state'], status['code']) == ('REVERTED', 'E_FELL_BACK'), status
        assert 'came back on slot A' in status['reason']
        assert device.whole() == OLD
        environment = device.board.environment()
        assert (environment['BOOT_ORDER'], environment['BOOT_B_LEFT']) == ('A B', '0')
        assert device.board.boots() == 'ABA'


@pytest.mark.parametrize('kernel', ['vm-6.12'])
def test_apps_that_fail_bring_the_old_slot_back(disk, kernel):
    with Device(disk) as device:
        device.apply(6)
        status = device.rest('d6')
        assert (status['state'], status['code']) == ('REVERTED', 'E_HEALTH'), status
        assert device.whole() == OLD
        assert device.board.boots() == 'ABA'


@pytest.mark.parametrize('kernel', ['vm-6.12'])
def test_plug_is_pulled(disk, kernel):
    """At random times of an update: apps and operating system are the old ones or the new ones, together."""
    seed = int(time.time())
    print(f'seed {seed}')
    randomness = random.Random(seed)
    outcomes = []
    for _ in range(KILLS):
        with Device(disk) as device:
            device.rest('d1')
            device.apply(2)
            time.sleep(randomness.uniform(0, 45))
            device.board.pull_plug()
            device.board.start()
            status = device.rest('d2')
            seen = device.whole()
            assert seen in (OLD, (2, 'B', 2, 'release 2')), (seed, status, seen, device.board.console()[-3000:])
            outcomes.append((status['state'], device.board.boots()))
    print(f'{KILLS} kills, 0 failures: {outcomes}')
