"""A device on a broker: what is wanted, what is told, what is asked."""

import base64
import json
import signal
import subprocess

import pytest

from engine import REGISTRY
from harness import broker as brokers
from test_updates import BOTH, SLEEP, Device, device_config

pytestmark = pytest.mark.machines('host-net')

PREFIX = 'wherry/1/test/device-1'
GROUP = 'wherry/1/test/g/gateways/desired'


@pytest.fixture
def broker(authority, server_certificate):
    server = brokers.Broker(authority, *server_certificate)
    yield server
    server.close()


@pytest.fixture
def control(broker):
    client = broker.client('control')
    yield client
    client.close()


class FleetDevice(Device):
    """A device that is on the broker as device-1."""

    def __init__(self, new_engine, registry, broker, authority):
        self.broker = broker
        self.counter = 0
        certificate, key = authority.issue('device-1', [], client=True)
        self.files = {'device.crt': certificate.read_text(), 'device.key': key.read_text()}
        super().__init__(new_engine, registry, device_config(registry))

    def prepare(self):
        engine, machine = self.engine, self.machine
        if hasattr(machine, 'reach'):
            machine.reach(self.broker.port)
        for name, text in self.files.items():
            machine.write(f'{engine.dir}/{name}', text, 0o600)
        machine.write(f'{engine.dir}/conf.d/mqtt.conf', f'''[mqtt]
broker = mqtts://{REGISTRY}:{self.broker.port}
tenant = test
device = device-1
groups = gateways
ca = {machine.ca}
certificate = {engine.dir}/device.crt
key = {engine.dir}/device.key
rollout-keys = {engine.dir}/rollout
report-period = 1s
''')
        self.cli('release', 'keygen', f'{engine.dir}/opener').ok()
        machine.shell(f'mkdir {engine.dir}/rollout; cp {engine.dir}/opener.pub {engine.dir}/rollout/').ok()

    def sign(self, kind, document, key='opener'):
        """An envelope as fleet tools make it, by openssl."""
        payload = json.dumps(document).encode()
        kind = f'application/vnd.wherry.{kind}.v1+json'
        message = b'DSSEv1 %d %s %d %s' % (len(kind), kind.encode(), len(payload), payload)
        pem = self.machine.shell(f'cat {self.engine.dir}/{key}.key').ok().out
        place = self.broker.dir / 'signing.key'
        place.write_text(pem, encoding='utf-8')
        signature = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', str(place)], input=message,
                                   check=True, capture_output=True).stdout
        return json.dumps({'payloadType': kind, 'payload': base64.b64encode(payload).decode(),
                           'signatures': [{'keyid': '', 'sig': base64.b64encode(signature).decode()}]})

    def want(self, deployment, path=None, key='opener', **more):
        self.counter += 1
        document = {'v': 1, 'dep': deployment, 'rseq': self.counter, **more}
        if path:
            document['release'] = json.loads(self.machine.shell(f'cat {path}').ok().out)
        return self.sign('desired', document, key)

    def events(self, control, deployment):
        return control.of(f'/dep/{deployment}')

    def await_event(self, control, deployment, state):
        def came():
            return [e for e in self.events(control, deployment) if e['st'] == state]
        return self.machine.wait_for(came, f'{deployment} is not {state}', 40)[0]


@pytest.fixture
def device(new_engine, registry, broker, authority):
    return FleetDevice(new_engine, registry, broker, authority)


def wait_reported(device, control, check):
    def reported():
        states = control.of('/reported')
        return states and check(states[-1]) and states[-1]
    return device.machine.wait_for(reported, 'the state is not reported', 40)


@BOTH
def test_release_for_a_group(device, control):
    device.machine.wait_for(lambda: control.of('/conn'), 'the device does not connect', 40)
    assert control.of('/conn')[-1]['s'] == 1
    path = device.release(1, device.app('web', *SLEEP))
    control.publish(GROUP, device.want('d1', path), retain=True)
    device.await_event(control, 'd1', 'CONFIRMED')
    states = [event['st'] for event in device.events(control, 'd1')]
    assert states == ['FETCHING', 'VERIFIED', 'TRIAL', 'CONFIRMED']
    numbers = [event['n'] for event in device.events(control, 'd1')]
    assert numbers == sorted(set(numbers))
    state = wait_reported(device, control, lambda s: s['state'] == 'CONFIRMED')
    assert state['active']['sequence'] == 1 and state['apps'][0]['state'] == 'running'


def test_gate_hold_and_revoke(device, control):
    path = device.release(1, device.app('web', *SLEEP, checks=[{'tcp': 9}]))
    control.publish(GROUP, device.want('d1', path, gate=0), retain=True)
    control.publish(GROUP, device.want('d1', path, hold=True), retain=True)
    control.publish(f'{PREFIX}/req/state.get', '{}', response=f'{PREFIX}/res/t', correlation='1')
    device.machine.wait_for(lambda: control.of('/res/t'), 'no answer', 20)
    assert device.status()['state'] == 'NONE'
    control.publish(GROUP, device.want('d1', path, gate=1000), retain=True)
    device.await_event(control, 'd1', 'TRIAL')
    control.publish(GROUP, device.want('d1', revoke=True), retain=True)
    end = device.await_event(control, 'd1', 'REVERTED')
    assert end['code'] == 'E_REVOKED' and end['msg'] == 'revoked by the fleet'


def test_foreign_replayed_and_refused(device, control):
    engine = device.engine
    device.machine.wait_for(lambda: control.of('/conn'), 'the device does not connect', 40)
    path = device.release(2, device.app('web', *SLEEP))
    device.cli('release', 'keygen', f'{engine.dir}/foreign').ok()
    control.publish(GROUP, device.want('bad', path, key='foreign'))
    device.machine.wait_for(lambda: 'signed by no key this device trusts for rollouts' in engine.log(),
                            'a foreign key is not refused')
    older = device.want('older', path)
    control.publish(GROUP, device.want('d1', path))
    device.await_event(control, 'd1', 'CONFIRMED')
    control.publish(GROUP, older)
    device.machine.wait_for(lambda: 'was there before: ignored' in engine.log(), 'a replay is taken')
    control.publish(GROUP, device.want('back', device.release(1, device.app('web', *SLEEP))))
    refused = device.await_event(control, 'back', 'REJECTED')
    assert 'only a newer one is taken' in refused['msg']
    assert device.status()['deployment'] == 'd1'


def test_nothing_is_lost_or_told_twice(device, control, broker):
    engine = device.engine
    device.machine.wait_for(lambda: control.of('/conn'), 'the device does not connect', 40)
    broker.stop()
    device.cli('ota', 'apply', '--wait', '--deployment', 'local',
               device.release(1, device.app('web', *SLEEP))).ok()
    engine.kill(signal.SIGKILL)
    broker.start()
    again = broker.client('control')
    engine.start()
    device.await_event(again, 'local', 'CONFIRMED')
    engine.stop()
    engine.start()
    device.machine.wait_for(lambda: len(again.of('/conn')) >= 2, 'the device does not come back', 40)
    states = [event['st'] for event in device.events(again, 'local')]
    assert states == ['FETCHING', 'VERIFIED', 'TRIAL', 'CONFIRMED']
    again.close()


def test_requests(device, control):
    device.machine.wait_for(lambda: control.of('/reported'), 'the device does not connect', 40)

    def ask(method, payload, correlation):
        before = len(control.of('/res/tool'))
        control.publish(f'{PREFIX}/req/{method}', payload, response=f'{PREFIX}/res/tool',
                        correlation=correlation)

        def answers():
            return [a for a in control.of('/res/tool')[before:] if a['corr'] == correlation]
        return device.machine.wait_for(answers, f'{method} is not answered', 20)[-1]

    assert ask('state.get', '{}', 'a')['result']['state'] == 'NONE'
    assert 'is not supported' in ask('coffee.make', '{}', 'b')['error']['message']
    assert 'has to be signed' in ask('update.rollback', '{}', 'c')['error']['message']
    boot = control.of('/reported')[-1]['boot']
    for sequence in (1, 2):
        device.apply(device.release(sequence, device.app('web', 'sleep', f'100{sequence}')))
    request = {'method': 'update.rollback', 'device': 'device-1', 'boot': boot, 'params': {}}
    other = device.sign('request', request | {'boot': 'another'})
    assert 'another method, device or boot' in ask('update.rollback', other, 'd')['error']['message']
    signed = device.sign('request', request)
    assert ask('update.rollback', signed, 'e')['result'] == {}
    assert device.wait('REVERTED')['active']['sequence'] == 1
    assert ask('update.rollback', signed, 'e')['result'] == {}, 'the same request, the same answer'
    # Of another method the correlation is another one.
    assert ask('state.get', '{}', 'e')['result']['state'] == 'REVERTED'


def test_what_was_taken_is_not_wanted_again(device, control):
    """A release that was applied by hand takes the place of the fleet's, and is left alone."""
    device.machine.wait_for(lambda: control.of('/conn'), 'the device does not connect', 40)
    control.publish(GROUP, device.want('d1', device.release(1, device.app('web', *SLEEP))), retain=True)
    device.await_event(control, 'd1', 'CONFIRMED')
    device.apply(device.release(2, device.app('web', 'sleep', '1002')), '--deployment', 'by-hand').ok()
    device.await_event(control, 'by-hand', 'CONFIRMED')
    engine = device.engine
    engine.stop()
    engine.start()
    device.machine.wait_for(lambda: len(control.of('/conn')) >= 2, 'the device does not come back', 40)
    wait_reported(device, control, lambda s: s['deployment'] == 'by-hand')
    device.engine.machine.shell('sleep 2').ok()
    assert [e['st'] for e in device.events(control, 'd1')] == ['FETCHING', 'VERIFIED', 'TRIAL', 'CONFIRMED']


@pytest.mark.machines('vm')
def test_without_a_clock(device, control):
    """A board without a battery, and no time server: it is 1970 until somebody says otherwise."""
    engine, machine = device.engine, device.machine
    engine.stop()
    now = machine.shell('date +%s').ok().out.strip()
    path = device.release(1, device.app('web', *SLEEP))
    wanted = device.want('d1', path)
    try:
        machine.shell('date -s @1000').ok()
        engine.start()
        control.publish(GROUP, wanted, retain=True)
        device.await_event(control, 'd1', 'CONFIRMED')
        wait_reported(device, control, lambda s: s['state'] == 'CONFIRMED')
        assert machine.shell('date +%Y').ok().out.strip() == '1970'
    finally:
        machine.shell(f'date -s @{now}').ok()


def test_keys_are_read_for_each_message(device, control):
    engine = device.engine
    device.machine.wait_for(lambda: control.of('/conn'), 'the device does not connect', 40)
    device.cli('release', 'keygen', f'{engine.dir}/next').ok()
    device.machine.shell(f'mv {engine.dir}/next.pub {engine.dir}/rollout/').ok()
    path = device.release(1, device.app('web', *SLEEP))
    control.publish(GROUP, device.want('d1', path, key='next'))
    device.await_event(control, 'd1', 'CONFIRMED')
