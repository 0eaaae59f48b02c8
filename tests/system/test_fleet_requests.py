"""What a fleet can ask of a device besides updates, and what the device tells by itself."""

import itertools
import json
import time

import pytest

from test_fleet import PREFIX, FleetDevice, broker, control, wait_reported  # pylint: disable=unused-import
from test_updates import BOTH, SLEEP

pytestmark = pytest.mark.machines('host-net')


class Asked(FleetDevice):
    """A device that sends telemetry and may be rebooted: by a command that leaves a mark."""

    numbers = itertools.count()

    def prepare(self):
        super().prepare()
        engine, machine = self.engine, self.machine
        self.mark = f'{engine.dir}/rebooted'
        machine.write(f'{engine.dir}/reboot', f'#!/bin/sh\necho yes >{self.mark}\n', 0o755)
        machine.write(f'{engine.dir}/conf.d/z.conf', f'[mqtt]\ntelemetry-period = 1s\n'
                      f'[updates]\nreboot-command = {engine.dir}/reboot\n')

    def connect(self, control):
        self.control = control
        self.machine.wait_for(lambda: control.of('/reported'), 'the device does not connect', 40)
        self.boot = control.of('/reported')[-1]['boot']

    def ask(self, method, signed=False, **params):
        """The answer, whole."""
        correlation = str(next(self.numbers))
        payload = json.dumps({'params': params})
        if signed:
            payload = self.sign('request', {'method': method, 'device': 'device-1', 'boot': self.boot, 'params': params})
        self.control.publish(f'{PREFIX}/req/{method}', payload, response=f'{PREFIX}/res/tool', correlation=correlation)

        def answers():
            return [a for a in self.control.of('/res/tool') if a['corr'] == correlation]
        return self.machine.wait_for(answers, f'{method} is not answered', 30)[0]

    def app_is(self, state):
        self.machine.wait_for(lambda: self.status()['apps'][0]['state'] == state, f'the app is not {state}')


@pytest.fixture
def device(new_engine, registry, broker, authority, control):
    made = Asked(new_engine, registry, broker, authority)
    made.connect(control)
    return made


COUNT = 'i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done'


@BOTH
def test_apps(device, control):
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    for method in ('app.start', 'app.stop', 'app.restart', 'prune', 'reboot'):
        assert 'has to be signed' in device.ask(method, app='web')['error']['message'], method
    container = device.status()['apps'][0]['container']
    started = device.engine.state(container)['StartedAt']
    assert device.ask('app.stop', True, app='web')['result'] == {}
    device.app_is('exited')
    assert device.ask('app.stop', True, app='web')['result'] == {}, 'it is as it was to be'
    assert device.ask('app.start', True, app='web')['result'] == {}
    device.app_is('running')
    again = device.engine.state(container)['StartedAt']
    assert again > started
    assert device.ask('app.restart', True, app='web')['result'] == {}
    device.app_is('running')
    assert device.engine.state(container)['StartedAt'] > again
    for wrong in ('none', '', container):
        assert 'has no app' in device.ask('app.stop', True, app=wrong)['error']['message']


def test_state_of_an_app_is_reported(device, control):
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    wait_reported(device, control, lambda s: s['apps'] and s['apps'][0]['state'] == 'running')
    container = device.status()['apps'][0]['container']
    before = len(control.of('/reported'))
    device.cli('stop', container).ok()
    wait_reported(device, control, lambda s: s['apps'][0]['state'] == 'exited')
    device.cli('start', container).ok()
    wait_reported(device, control, lambda s: s['apps'][0]['state'] == 'running')
    # Many changes, told together.
    for _ in range(10):
        device.cli('restart', '-t', '0', container).ok()
    wait_reported(device, control, lambda s: s['apps'][0]['state'] == 'running')
    time.sleep(2)
    assert len(control.of('/reported')) - before < 25
    # A container that is no app's is nobody's business.
    time.sleep(1)
    before = len(control.of('/reported'))
    device.cli('run', '--rm', '--pull', 'never', device.status()['apps'][0]['image'], 'true')
    time.sleep(2)
    assert len(control.of('/reported')) == before


def test_prune(device, control):
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    device.cli('login', '-u', 'user', device.registry.name)
    device.engine.login(device.registry.name)
    device.cli('pull', '-q', f'{device.registry.name}/hello').ok()
    assert 'hello' in device.cli('images').ok().out
    assert device.ask('prune', True)['result']['freed'] > 0
    assert 'hello' not in device.cli('images').ok().out
    device.ask('app.restart', True, app='web')
    device.app_is('running')


def test_reboot(device, control):
    answer = device.ask('reboot', True)
    assert answer['result'] == {} and not device.machine.exists(device.mark), 'the answer comes first'
    device.machine.wait_for(lambda: device.machine.exists(device.mark), 'no reboot', 20)
    device.machine.shell(f'rm {device.engine.dir}/conf.d/z.conf').ok()
    device.engine.stop()
    device.engine.start()
    device.machine.wait_for(lambda: len(control.of('/conn')) >= 2, 'the device does not come back', 40)
    error = device.ask('reboot', True)['error']['message']
    assert 'not permitted' in error and 'reboot-command' in error


def test_logs(device, control):
    assert device.apply(device.release(1, device.app('web', 'sh', '-c', COUNT))).code == 0
    result = device.ask('log.tail', app='web', lines=3)['result']
    lines = result['log'].split()
    assert result['state'] == 'running' and len(result['log'].splitlines()) == 3 and lines[0] == 'line'
    assert 'has no app' in device.ask('log.tail', app='x')['error']['message']

    def told():
        return b''.join(payload for topic, payload, _ in control.messages if topic == f'{PREFIX}/log/s1').decode()
    assert device.ask('log.lease', app='web', session='s1', seconds=3)['result'] == {'topic': 'log/s1', 'seconds': 3}
    device.machine.wait_for(lambda: told().count('\n') > 5, 'no log', 20)
    # Renewed it goes on, without a gap and without doubles.
    assert device.ask('log.lease', app='web', session='s1', seconds=5)['result']['seconds'] == 5
    time.sleep(4)
    numbers = [int(line.split()[1]) for line in told().splitlines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 15, numbers
    time.sleep(2.5)
    ended = told()
    time.sleep(1.5)
    assert told() == ended, 'the lease is over'
    assert device.ask('log.lease', app='web', session='s2', seconds=10_000)['result']['seconds'] == 600
    assert 'is for the log of app web' in device.ask('log.lease', app='db', session='s2')['error']['message']
    assert 'session: must be' in device.ask('log.lease', app='web', session='a/b')['error']['message']
    for name in ('s3', 's4', 's5'):
        device.ask('log.lease', app='web', session=name)
    assert 'logs are followed' in device.ask('log.lease', app='web', session='s6')['error']['message']
    assert device.ask('log.lease', session='s3', seconds=0)['result']['seconds'] == 0
    assert 'result' in device.ask('log.lease', app='web', session='s6')


def test_a_lease_follows_an_update_and_the_way_back(device, control):
    def say(word):
        return device.app('web', 'sh', '-c', f'echo {word} begins; trap "echo {word} ends; exit" TERM; while true; do sleep 0.1; done')

    def told():
        return b''.join(payload for topic, payload, _ in control.messages if topic == f'{PREFIX}/log/s1').decode().splitlines()
    assert device.apply(device.release(1, say('one'))).code == 0
    device.ask('log.lease', app='web', session='s1', lines=10)
    device.machine.wait_for(lambda: told() == ['one begins'], told, 20)
    assert device.apply(device.release(2, say('two'))).code == 0
    device.machine.wait_for(lambda: told() == ['one begins', 'one ends', 'two begins'], told, 20)
    device.cli('ota', 'rollback').ok()
    device.machine.wait_for(lambda: told()[3:] == ['two ends', 'one begins'], told, 20)



@BOTH
def test_telemetry(device, control):
    device.machine.wait_for(lambda: len(control.of('/tel/sys')) >= 2, 'no telemetry', 30)
    first, second = control.of('/tel/sys')[:2]
    assert second['up'] > first['up']
    total, available = second['mem']['total'], second['mem']['available']
    meminfo = device.machine.shell('cat /proc/meminfo').ok().out
    assert total == int(meminfo.split()[1]) * 1024 and 0 < available <= total
    assert 0 < second['disk']['free'] <= second['disk']['size']
    assert second['containers'] == {'running': 0, 'paused': 0, 'stopped': 0}
    if device.machine.exists('/proc/pressure/cpu'):
        assert 0 <= second['pressure']['cpu'] <= 100


def test_without_the_fleet_the_daemon_runs(device, broker):
    engine, machine = device.engine, device.machine
    device.machine.wait_for(lambda: 'connected' in device.status()['fleet'], 'the state of the broker is not told', 20)
    broker.stop()
    device.machine.wait_for(lambda: 'connected' not in device.status()['fleet'], 'the loss is not told', 20)
    engine.stop()
    machine.write(f'{engine.dir}/device.crt', 'nonsense', 0o600)
    engine.start()
    assert f'{engine.dir}/device.crt' in device.status()['fleet'] and 'is not seen' in device.status()['fleet']
    assert 'is not seen' in device.cli('ota', 'status').ok().out
    assert 'the fleet does not see this device' in engine.log()
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
