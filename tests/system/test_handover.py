"""Apps that are handed over: no request is lost while the new one takes the place of the old one.

WHERRY_RATE=500 ./dev test tests/system/test_handover.py asks as often in the virtual machine, too, which has to have this
machine for itself then.
"""

import json
import os
import signal
import time

import pytest

from harness import compile as compiler
from harness import oci, paths
from outcome import one_clear_error
from test_updates import BOTH, Device, device_config

pytestmark = pytest.mark.machines('host-net')

RATE = 500
RATE_IN_EMULATION = int(os.environ.get('WHERRY_RATE', '100'))
TRIAL = {'soak_s': 1, 'deadline_s': 30, 'starts': 5, 'restarts': 1}


class Server(Device):
    """A device whose apps answer with a text, and clients beside it."""

    def __init__(self, new_engine, registry, config=None):
        super().__init__(new_engine, registry, config or device_config(registry))
        image = self.served_image(self.machine.arch)
        registry.push('netload', self.machine.arch, image)
        self.served = f'{registry.name}/netload@{image.digest}'
        self.client = f'{self.engine.dir}/netload'
        self.machine.write(self.client, self.program(self.machine.arch).read_bytes(), 0o755)

    @staticmethod
    def program(arch):
        return compiler.static_program(paths.TESTS / 'images/netload.cpp', arch)

    @staticmethod
    def served_image(arch):
        data = Server.program(arch).read_bytes()
        return oci.image([oci.layer(oci.tar([oci.entry('netload', data=data, mode=0o755)]))], arch, Entrypoint=['/netload'])

    def web(self, text, name='web', port=8080, delay=0, config=None, host=None, **more):
        """An app that answers on a port of the host; `delay`: until it listens, in ms."""
        more = {'strategy': 'handover', 'drain_s': 2, **more}
        return self.app(name, 'serve', '80', text, str(delay), image=self.served, config=config or {},
                        host={'PortBindings': {'80/tcp': [{'HostPort': str(port)}]}, **(host or {})}, **more)

    def ask(self, mode, *words, **options):
        """Starts a client; `finish` ends it."""
        return self.machine.start([self.client, mode, *map(str, words)], **options)

    def load(self, seconds, port=8080):
        """An emulated machine does everything later; nothing may be lost there either."""
        slow = self.machine.slow > 1
        if slow:  # its memory is small, and so is the table of connections: too small for 500 new ones a second
            self.machine.shell('echo 200000 >/proc/sys/net/netfilter/nf_conntrack_max').ok()
        rate = RATE_IN_EMULATION if slow else RATE
        return self.ask('load', '127.0.0.1', port, rate, 3 * seconds if slow else seconds, 60 if slow else 5)

    def is_at(self, state):
        self.machine.wait_for(lambda: self.status()['state'] == state, f'the update is not {state}')

    def names(self):
        rows = self.cli('ps', '-a', '--format', 'json').ok().out.splitlines()
        return {json.loads(row)['Names'][0][1:]: json.loads(row)['State'] for row in rows}


def finish(process, seconds=60):
    assert process.wait(seconds) == 0, process.out + process.err
    return process.out.decode()


@pytest.fixture
def device(new_engine, registry):
    return Server(new_engine, registry)


@BOTH
def test_no_request_is_lost(device):
    assert device.apply(device.release(1, device.web('one'), trial=TRIAL)).code == 0
    # What is served there may take longer than the two seconds it has here.
    slow = device.machine.slow > 1
    path = device.release(2, device.web('two', delay=1500, drain_s=90 if slow else 2),
                          trial=TRIAL | {'deadline_s': 120 if slow else 30})
    load = device.load(12)
    keep = device.ask('keep', '127.0.0.1', 8080, 20 if slow else 60)
    time.sleep(1)
    device.apply(path).ok()
    result = json.loads(finish(load, 180))
    print(f'\nhandover at {result["rate"]} requests/s: {result}')
    assert result['lost'] == 0, result
    assert set(result['texts']) == {'one', 'two'} and min(result['texts'].values()) > 10
    # What was established stayed with the old one until it had to end.
    assert finish(keep).split()[0] == 'one' and b'two' not in keep.out
    assert sorted(device.names().values()) == ['exited', 'running']
    assert device.machine.run([device.client, 'order', '127.0.0.1', '0.1', '8080']).ok().out == 'two\n'


def test_one_that_never_gets_well(device):
    assert device.apply(device.release(1, device.web('one'), trial=TRIAL)).code == 0
    before = device.engine.state(device.status()['apps'][0]['container'])['StartedAt']
    never = device.web('two', delay=100_000)
    load = device.load(7)
    assert device.apply(device.release(2, never, trial=TRIAL | {'deadline_s': 3})).code == 1
    status = device.status()
    assert (status['state'], status['code']) == ('REVERTED', 'E_DEADLINE'), status
    assert 'beside the old one' in status['reason'] and 'Connection refused' in status['reason']
    ends = device.web('three', config={'Cmd': ['nonsense']})
    assert device.apply(device.release(3, ends, trial=TRIAL)).code == 1
    assert device.status()['code'] == 'E_HEALTH', device.status()
    result = json.loads(finish(load))
    assert result['lost'] == 0 and list(result['texts']) == ['one'], result
    app = device.status()['apps'][0]
    assert device.engine.state(app['container'])['StartedAt'] == before, 'the old one was touched'


def test_back_within_the_trial(device):
    assert device.apply(device.release(1, device.web('one'), trial=TRIAL)).code == 0
    for sequence, settle in ((2, 0), (3, 4)):  # while the old one drains; when it has ended
        order = device.ask('order', '127.0.0.1', 14, 8080)
        load = device.load(14)
        keep = device.ask('keep', '127.0.0.1', 8080, 3)
        new = device.web(f'new{sequence}', drain_s=3)
        device.cli('ota', 'apply', device.release(sequence, new, trial=TRIAL | {'soak_s': 25})).ok()
        order.read_until(f'new{sequence}'.encode(), 20)
        time.sleep(settle)
        device.cli('ota', 'cancel').ok()
        assert device.wait('REVERTED')['code'] == 'E_REQUESTED'
        result = json.loads(finish(load))
        assert result['lost'] == 0, result
        assert finish(order).split() == ['one', f'new{sequence}', 'one']
        finish(keep)
        assert device.running() == ['web']


def test_a_group_switches_as_one(device):
    apps = {n: [device.web(n, 'a', 8080), device.web(n, 'b', 8081, delay=delay), device.web(n, 'c', 8082)]
            for n, delay in (('one', 0), ('two', 1000))}
    apps['two'][0]['after'] = ['c']
    assert device.apply(device.release(1, *apps['one'], trial=TRIAL)).code == 0
    order = device.ask('order', '127.0.0.1', 7, 8080, 8081, 8082)
    assert device.apply(device.release(2, *apps['two'], trial=TRIAL)).code == 0
    assert finish(order).split() == ['one', 'two'], 'old and new at the same time'


def test_ports_that_change(device):
    """Kept, given from one app to the other, new, given up; and any port that is free."""
    def ports(**wanted):
        return {'PortBindings': {f'80/{kind}': [{'HostPort': str(p)} for p in them] for kind, them in wanted.items()}}
    free = device.web('one', 'free', host={'PortBindings': {'80/tcp': [{}]}})
    assert device.apply(device.release(1, device.web('a1', 'a', host=ports(tcp=[8080, 8081])),
                                       device.web('b1', 'b', host=ports(tcp=[8082])), free, trial=TRIAL)).code == 0
    container = next(a['container'] for a in device.status()['apps'] if a['name'] == 'free')
    chosen = device.cli('port', container).ok().out
    free = device.web('two', 'free', host={'PortBindings': {'80/tcp': [{}]}})
    assert device.apply(device.release(2, device.web('a2', 'a', host=ports(tcp=[8080, 8083])),
                                       device.web('b2', 'b', host=ports(tcp=[8081])), free, trial=TRIAL)).code == 0
    seen = {port: device.machine.run([device.client, 'order', '127.0.0.1', '0.01', str(port)]).out.strip()
            for port in range(8080, 8084)}
    assert seen == {8080: 'a2', 8081: 'b2', 8082: 'lost', 8083: 'a2'}
    container = next(a['container'] for a in device.status()['apps'] if a['name'] == 'free')
    assert device.cli('port', container).ok().out == chosen
    # What was given up is free for others, what is held is not.
    device.cli('run', '-d', '-p', '8082:80', device.served, 'serve', '80', 'x').ok()
    assert 'already allocated' in device.cli('run', '-d', '-p', '8083:80', device.served, 'serve', '80', 'x').err


def test_port_that_somebody_else_has(device):
    assert device.apply(device.release(1, device.web('one'), trial=TRIAL)).code == 0
    before = device.engine.state(device.status()['apps'][0]['container'])['StartedAt']
    device.cli('run', '-d', '--name', 'other', '-p', '8085:80', device.served, 'serve', '80', 'other').ok()
    load = device.load(5)
    two = {'PortBindings': {'80/tcp': [{'HostPort': '8080'}, {'HostPort': '8085'}]}}
    assert device.apply(device.release(2, device.web('two', host=two), trial=TRIAL)).code == 1
    status = device.status()
    assert status['code'] == 'E_SWITCH' and 'already allocated by container other' in status['reason']
    result = json.loads(finish(load))
    assert result['lost'] == 0 and list(result['texts']) == ['one'], result
    assert device.engine.state(status['apps'][0]['container'])['StartedAt'] == before
    device.cli('rm', '-f', 'other').ok()


def test_daemon_is_killed_beside_and_while_draining(device):
    engine = device.engine
    assert device.apply(device.release(1, device.web('one'), trial=TRIAL)).code == 0
    load = device.load(10)
    path = device.release(2, device.web('two', delay=3000, drain_s=8 * device.machine.slow), trial=TRIAL | {'deadline_s': 60})
    keep = device.ask('keep', '127.0.0.1', 8080, 60)
    device.cli('ota', 'apply', path).ok()
    device.machine.wait_for(lambda: len(device.running()) == 2, 'the new one does not start beside')
    engine.kill(signal.SIGKILL)
    engine.start()
    order = device.ask('order', '127.0.0.1', 40, 8080)
    order.read_until(b'two', 40)
    engine.kill(signal.SIGKILL)
    engine.start()
    assert device.wait('CONFIRMED', 60)['active']['sequence'] == 2
    result = json.loads(finish(load, 180))
    assert result['lost'] == 0, result
    assert sorted(device.names().values()) == ['exited', 'running']
    assert finish(order, 60).split() == ['one', 'two']
    finish(keep)


def test_aliases_go_over_with_the_ports(device):
    inner = {'NetworkMode': 'inner', 'PortBindings': {}}
    alias = {'NetworkingConfig': {'EndpointsConfig': {'inner': {'Aliases': ['api']}}}}
    script = 'while true; do nslookup api 127.0.0.11 | tail -n +3 | grep -c Address; sleep 0.05; done'
    def release(number, text, delay=0):
        api = device.web(text, 'api', host=inner, config=alias, delay=delay, drain_s=1, checks=[{'tcp': 80}])
        reader = device.app('reader', 'sh', '-c', script, host={'NetworkMode': 'inner'})
        return device.release(number, api, reader, networks=[{'name': 'inner'}], trial=TRIAL)
    assert device.apply(release(1, 'one')).code == 0
    def resolved():
        reader = next(a['container'] for a in device.status()['apps'] if a['name'] == 'reader')
        return device.cli('exec', reader, 'nslookup', 'api', '127.0.0.11').out
    def own(app):
        return device.engine.inspect(app)['NetworkSettings']['Networks']['inner']['IPAddress']
    first = own(device.status()['apps'][0]['container'])
    assert first in resolved()
    assert device.apply(release(2, 'two', 1000)).code == 0
    second = own(device.status()['apps'][0]['container'])
    answer = resolved()
    assert second != first and second in answer and first not in answer
    # At no time both, at no time none.
    assert set(device.logs('reader').split()) == {'1'}


def test_after_one_that_is_stopped_and_started(device):
    """The new one needs the new database, which starts first."""
    def release(number):
        check = {'Test': ['CMD', 'test', '-e', '/up'], 'Interval': 200_000_000, 'Retries': 1000}
        database = device.app('db', 'sh', '-c', f'sleep 1; touch /up; exec sleep 100{number}', config={'Healthcheck': check})
        return device.release(number, device.web(f'web{number}', after=['db']), database, trial=TRIAL)
    assert device.apply(release(1)).code == 0
    load = device.load(9)
    assert device.apply(release(2)).code == 0
    started = {app['name']: device.engine.state(app['container'])['StartedAt'] for app in device.status()['apps']}
    assert started['db'] < started['web']
    result = json.loads(finish(load))
    assert result['lost'] == 0 and set(result['texts']) == {'web1', 'web2'}, result


def test_what_cannot_be_handed_over(device):
    cases = {
        'network mode "host"': {'host': {'NetworkMode': 'host', 'PortBindings': {}}},
        'network mode "none"': {'host': {'NetworkMode': 'none', 'PortBindings': {}}},
        'fixed address': {'host': {'NetworkMode': 'inner'}, 'config': {'NetworkingConfig': {'EndpointsConfig': {
            'inner': {'IPAMConfig': {'IPv4Address': '10.99.0.7'}}}}}},
    }
    inner = {'name': 'inner', 'config': {'IPAM': {'Config': [{'Subnet': '10.99.0.0/24'}]}}}
    for number, (reason, more) in enumerate(cases.items(), 1):
        assert device.apply(device.release(number, device.web('one', **more), networks=[inner])).code == 1
        status = device.status()
        assert (status['state'], status['code']) == ('REJECTED', 'E_CREATE'), status
        assert reason in status['reason'] and 'app web' in status['reason']
    device.machine.write(f'{device.engine.dir}/stopped', json.dumps(
        {'name': 'x', 'seq': 9, 'apps': [device.web('one', strategy='stop-start')]}))
    one_clear_error(device.cli('release', 'create', f'{device.engine.dir}/stopped'), 'drain_s is for the strategy handover')
