"""Updates when something is in the way: no room, another update, somebody who changes his mind."""

import json

import pytest

from outcome import one_clear_error
from test_updates import SLEEP, Device, device_config

pytestmark = pytest.mark.machines('host-net')


class FullDevice(Device):
    """A device with a small disk."""

    def prepare(self):
        engine = self.engine
        engine.machine.write(f'{engine.dir}/conf.d/store.conf', '[store]\nreserve = 0\n')
        engine.machine.shell(f'mkdir {engine.root} && '
                             f'mount -t tmpfs -o size=12m,mode=711 tmpfs {engine.root}').ok()

    def fill(self):
        """Not a byte is left."""
        self.machine.shell(f'dd if=/dev/zero of={self.engine.root}/ballast bs=4k 2>/dev/null; true')
        assert self.machine.shell(f'df -k {self.engine.root} | tail -1').out.split()[3] == '0'

    def make_room(self):
        self.machine.shell(f'rm {self.engine.root}/ballast').ok()

    def close(self):
        if self.engine.running:
            self.engine.stop()
        self.machine.shell(f'umount -l {self.engine.root}')


@pytest.fixture
def full(new_engine, registry):
    device = FullDevice(new_engine, registry, device_config(registry))
    yield device
    device.close()


@pytest.fixture
def device(new_engine, registry):
    return Device(new_engine, registry, device_config(registry))


def slow(device, name='web'):
    """An app that is in trial until somebody says that it is well."""
    return device.app(name, 'sh', '-c', 'exec sleep 1002', config={'Healthcheck': {
        'Test': ['CMD-SHELL', 'test -e /healthy'], 'Interval': 200_000_000, 'Retries': 1000}})


def await_trial(device):
    """The container of the release in trial, when it runs."""
    def running():
        app, = device.status()['apps']
        return app['state'] == 'running' and app['container']
    return device.machine.wait_for(running, 'the trial does not go on')


def test_disk_full_while_images_are_brought(full):
    assert full.apply(full.release(1, full.app('web', *SLEEP))).code == 0
    full.fill()
    # The release's own document does not fit: it is not taken, and nothing else has changed.
    path = full.release(2, full.app('web', 'sleep', '1002', image=full.image('probe')))
    one_clear_error(full.cli('ota', 'apply', path), 'space')
    assert full.status()['state'] == 'CONFIRMED'
    full.machine.shell(f'truncate -s -65536 {full.engine.root}/ballast').ok()
    full.cli('ota', 'apply', path).ok()
    full.machine.wait_for(lambda: 'space' in full.status()['waiting'], 'nothing is waited for')
    assert full.status()['state'] == 'FETCHING' and full.running() == ['web']
    full.make_room()
    assert full.wait('CONFIRMED')['active']['sequence'] == 2


def test_disk_full_in_trial(full):
    assert full.apply(full.release(1, full.app('web', *SLEEP))).code == 0
    full.cli('ota', 'apply', full.release(2, slow(full))).ok()
    full.wait('TRIAL')
    full.fill()
    full.cli('ota', 'cancel').ok()
    full.machine.wait_for(lambda: full.status()['state'] != 'REVERTING', 'the way back is not gone', 60)
    full.make_room()
    status = full.machine.wait_for(lambda: full.status()['settled'] and full.status(), 'it does not settle', 60)
    assert status['active']['sequence'] == 1 and status['state'] in ('REVERTED', 'BOTH_BAD')
    full.machine.wait_for(lambda: full.running() == ['web'], 'the old release does not run')


def test_disk_full_when_the_device_starts(full):
    engine = full.engine
    assert full.apply(full.release(1, full.app('web', *SLEEP))).code == 0
    full.cli('ota', 'apply', full.release(2, slow(full))).ok()
    full.wait('TRIAL')
    await_trial(full)
    full.fill()
    engine.kill()
    engine.start()
    # The record needs no room: the trial goes on, and is counted.
    full.machine.wait_for(lambda: full.status()['starts'] == 2, 'the start is not counted')
    full.make_room()
    container = await_trial(full)
    full.cli('exec', container, 'touch', '/healthy').ok()
    assert full.wait('CONFIRMED')['active']['sequence'] == 2


def test_two_updates_at_once(device):
    first = device.app('web', *SLEEP, image=f'127.0.0.1:1/busybox@sha256:{"0" * 64}')
    device.cli('ota', 'apply', '--deployment', 'stuck', device.release(1, first)).ok()
    # One that is not yet in trial gives way to a newer one, and to none that is older.
    assert device.apply(device.release(3, device.app('web', *SLEEP)), '--deployment', 'newer').code == 0
    fourth = device.release(4, slow(device))
    device.cli('ota', 'apply', '--deployment', 'trial', fourth).ok()
    device.wait('TRIAL')
    fifth = device.release(5, device.app('web', 'sleep', '1005'))
    one_clear_error(device.cli('ota', 'apply', fifth), 'is in TRIAL: wait for its end, or cancel it')
    same = device.cli('ota', 'apply', '--deployment', 'trial', fifth)
    one_clear_error(same, 'deployment trial is here already, with another release')
    device.cli('ota', 'apply', '--deployment', 'trial', fourth).ok()
    device.machine.wait_for(lambda: device.cli('ota', 'confirm').code == 0, 'its app does not run')
    assert device.wait('CONFIRMED')['active']['sequence'] == 4
    assert device.apply(fifth).code == 0


def test_cancel_in_each_state(device):
    one_clear_error(device.cli('ota', 'cancel'), 'no update is in progress: the state is NONE')
    stuck = device.app('web', *SLEEP, image=f'127.0.0.1:1/busybox@sha256:{"0" * 64}')
    device.cli('ota', 'apply', device.release(1, stuck)).ok()
    device.wait('FETCHING')
    device.cli('ota', 'cancel').ok()
    assert device.wait('CANCELED')['active'] is None
    assert device.apply(device.release(2, device.app('web', *SLEEP))).code == 0
    one_clear_error(device.cli('ota', 'cancel'), 'the state is CONFIRMED')
    device.cli('ota', 'apply', device.release(3, slow(device))).ok()
    device.wait('TRIAL')
    device.cli('ota', 'cancel').ok()
    status = device.wait('REVERTED')
    assert status['active']['sequence'] == 2 and status['code'] == 'E_REQUESTED'
    one_clear_error(device.cli('ota', 'cancel'), 'the state is REVERTED')
    assert device.running() == ['web']


def test_evidence_of_many_words_is_bounded(device):
    loud = 'while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done | ' \
           'head -c 3000000; exit 3'
    apps = [device.app(f'web{i}', 'sh', '-c', loud, restart='no') for i in range(3)]
    assert device.apply(device.release(1, *apps)).code == 1
    evidence = json.loads(device.cli('ota', 'evidence').ok().out)
    assert len(json.dumps(evidence)) < 32 << 10
    assert any('0123456789' in app['log'] for app in evidence['apps'])
