"""Health checks, and --init."""

import json

import pytest

from harness import oci
from images import reference
from outcome import one_clear_error

pytestmark = pytest.mark.machines('host')
# What may differ between kernels or architectures; the rest is the same everywhere.
BOTH = pytest.mark.machines('host', 'vm')

FAST = ['--health-interval', '200ms', '--health-timeout', '5s']


def health(engine, name):
    return engine.state(name)['Health']


def wait_health(engine, name, status, timeout=15):
    def reached():
        found = health(engine, name)
        return found if found['Status'] == status else None
    return engine.machine.wait_for(reached, f'{name} is not {status}', timeout)


def start(engine, command, *options):
    engine.run_detached('--name', 'sick', *FAST, '--health-cmd', command, *options, engine.busybox,
                        'sleep', '1000')


@BOTH
def test_healthy_and_back(engine):
    start(engine, 'echo looked; test ! -e /broken', '--health-retries', '2')
    good = wait_health(engine, 'sick', 'healthy')
    assert good['FailingStreak'] == 0
    assert good['Log'][-1]['ExitCode'] == 0 and good['Log'][-1]['Output'] == 'looked\n'
    assert '(healthy)' in engine.wherry('ps').ok().out
    engine.wherry('exec', 'sick', 'touch', '/broken').ok()
    bad = wait_health(engine, 'sick', 'unhealthy')
    assert bad['FailingStreak'] >= 2 and bad['Log'][-1]['ExitCode'] == 1
    assert len(bad['Log']) <= 5
    assert '(unhealthy)' in engine.wherry('ps').ok().out
    engine.wherry('exec', 'sick', 'rm', '/broken').ok()
    wait_health(engine, 'sick', 'healthy')


def test_events_and_filter(engine, docker_major):
    assert docker_major
    events = engine.start_wherry('events', '--filter', 'event=health_status', '--format', 'json')
    start(engine, 'true')
    wait_health(engine, 'sick', 'healthy')
    events.read_until('health_status: healthy', 10)
    events.kill()
    names = engine.docker('ps', '--filter', 'health=healthy', '--format', '{{.Names}}').ok().out.split()
    assert names == ['sick']
    assert engine.docker('ps', '-q', '--filter', 'health=unhealthy').ok().out == ''
    assert engine.docker('inspect', '-f', '{{.State.Health.Status}}', 'sick').ok().out == 'healthy\n'


def test_starting(engine):
    start(engine, 'exit 1', '--health-start-period', '1h', '--health-start-interval', '100ms',
          '--health-retries', '1')

    def tried():
        found = health(engine, 'sick')
        return found if len(found['Log']) >= 3 else None
    found = engine.machine.wait_for(tried, 'no checks in the start period', 15)
    assert found['Status'] == 'starting' and found['FailingStreak'] == 0
    assert '(health: starting)' in engine.wherry('ps').ok().out


@BOTH
def test_a_check_that_hangs(engine):
    start(engine, 'echo began; exec sleep 500', '--health-timeout', '3s', '--health-retries', '1')
    found = wait_health(engine, 'sick', 'unhealthy', 30)
    assert found['Log'][-1]['ExitCode'] == -1
    assert 'timeout' in found['Log'][-1]['Output'] and 'began' in found['Log'][-1]['Output']

    def few():
        out = engine.wherry('top', 'sick', '-o', 'args').ok().out
        return out.count('sleep 500') <= 1
    engine.machine.wait_for(few, 'checks that hung were not ended', 10)


def test_a_check_that_cannot_be_executed(engine):
    engine.wherry('create', '--name', 'sick', '--network', 'none', *FAST, '--health-retries', '1',
                  '--health-cmd', 'no-such-program', engine.busybox, 'sleep', '1000').ok()
    engine.wherry('start', 'sick').ok()
    found = wait_health(engine, 'sick', 'unhealthy')
    assert found['Log'][-1]['ExitCode'] == 127


def test_pause_and_end(engine):
    start(engine, 'true')
    wait_health(engine, 'sick', 'healthy')
    engine.wherry('pause', 'sick').ok()
    engine.wherry('unpause', 'sick').ok()
    assert health(engine, 'sick')['Status'] == 'healthy'
    engine.wherry('restart', '-t', '0', 'sick').ok()
    wait_health(engine, 'sick', 'healthy')
    engine.wherry('rm', '-f', 'sick').ok()


@BOTH
def test_a_new_daemon_goes_on(engine):
    start(engine, 'true')
    wait_health(engine, 'sick', 'healthy')
    engine.stop()
    engine.start()
    wait_health(engine, 'sick', 'healthy')


def test_of_an_image(fresh_engine, faulty_registry):
    """The image's check runs, parts of it may be changed, and it can be switched off."""
    engine, arch = fresh_engine, fresh_engine.machine.arch
    base = reference.load('busybox')['latest']
    manifest = next(part for part in base.parts
                    if json.loads(part.parts[0].data)['architecture'] == arch)
    image = oci.image(manifest.parts[1:], arch, Cmd=['sleep', '1000'], Healthcheck={
        'Test': ['CMD', 'sh', '-c', 'exit 0'], 'Interval': 200_000_000, 'Retries': 7})
    faulty_registry.add('checked', '1', image)
    name = f'{faulty_registry.name}/checked:1'
    engine.wherry('pull', '-q', name).ok()
    engine.run_detached('--name', 'one', '--health-retries', '2', name)
    wait_health(engine, 'one', 'healthy')
    config = engine.inspect('one')['Config']['Healthcheck']
    assert (config['Interval'], config['Retries']) == (200_000_000, 2)
    engine.run_detached('--name', 'two', '--no-healthcheck', name)
    assert 'Health' not in engine.state('two')


@pytest.mark.parametrize('options, pattern', [
    (['--health-cmd', 'true', '--no-healthcheck'], 'conflict'),
    (['--health-interval', 'often'], 'health-interval'),
    (['--health-cmd', 'true', '--health-interval', '10us'], '1ms'),
    (['--health-cmd', 'true', '--health-retries', '-1'], 'negative'),
])
def test_bad_options(engine, options, pattern):
    result = engine.wherry('create', *options, engine.busybox)
    result.fails(125, pattern)


# --init

@BOTH
def test_init_reaps_and_passes_signals_on(engine):
    engine.run_detached('--name', 'init', '--init', engine.busybox, 'sh', '-c',
                        'trap "echo ended; exit 7" TERM; (sleep 0.2 & ) ; echo ready; '
                        'while :; do sleep 0.1; done')

    def ready():
        return 'ready' in engine.wherry('logs', 'init').ok().out
    engine.machine.wait_for(ready, 'not started', 10)
    lines = engine.wherry('exec', 'init', 'cat', '/proc/1/cmdline').ok().out
    assert lines.startswith('/sbin/docker-init')

    def no_zombies():
        return ' Z ' not in engine.wherry('top', 'init', '-o', 'pid,stat,comm').ok().out
    engine.machine.wait_for(no_zombies, 'a process was not reaped', 10)
    engine.wherry('stop', '-t', '10', 'init').ok()
    assert engine.state('init')['ExitCode'] == 7
    assert 'ended' in engine.wherry('logs', 'init').ok().out


@pytest.mark.parametrize('command, code', [
    (['sh', '-c', 'exit 3'], 3), (['no-such-program'], 127), (['/etc/passwd'], 126),
    (['sh', '-c', 'kill -9 $$'], 137),
])
def test_init_exit_codes(engine, command, code):
    result = engine.wherry('run', '--rm', '--init', '--network', 'none', engine.busybox, *command)
    assert result.code == code, str(result)


def test_init_with_a_terminal(engine, docker_major):
    assert docker_major
    out = engine.docker('run', '--rm', '--init', '--network', 'none', engine.busybox, 'sh', '-c',
                        'echo $$; ls -l /sbin/docker-init').ok().out
    assert out.splitlines()[0] != '1' and 'docker-init' in out


# Files of labels and variables

def test_label_file_and_env_file(engine):
    labels, variables = engine.dir + '/labels', engine.dir + '/env'
    engine.machine.write(labels, b'# comment\na=1\nb=from file\n\nc\n')
    engine.machine.write(variables, b'ONE=1\nTWO=from file\n')
    engine.wherry('create', '--name', 'labelled', '--label-file', labels, '-l', 'b=2',
                  '--env-file', variables, '-e', 'TWO=2', engine.busybox).ok()
    config = engine.inspect('labelled')['Config']
    assert {key: config['Labels'][key] for key in 'abc'} == {'a': '1', 'b': '2', 'c': ''}
    assert 'ONE=1' in config['Env'] and 'TWO=2' in config['Env']
    one_clear_error(engine.wherry('update', 'labelled'), 'nothing to change')
    engine.wherry('create', '--label-file', '/no/such', engine.busybox).fails(125, '/no/such')
