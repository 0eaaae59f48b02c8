"""Updates of a device: signed releases, trials, the way back."""

import base64
import json
import re
import signal

import pytest

from harness import registry as registries
from images import reference
from outcome import one_clear_error

pytestmark = pytest.mark.machines('host-net')
# What may differ between kernels or architectures; the rest is the same everywhere.
BOTH = pytest.mark.machines('host-net', 'vm')

QUICK = {'soak_s': 1, 'deadline_s': 20, 'starts': 5, 'restarts': 1}


class Device:
    """An engine that trusts a key, and that key."""

    def __init__(self, new_engine, registry, docker_config):
        self.registry = registry
        self.engine = engine = new_engine(new_engine.trust(registry.name), start=False,
                                          network='bridge')
        self.machine = engine.machine
        if hasattr(self.machine, 'reach'):
            self.machine.reach(registry.port)
        engine.machine.run(['mkdir', f'{engine.dir}/keys']).ok()
        engine.machine.write(f'{engine.dir}/docker.json', docker_config, 0o600)
        engine.machine.write(f'{engine.dir}/conf.d/updates.conf',
                             f'[updates]\nkeys = {engine.dir}/keys\n'
                             f'credentials = {engine.dir}/docker.json\n')
        self.prepare()
        self.cli('release', 'keygen', f'{engine.dir}/maker').ok()
        engine.machine.shell(f'cp {engine.dir}/maker.pub {engine.dir}/keys/maker.pub').ok()
        engine.start()

    def prepare(self):
        """What else has to be there before the daemon starts."""

    def cli(self, *args, **options):
        return self.engine.wherry(*args, **options)

    def image(self, name='busybox'):
        digest = reference.load(name)['latest'].digest
        return f'{self.registry.name}/{name}@{digest}'

    def app(self, name, *command, image=None, restart='always', **more):
        config = {'Cmd': list(command), 'StopTimeout': 1,
                  'HostConfig': {'RestartPolicy': {'Name': restart}, **more.pop('host', {})},
                  **more.pop('config', {})}
        return {'name': name, 'image': image or self.image(), 'config': config, **more}

    def release(self, sequence, *apps, key='maker', trial=None, **more):
        """A signed release in a file of the machine; its path."""
        path = f'{self.engine.dir}/release-{sequence}'
        text = json.dumps({'name': 'gateway', 'seq': sequence, 'apps': apps,
                           'trial': trial or QUICK, **more})
        self.machine.write(f'{path}.json', text)
        self.cli('release', 'create', '-o', f'{path}.full', f'{path}.json').ok()
        self.cli('release', 'sign', '--key', f'{self.engine.dir}/{key}.key', '-o', path,
                 f'{path}.full').ok()
        return path

    def apply(self, path, *options):
        return self.cli('ota', 'apply', '--wait', *options, path, timeout=40)

    def status(self):
        return json.loads(self.cli('ota', 'status', '--format', 'json').ok().out)

    def wait(self, state, timeout=40):
        def reached():
            status = self.status()
            return status if status['state'] == state else None
        return self.machine.wait_for(reached, f'the update is not {state}', timeout)

    def running(self):
        text = self.cli('ps', '--format', 'json').ok().out
        return sorted(json.loads(line)['Names'][0][1:].rsplit('-', 1)[0] for line in text.splitlines())

    def logs(self, app):
        container = next(a['container'] for a in self.status()['apps'] if a['name'] == app)
        return self.cli('logs', container).ok().out


def device_config(registry):
    """The device's credentials, as Docker's config.json."""
    auth = base64.b64encode(f'{registries.USER}:{registries.PASSWORD}'.encode()).decode()
    return json.dumps({'auths': {registry.name: {'auth': auth}}})


@pytest.fixture
def device(new_engine, registry):
    return Device(new_engine, registry, device_config(registry))


SLEEP = ('sleep', '1000')


@pytest.mark.machines('host-net', 'vm', 'vm-32')
def test_releases_come_and_go(device):
    web = device.app('web', 'sh', '-c', 'echo first; exec sleep 1000')
    shared = device.app('shared', *SLEEP)
    first = device.apply(device.release(1, web, shared))
    assert first.code == 0, first.err
    assert first.out.split()[1:] == ['FETCHING', 'VERIFIED', 'TRIAL', 'CONFIRMED'] or \
        first.out.split()[-1] == 'CONFIRMED', first.out
    assert device.running() == ['shared', 'web']
    kept = device.status()['apps'][1]['container']

    web = device.app('web', 'sh', '-c', 'echo second; exec sleep 1000')
    assert device.apply(device.release(2, web, shared)).code == 0
    status = device.status()
    assert status['active']['sequence'] == 2 and status['previous']['sequence'] == 1
    assert device.logs('web') == 'second\n'
    assert status['apps'][1]['container'] == kept, 'an app that did not change was restarted'

    device.cli('ota', 'rollback').ok()
    status = device.wait('REVERTED')
    assert status['active']['sequence'] == 1 and status['code'] == 'E_REQUESTED'
    assert device.logs('web') == 'first\nfirst\n'
    table = device.cli('ota', 'status').ok().out
    assert 'State:' in table and 'gateway 1 (sha256:' in table and 'running' in table
    history = device.cli('ota', 'history').ok().out
    assert [line.split()[2] for line in history.splitlines()[1:]] == \
        ['REVERTED', 'CONFIRMED', 'CONFIRMED']


@BOTH
def test_failing_release_is_taken_back(device):
    good = device.app('web', *SLEEP)
    assert device.apply(device.release(1, good)).code == 0
    bad = device.app('web', 'sh', '-c', 'echo cannot open /dev/plc; exit 3')
    result = device.apply(device.release(2, bad))
    assert result.code == 1
    status = device.status()
    assert status['state'] == 'REVERTED' and status['code'] == 'E_HEALTH'
    assert status['active']['sequence'] == 1
    assert re.search('app web was restarted [23] times; it ended with exit code 3', status['reason'])
    assert device.running() == ['web']
    evidence = json.loads(device.cli('ota', 'evidence').ok().out)
    assert evidence['sequence'] == 2
    assert 'cannot open /dev/plc' in evidence['apps'][0]['log']
    assert evidence['apps'][0]['exit_code'] == 3


@BOTH
def test_app_puts_an_update_off(device):
    web = device.app('web', 'probe', 'lock', '/update.lock', image=device.image('probe'), lock='/update.lock')
    assert device.apply(device.release(1, web)).code == 0
    device.cli('ota', 'apply', device.release(2, device.app('web', *SLEEP))).ok()
    assert device.wait('WAITING')['reason'] == 'app web holds its lock /update.lock'
    status = device.status()
    assert status['active']['sequence'] == 1 and status['apps'][0]['state'] == 'running'
    device.cli('kill', '--signal', 'USR1', status['apps'][0]['container']).ok()
    assert device.wait('CONFIRMED')['active']['sequence'] == 2


def test_lock_that_is_none(device):
    """What the app put there is not opened, and somebody has the last word."""
    command = ('sh', '-c', 'mkfifo /update.lock; exec sleep 1000')
    assert device.apply(device.release(1, device.app('web', *command, lock='/update.lock'))).code == 0
    device.cli('ota', 'apply', device.release(2, device.app('web', *SLEEP))).ok()
    assert device.wait('WAITING')['reason'] == 'app web: lock /update.lock: is not a file'
    device.cli('ota', 'proceed').ok()
    assert device.wait('CONFIRMED')['active']['sequence'] == 2


def test_release_that_waits_for_a_word(device):
    held = device.release(1, device.app('web', *SLEEP), policy={'start': 'hold'})
    device.cli('ota', 'apply', held).ok()
    assert device.wait('WAITING')['reason'] == 'somebody has to say that it may begin (wherry ota proceed)'
    device.engine.kill()
    device.engine.start()
    assert device.wait('WAITING')['apps'] == []
    device.cli('ota', 'proceed').ok()
    device.wait('CONFIRMED')
    one_clear_error(device.cli('ota', 'proceed'), 'no update waits: the state is CONFIRMED')


@BOTH
def test_release_of_a_compose_file(device):
    """The services run as apps, find each other by name, and what the release adds goes over them."""
    directory = device.machine.temporary_directory()
    device.machine.write(f'{directory}/compose.yaml', f"""
services:
  db: {{image: "{device.image()}", command: sleep 1000, init: true}}
  web:
    image: "{device.image()}"
    command: sh -c 'nslookup db > /data/found; exec sleep 1000'
    init: true
    depends_on: [db]
    volumes: ["data:/data"]
volumes: {{data: }}
""")
    checks = [{'command': ['grep', '-q', 'Address.*172', '/data/found']}]
    device.machine.write(f'{directory}/base.json', json.dumps(
        {'name': 'shop', 'seq': 1, 'trial': QUICK, 'apps': [{'name': 'web', 'checks': checks}]}))
    device.cli('release', 'create', '-f', f'{directory}/compose.yaml', '-o', f'{directory}/full.json',
               f'{directory}/base.json').ok()
    device.cli('release', 'sign', '--key', f'{device.engine.dir}/maker.key', '-o', f'{directory}/release',
               f'{directory}/full.json').ok()
    assert device.apply(f'{directory}/release').code == 0
    assert device.running() == ['db', 'web']
    assert device.cli('compose', '--file', f'{directory}/compose.yaml', 'ps', '-q').ok().out == ''
    device.machine.write(f'{directory}/compose.yaml', 'services: {web: {image: x, scale: 2}}\n')
    one_clear_error(device.cli('release', 'create', '-f', f'{directory}/compose.yaml'), 'not supported in releases')
    one_clear_error(device.cli('release', 'create'), 'name a release to complete, or a compose file')


def test_release_that_never_becomes_healthy(device):
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    checked = device.app('web', 'sh', '-c', 'exec sleep 1001', checks=[{'http': 8080, 'path': '/ok'}])
    result = device.apply(device.release(2, checked, trial={'soak_s': 0, 'deadline_s': 3}))
    assert result.code == 1
    status = device.status()
    assert status['state'] == 'REVERTED' and status['code'] == 'E_DEADLINE'
    assert 'not confirmed within 3 s: app web fails its check: connect(' in status['reason']
    assert 'Connection refused' in status['reason']


def test_checks_pass(device):
    page = 'mkdir /www; echo fine >/www/ok; exec httpd -f -p 8080 -h /www'
    app = device.app('web', 'sh', '-c', page, checks=[
        {'http': 8080, 'path': '/ok'}, {'tcp': 8080}, {'command': ['test', '-e', '/www/ok']}])
    assert device.apply(device.release(1, app)).code == 0
    missing = device.app('web', 'sh', '-c', page, checks=[{'http': 8080, 'path': '/missing'}])
    device.apply(device.release(2, missing | {'config': missing['config'] | {'Env': ['A=1']}},
                                trial={'soak_s': 0, 'deadline_s': 4}))
    assert 'answers with status 404' in device.status()['reason']


@BOTH
def test_daemon_is_killed_in_every_state(device):
    engine = device.engine
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    slow = device.app('web', 'sh', '-c', 'exec sleep 1002', config={'Healthcheck': {
        'Test': ['CMD-SHELL', 'test -e /healthy'], 'Interval': 200_000_000, 'Retries': 1000}})
    device.cli('ota', 'apply', device.release(2, slow)).ok()
    device.wait('TRIAL')
    engine.kill(signal.SIGKILL)
    engine.start()
    device.machine.wait_for(lambda: device.status()['starts'] == 2, 'the start is not counted')
    device.machine.wait_for(lambda: device.status()['apps'][0]['state'] == 'running',
                            'the trial does not go on')
    assert device.running() == ['web']
    container = device.wait('TRIAL')['apps'][0]['container']
    device.cli('exec', container, 'touch', '/healthy').ok()
    assert device.wait('CONFIRMED')['active']['sequence'] == 2
    engine.kill(signal.SIGKILL)
    engine.start()
    assert device.wait('CONFIRMED')['apps'][0]['container'] == container
    # Ended in order, with its containers: the next start brings the release back.
    device.cli('stop', container).ok()
    engine.stop()
    engine.start()
    device.machine.wait_for(lambda: device.running() == ['web'], 'the app is not started again')


def test_prune_leaves_the_way_back(device):
    assert device.apply(device.release(1, device.app('web', *SLEEP))).code == 0
    assert device.apply(device.release(2, device.app('web', 'sleep', '1003'))).code == 0
    device.cli('container', 'prune', '--force').ok()
    device.cli('image', 'prune', '-a', '--force').ok()
    device.cli('ota', 'rollback').ok()
    assert device.wait('REVERTED')['active']['sequence'] == 1
    assert device.running() == ['web']


def test_what_old_releases_had_goes(device):
    def probe(seconds):
        return device.app('web', 'sleep', seconds, image=device.image('probe'))
    assert device.apply(device.release(1, probe('1001'))).code == 0
    for sequence in (2, 3):
        assert device.apply(device.release(sequence, device.app('web', 'sleep', f'100{sequence}'))).code == 0
    device.machine.wait_for(lambda: device.cli('images', '-aq').ok().out.count('\n') == 1,
                            'the image of the first release stays')
    assert device.cli('ps', '-aq').ok().out.count('\n') == 2, 'one runs, one is there to go back to'
    device.cli('ota', 'rollback').ok()
    device.wait('REVERTED')
    # An image that has a name of somebody's own stays.
    device.cli('tag', device.image(), 'mine:1').ok()
    for sequence in (4, 5):
        assert device.apply(device.release(sequence, probe(f'100{sequence}'))).code == 0
    device.machine.wait_for(lambda: device.cli('ps', '-aq').ok().out.count('\n') == 2,
                            'a container of the old release stays')
    assert 'mine' in device.cli('images').ok().out


def test_damaged_record(device):
    engine = device.engine
    for sequence in (1, 2):
        assert device.apply(device.release(sequence, device.app('web', 'sleep', f'100{sequence}'))).code == 0
    engine.stop()
    device.machine.write(f'{engine.root}/ota/record', 'no record')
    engine.start()
    device.machine.wait_for(lambda: device.running() == ['web'], 'the app is not started again')
    status = device.wait('CONFIRMED')
    assert status['active']['sequence'] == 2 and status['previous']['sequence'] == 1
    assert status['deployment'] == 'recovered'
    device.machine.wait_for(lambda: "both copies of the update's record are damaged" in engine.log(),
                            'nothing is said of it')


def test_dependencies_start_in_order(device):
    late = device.app('late', *SLEEP, after=['early'])
    early = device.app('early', 'sh', '-c', 'sleep 1; touch /up; exec sleep 1000', config={
        'Healthcheck': {'Test': ['CMD', 'test', '-e', '/up'], 'Interval': 200_000_000, 'Retries': 1000}})
    assert device.apply(device.release(1, late, early)).code == 0
    started = {}
    for app in device.status()['apps']:
        started[app['name']] = device.engine.state(app['container'])['StartedAt']
    assert started['early'] < started['late']


def test_shared_network_and_volume(device):
    both = {'NetworkMode': 'inner', 'Binds': ['state:/state']}
    web = device.app('web', 'sh', '-c', 'echo hi >/state/from-web; exec sleep 1000', host=both)
    reader = device.app('reader', 'sh', '-c', 'while ! grep hi /state/from-web; do sleep 0.1; done; '
                        'exec sleep 1000', host=both)
    path = device.release(1, web, reader, networks=[{'name': 'inner'}], volumes=[{'name': 'state'}])
    assert device.apply(path).code == 0
    assert device.logs('reader') == 'hi\n'
    assert 'inner' in device.cli('network', 'ls').ok().out


def test_what_is_refused(device):
    engine = device.engine
    web = device.app('web', *SLEEP)
    path = device.release(5, web)

    def refused(file, pattern):
        one_clear_error(device.cli('ota', 'apply', file), pattern)

    device.cli('release', 'keygen', f'{engine.dir}/other').ok()
    refused(device.release(6, web, key='other'), 'signed by no key this device trusts for releases')
    assert device.apply(path).code == 0
    refused(device.release(4, web), 'only a newer one is taken')
    system = {'version': '1', 'image': web['image'], 'size': 1, 'sha256': '0' * 64}
    refused(device.release(8, web, os=system), 'has an operating system: this device has no slots')
    device.machine.write(f'{engine.dir}/unsigned', '{"v":1}')
    refused(f'{engine.dir}/unsigned', 'no signed document')
    device.machine.shell(f"head -c 300 {path} >{engine.dir}/cut").ok()
    refused(f'{engine.dir}/cut', 'the release')
    device.machine.shell(f'rm {engine.dir}/keys/*').ok()
    refused(path, "this device trusts nobody's releases")
    assert device.status()['active']['sequence'] == 5


def test_image_that_is_not_there(device):
    missing = f'{device.registry.name}/busybox@sha256:{"0" * 64}'
    result = device.apply(device.release(1, device.app('web', *SLEEP, image=missing)))
    assert result.code == 1
    status = device.status()
    assert status['state'] == 'REJECTED' and status['code'] == 'E_FETCH'
    assert 'app web' in status['reason'] and status['active'] is None


def test_unreachable_registry_is_waited_for(device):
    far = f'127.0.0.1:1/busybox@sha256:{"0" * 64}'
    device.cli('ota', 'apply', device.release(1, device.app('web', *SLEEP, image=far))).ok()
    device.machine.wait_for(lambda: device.status()['waiting'], 'nothing is waited for', 30)
    status = device.status()
    assert status['state'] == 'FETCHING' and '127.0.0.1:1' in status['waiting']
    device.cli('ota', 'cancel').ok()
    assert device.wait('CANCELED')['active'] is None


def test_release_commands(device):
    engine = device.engine
    path = device.release(7, device.app('web', *SLEEP))
    seen = device.cli('release', 'verify', '--key', f'{engine.dir}/maker.pub', path).ok().out
    assert seen.startswith('gateway 7 sha256:')
    device.cli('release', 'keygen', f'{engine.dir}/two').ok()
    one_clear_error(device.cli('release', 'verify', '--key', f'{engine.dir}/two.pub', path),
                    'signed by no key')
    device.cli('release', 'sign', '--key', f'{engine.dir}/two.key', '-o', path, path).ok()
    for key in ('maker', 'two'):
        device.cli('release', 'verify', '--key', f'{engine.dir}/{key}.pub', path).ok()
    exists = device.cli('release', 'keygen', f'{engine.dir}/two')
    one_clear_error(exists, 'exists already')
    device.machine.shell(f'chmod 644 {engine.dir}/two.key').ok()
    opened = device.cli('release', 'sign', '--key', f'{engine.dir}/two.key', path)
    one_clear_error(opened, 'may be read by others than its owner')
    tagged = json.dumps({'name': 'x', 'seq': 1, 'apps': [{'name': 'a', 'image': 'nowhere:1'}]})
    device.machine.write(f'{engine.dir}/tagged', tagged)
    one_clear_error(device.cli('release', 'create', f'{engine.dir}/tagged'), 'No such image')
