"""The fleet tool with a device on a broker with mutual TLS."""

import json

import pytest

from engine import REGISTRY
from test_bundle import pushed
from test_fleet import FleetDevice, broker, control, device  # pylint: disable=unused-import
from test_updates import SLEEP, device_config

pytestmark = pytest.mark.machines('host-net')


class Office:
    """The tool on the device's machine, with a certificate and keys of its own."""

    def __init__(self, device, broker, authority):  # pylint: disable=redefined-outer-name
        self.device, self.dir = device, device.machine.temporary_directory()
        certificate, key = authority.issue('control', [], client=True)
        for name, path in (('control.crt', certificate), ('control.key', key)):
            device.machine.write(f'{self.dir}/{name}', path.read_text(), 0o600)
        self.config = f'''[mqtt]
broker = mqtts://{REGISTRY}:{broker.port}
tenant = test
ca = {device.machine.ca}
certificate = {self.dir}/control.crt
key = {self.dir}/control.key
rollout-key = {device.engine.dir}/opener.key
'''
        self.write(self.config)

    def write(self, text):
        self.device.machine.write(f'{self.dir}/fleet.conf', text)

    def fleet(self, command, *words):
        return self.device.cli('fleet', command, '--config', f'{self.dir}/fleet.conf', *words)

    def seen(self, check):
        def reported():
            devices = json.loads(self.fleet('devices', '--format', 'json').ok().out)
            return devices and check(devices[0]) and devices[0]
        return self.device.machine.wait_for(reported, 'the device does not report it', 40, 0.3)


@pytest.fixture
def office(device, broker, authority):  # pylint: disable=redefined-outer-name
    return Office(device, broker, authority)


def test_assign_and_roll_back(device, office):  # pylint: disable=redefined-outer-name
    office.seen(lambda seen: seen['connected'] and seen['groups'] == ['gateways'] and seen['state'] == 'NONE')
    for sequence in (1, 2):
        path = device.release(sequence, device.app('web', 'sleep', f'100{sequence}'))
        office.fleet('assign', path, '--group', 'gateways').ok()
        office.seen(lambda seen, s=sequence: seen['state'] == 'CONFIRMED' and seen['release'] == f'gateway {s}')
    table = office.fleet('devices').ok().out.splitlines()
    assert table[0].split() == ['DEVICE', 'CONNECTED', 'GROUPS', 'RELEASE', 'STATE', 'DEPLOYMENT', 'REASON']
    assert table[1].split() == ['device-1', 'yes', 'gateways', 'gateway', '2', 'CONFIRMED', 'gateway-2']
    assert 'goes back' in office.fleet('rollback', '--group', 'gateways').ok().out
    back = office.seen(lambda seen: seen['state'] == 'REVERTED' and seen['release'] == 'gateway 1')
    assert back['code'] == 'E_REQUESTED'
    assert office.fleet('devices', '--group', 'others').ok().out.count('\n') == 1


def test_release_that_is_too_large_for_the_broker(device, office):  # pylint: disable=redefined-outer-name
    """It is in a registry, and the broker says where. A registry that is away is waited for."""
    engine = device.engine
    device.machine.run(['mkdir', '-p', engine.credentials]).ok()
    device.machine.write(f'{engine.credentials}/config.json', device_config(device.registry), 0o600)
    large = device.app('web', *SLEEP, config={'Env': ['LARGE=' + 'x' * 40000]})
    path = device.release(1, large)
    office.seen(lambda seen: seen['connected'])
    office.fleet('assign', path, '--group', 'gateways').fails(1, 'wherry release push')
    missing = f'{device.registry.name}/releases/gateway@sha256:{"0" * 64}'
    office.fleet('assign', path, '--group', 'gateways', '--from', missing, '--dep', 'missing').ok()
    device.machine.wait_for(lambda: 'fleet: deployment missing: ' in engine.log(), 'it is not looked for', 20)
    office.fleet('assign', path, '--group', 'gateways', '--from', 'releases:latest').fails(1, 'has no digest')
    office.fleet('assign', path, '--group', 'gateways', '--from', pushed(device, path)).ok()
    office.seen(lambda seen: seen['state'] == 'CONFIRMED' and seen['release'] == 'gateway 1')


def test_rollout_of_a_bad_release(device, office):  # pylint: disable=redefined-outer-name
    office.seen(lambda seen: seen['connected'])
    good = device.release(1, device.app('web', *SLEEP))
    done = office.fleet('rollout', good, '--group', 'gateways', '--waves', '1,1000', '--min', '1').ok().out
    assert 'gateway-1 done, wave 2 of 2 (1000 of 1000): 1 of 1 devices; confirmed 1' in done
    bad = device.release(2, device.app('web', 'sh', '-c', 'exit 3'))
    aborted = office.fleet('rollout', bad, '--group', 'gateways', '--min', '1').fails(1)
    assert 'device-1 failed: E_HEALTH app web' in aborted.out and 'gateway-2 aborted' in aborted.out
    watched = office.fleet('watch', '--group', 'gateways', '--format', 'json').fails(1)
    document = json.loads(watched.out)
    assert document['state'] == 'aborted' and document['counts']['failed'] == 1
    seen = office.seen(lambda seen: seen['state'] == 'REVERTED')
    assert seen['release'] == 'gateway 1' and seen['code'] == 'E_HEALTH'


def test_refusals(device, office):  # pylint: disable=redefined-outer-name
    engine = device.engine
    path = device.release(1, device.app('web', *SLEEP))
    group = ('--group', 'gateways')
    office.fleet('assign', path).fails(1, 'which devices')
    office.fleet('assign', f'{path}.json', *group).fails(1, 'no signed document')
    office.fleet('assign', path, '--group', 'a/b').fails(1, 'must be 1 to 64')
    office.fleet('rollout', path, *group, '--waves', '200,100').fails(1, 'rising numbers from 1 to 1000')
    office.fleet('rollout', path, *group, '--waves', '10,2000').fails(1, 'rising numbers from 1 to 1000')
    office.fleet('pause', *group).fails(1, 'group gateways has no rollout')
    office.fleet('rollback', *group).fails(1, 'nothing is assigned to group gateways')
    office.fleet('steer').fails(1, 'unknown command steer')
    office.fleet('devices', '--tenant', 'a b').fails(1, 'tenant: must be')
    # A key the devices do not trust: refused by each, told by each.
    device.cli('release', 'keygen', f'{engine.dir}/foreign').ok()
    office.fleet('rollout', path, *group, '--rollout-key', f'{engine.dir}/opener.pub').fails(1, 'may be read by others')
    office.fleet('assign', path, *group, '--rollout-key', f'{engine.dir}/foreign.key').ok()
    device.machine.wait_for(lambda: 'signed by no key this device trusts for rollouts' in engine.log(),
                            'a foreign key is not refused', 20)
    # What the broker refuses comes at once, with its reason.
    office.write(office.config.replace('control.crt', 'nothing.crt'))
    office.fleet('devices').fails(1, 'nothing.crt')
    office.write(office.config.replace('[mqtt]', '[broker]'))
    office.fleet('devices').fails(1, r'fleet.conf:2: broker in \[broker\] is not known')
    office.write('')
    office.fleet('devices').fails(1, 'no broker')
