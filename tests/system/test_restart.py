"""The daemon is killed or ends; containers go on and nothing of them is lost."""

import json
import re
import signal

import pytest

pytestmark = pytest.mark.machines('host', 'vm')

LINES = 400
PAUSE_US = 10000  # 4 s of log


def numbers(text):
    return [int(number) for number in re.findall(r'line (\d{8})', text)]


@pytest.fixture
def logging_container(engine):
    """A container that writes numbered lines for some seconds and ends with status 0."""
    identity = engine.run_detached('--name', 'logger', engine.probe, 'probe', 'lines', LINES, PAUSE_US)
    engine.machine.wait_for(lambda: numbers(engine.wherry('logs', identity).out), 'no log')
    return identity


def test_no_line_is_lost_over_a_kill(engine, logging_container):
    engine.kill()
    engine.machine.run(['sleep', '0.7'])
    engine.start()
    assert engine.state(logging_container)['Running'] is True
    state = engine.wait_exited(logging_container, 20)
    assert state['ExitCode'] == 0
    assert numbers(engine.wherry('logs', logging_container).ok().out) == list(range(1, LINES + 1))


def test_no_line_is_lost_over_many_kills(engine, logging_container):
    for _ in range(4):
        engine.kill()
        engine.machine.run(['sleep', '0.2'])
        engine.start()
    engine.wait_exited(logging_container, 20)
    assert numbers(engine.wherry('logs', logging_container).ok().out) == list(range(1, LINES + 1))


def test_following_continues_after_the_restart(engine, logging_container):
    engine.kill()
    engine.start()
    follow = engine.start_wherry('logs', '-f', logging_container)
    assert follow.wait(20 * engine.machine.slow) == 0
    assert numbers(follow.out.decode()) == list(range(1, LINES + 1))


def test_containers_are_found_again_and_can_be_ended(engine):
    sleeper = engine.run_detached('--name', 'sleeper', engine.probe, 'probe', 'exit-on-term', '3')
    stubborn = engine.run_detached('--name', 'stubborn', engine.busybox, 'sleep', '1000')
    before = {name: engine.state(name)['Pid'] for name in (sleeper, stubborn)}
    engine.kill()
    engine.start()
    listed = engine.wherry('ps', '-q', '--no-trunc').ok().out.split()
    assert set(listed) == {sleeper, stubborn}
    assert {name: engine.state(name)['Pid'] for name in before} == before
    engine.wherry('stop', 'sleeper').ok()
    assert engine.state(sleeper)['ExitCode'] == 3
    engine.wherry('kill', 'stubborn').ok()
    assert engine.wait_exited(stubborn)['ExitCode'] == 137


def test_container_that_ended_meanwhile_has_its_exit_code(engine):
    quick = engine.run_detached('--name', 'quick', engine.busybox, 'sh', '-c',
                                'sleep 1; echo last words; exit 23')
    engine.kill()
    engine.machine.run(['sleep', '2'])
    engine.start()
    state = engine.state(quick)
    assert (state['Status'], state['ExitCode']) == ('exited', 23)
    assert state['FinishedAt'] > state['StartedAt']
    assert engine.wherry('logs', quick).ok().out == 'last words\n'
    assert engine.wherry('wait', quick).ok().out.strip() == '23'


def test_container_with_rm_that_ended_meanwhile_is_removed(engine):
    engine.run_detached('--rm', engine.busybox, 'sleep', '1')
    engine.kill()
    engine.machine.run(['sleep', '1.5'])
    engine.start()
    engine.machine.wait_for(lambda: engine.containers() == [], 'the container is still there')


def test_attach_after_the_restart(engine):
    identity = engine.run_detached('-i', engine.busybox, 'sh', '-c', 'read a; echo got $a; exit 6')
    engine.kill()
    engine.start()
    client = engine.start_wherry('attach', identity)
    client.write(b'something\n')
    assert client.wait(20 * engine.machine.slow) == 6
    assert client.out == b'got something\n'


def test_terminal_after_the_restart(engine):
    identity = engine.run_detached('-it', engine.busybox, 'sh')
    engine.kill()
    engine.start()
    client = engine.start_wherry('attach', identity, tty=(27, 77))
    client.write(b'stty size; exit 2\n')
    client.read_until(rb'27 77\r\n', 20 * engine.machine.slow)
    assert client.wait(20 * engine.machine.slow) == 2


def test_wait_of_a_client_breaks_but_the_container_lives(engine):
    client = engine.start_wherry('run', '--name', 'attached', engine.busybox, 'sleep', '1000')
    engine.machine.wait_for(
        lambda: engine.wherry('ps', '-q').out.strip(), 'the container does not run')
    engine.kill()
    assert client.wait(15 * engine.machine.slow) != 0
    engine.start()
    assert engine.state('attached')['Running'] is True


def test_orderly_end_leaves_containers_running(engine):
    identity = engine.run_detached(engine.busybox, 'sleep', '1000')
    pid = engine.state(identity)['Pid']
    assert engine.kill(signal.SIGTERM) == 0
    assert engine.machine.run(['test', '-d', f'/proc/{pid}']).code == 0
    assert not engine.machine.exists(engine.socket)
    engine.start()
    assert engine.state(identity)['Pid'] == pid


def test_created_container_survives(engine):
    identity = engine.wherry('create', '--name', 'made', engine.busybox, 'echo', 'x').ok().out.strip()
    engine.kill()
    engine.start()
    assert engine.inspect('made')['State']['Status'] == 'created'
    assert engine.wherry('start', '-a', identity).ok().out == 'x\n'


def test_killed_while_containers_start(engine):
    """Whatever was half done when the daemon died is whole or gone afterwards."""
    clients = [engine.start_wherry('run', '-d', engine.busybox, 'sleep', '1000') for _ in range(4)]
    engine.machine.run(['sleep', '0.05'])
    engine.kill()
    for client in clients:
        client.wait(15 * engine.machine.slow)
    engine.start()
    for identity in engine.containers():
        state = engine.state(identity)
        assert state['Status'] in ('created', 'running', 'exited'), json.dumps(state)
        if state['Running']:
            assert engine.machine.exists(f'/proc/{state["Pid"]}')
    engine.remove_containers()


def test_killed_shim_is_noticed(engine):
    """A container whose shim was killed is ended: nobody would read its output or its status."""
    identity = engine.run_detached('--network', 'none', engine.busybox, 'sleep', '1000')
    pid = engine.state(identity)['Pid']
    parent = engine.machine.shell(f'grep PPid /proc/{pid}/status').ok().out.split()[1]
    engine.machine.run(['kill', '-9', parent]).ok()
    state = engine.wait_exited(identity)
    assert state['ExitCode'] == 137 and 'supervisor' in state['Error']
    # Process 1 of some machines takes its time to reap.
    engine.machine.wait_for(
        lambda: engine.machine.shell(f'grep -E "^State:.[ZX]" /proc/{pid}/status || '
                                     f'! test -d /proc/{pid}').code == 0,
        'the container still runs')