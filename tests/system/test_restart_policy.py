"""Restart policies and the restart command."""

import signal

import pytest


def count(engine, name):
    return engine.inspect(name)['RestartCount']


def wait_restarts(engine, name, least):
    engine.machine.wait_for(lambda: count(engine, name) >= least, f'{name} is not started again', 30)


def test_always_starts_again_until_it_is_stopped(engine):
    identity = engine.run_detached('--restart', 'always', engine.busybox, 'sh', '-c', 'echo run; exit 0')
    wait_restarts(engine, identity, 2)
    state = engine.machine.wait_for(
        lambda: (lambda s: s if s['Restarting'] else None)(engine.state(identity)), 'never restarting')
    assert state['Status'] == 'restarting' and state['Running'] is True
    engine.wherry('rm', identity).fails(1, 'is (restarting|running): stop the container')
    engine.wherry('stop', identity).ok()
    assert engine.state(identity)['Status'] == 'exited'
    runs = engine.wherry('logs', identity).ok().out.count('run')
    assert runs >= 3
    engine.machine.shell('sleep 1')
    assert engine.wherry('logs', identity).ok().out.count('run') == runs


@pytest.mark.machines('host')
def test_on_failure_counts(engine):
    identity = engine.run_detached('--restart', 'on-failure:2', engine.busybox, 'sh', '-c', 'echo run; exit 3')
    engine.machine.wait_for(lambda: engine.state(identity)['Status'] == 'exited', 'it goes on for ever')
    assert count(engine, identity) == 2 and engine.state(identity)['ExitCode'] == 3
    assert engine.wherry('logs', identity).ok().out.count('run') == 3
    good = engine.run_detached('--restart', 'on-failure', engine.busybox, 'true')
    engine.wait_exited(good)
    assert count(engine, good) == 0


@pytest.mark.machines('host')
def test_kill_and_stop_do_not_start_again(engine):
    for command in ('kill', 'stop'):
        identity = engine.run_detached('--restart', 'always', engine.busybox, 'sleep', '1000')
        engine.wherry(command, identity).ok()
        engine.machine.shell('sleep 0.5')
        assert engine.state(identity)['Status'] == 'exited', command


@pytest.mark.machines('host')
def test_removal_ends_it(engine):
    identity = engine.run_detached('--restart', 'always', engine.busybox, 'false')
    wait_restarts(engine, identity, 1)
    engine.wherry('rm', '-f', identity).ok()
    assert engine.containers() == []


@pytest.mark.machines('host')
def test_with_the_daemon(new_engine, registry):
    """What is started when the daemon is, after a restart of the machine: /run is empty then."""
    engine = new_engine(new_engine.trust(registry.name))
    engine.login(registry.name)
    image = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', image, timeout=120).ok()
    rows = [('always', 'always', False, True), ('always-stopped', 'always', True, True),
            ('unless', 'unless-stopped', False, True), ('unless-stopped', 'unless-stopped', True, False),
            ('failure', 'on-failure', False, True), ('failure-stopped', 'on-failure', True, False),
            ('none', 'no', False, False)]
    for name, policy, stopped, _ in rows:
        engine.run_detached('--name', name, '--restart', policy, image, 'sleep', '1000')
        if stopped:
            engine.wherry('stop', '-t', '0', name).ok()
    engine.run_detached('--name', 'succeeded', '--restart', 'on-failure', image, 'true')
    engine.wait_exited('succeeded')
    engine.wherry('create', '--name', 'never-started', '--restart', 'always', image, 'sleep', '1000').ok()
    running = [name for name, _, stopped, _ in rows if not stopped]
    pids = [engine.state(name)['Pid'] for name in running]
    engine.kill(signal.SIGKILL)
    engine.machine.shell(f'kill -9 {" ".join(map(str, pids))}; sleep 1; rm -rf {engine.rundir}')
    engine.start()
    for name, _, _, starts in rows:
        wanted = 'running' if starts else 'exited'
        engine.machine.wait_for(lambda n=name, w=wanted: engine.state(n)['Status'] == w, f'{name} is not {wanted}')
    assert engine.state('succeeded')['Status'] == 'exited'
    assert engine.state('never-started')['Status'] == 'created'
    engine.remove_containers()


def test_restart_command(engine):
    identity = engine.run_detached('--rm', engine.busybox, 'sleep', '1000')
    first = engine.state(identity)['Pid']
    engine.wherry('restart', '-t', '0', identity).ok()
    assert engine.state(identity)['Status'] == 'running' and engine.state(identity)['Pid'] != first
    stopped = engine.run_detached(engine.busybox, 'sh', '-c', 'sleep 1000')
    engine.wherry('stop', '-t', '0', stopped).ok()
    assert engine.docker('restart', '-t', '0', stopped).ok().out.strip() == stopped
    assert engine.state(stopped)['Status'] == 'running'


def test_pause_and_rename_commands(engine):
    identity = engine.run_detached('--name', 'first', engine.busybox, 'sleep', '1000')
    engine.wherry('pause', 'first').ok()
    assert engine.state(identity)['Status'] == 'paused'
    engine.wherry('unpause', 'first').ok()
    assert engine.state(identity)['Status'] == 'running'
    engine.wherry('rename', 'first', 'second').ok()
    assert engine.inspect('second')['Id'] == identity
