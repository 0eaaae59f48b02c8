"""exec: further processes in a running container, by wherry's CLI and by docker's."""

import contextlib
import json
import signal

import pytest

from harness.unix_http import UnixConnection


@pytest.fixture
def sleeper(engine):
    """A running container that does nothing."""
    return engine.run_detached('--name', 'sleeper', '-e', 'FROM_CONTAINER=1', engine.busybox,
                               'sleep', '1000')


@pytest.mark.machines('host', 'vm', 'vm-32')
def test_output_and_exit_code_come_back(engine, sleeper):
    result = engine.wherry('exec', sleeper, 'sh', '-c', 'echo out; echo err >&2; exit 7')
    assert (result.code, result.out, result.err) == (7, 'out\n', 'err\n')


def test_it_is_inside_the_container(engine, sleeper):
    engine.wherry('exec', sleeper, 'sh', '-c', 'echo seen >/made').ok()
    assert engine.wherry('exec', 'sleeper', 'cat', '/made').ok().out == 'seen\n'
    for name in ('pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup'):
        inside = engine.wherry('exec', sleeper, 'readlink', f'/proc/self/ns/{name}').ok().out
        first = engine.wherry('exec', sleeper, 'readlink', f'/proc/1/ns/{name}').ok().out
        assert inside == first, name
    pids = engine.wherry('exec', sleeper, 'sh', '-c', 'echo /proc/[0-9]*').ok().out.split()
    assert '/proc/1' in pids and len(pids) <= 3
    assert engine.wherry('exec', sleeper, 'cat', '/proc/self/cgroup').ok().out.splitlines()[-1] == '0::/'


@pytest.mark.machines('host')
def test_nothing_of_the_host_is_open(engine, sleeper):
    targets = engine.wherry('exec', sleeper, 'sh', '-c',
                            'for fd in /proc/$$/fd/*; do readlink $fd; done').out.split()
    assert len(targets) == 3 and all(target.startswith(('pipe:', '/dev/null')) for target in targets), targets


@pytest.mark.machines('host', 'vm', 'vm-32')
def test_same_confinement_as_the_container(engine, sleeper):
    def facts(argv):
        text = engine.wherry('exec', sleeper, *argv).ok().out
        return {line.split(':')[0]: line.split()[1] for line in text.splitlines()
                if line.startswith(('Cap', 'Seccomp:', 'NoNewPrivs'))}
    mine = facts(['cat', '/proc/self/status'])
    assert mine == facts(['cat', '/proc/1/status'])
    assert mine['Seccomp'] == '2' and mine['CapEff'] == '00000000a80425fb'


@pytest.mark.machines('host')
def test_privileged_has_all_capabilities(engine, sleeper):
    text = engine.wherry('exec', '--privileged', sleeper, 'grep', 'CapEff', '/proc/self/status').ok().out
    assert int(text.split()[1], 16) & (1 << 21)  # CAP_SYS_ADMIN


@pytest.mark.machines('host')
def test_environment_user_and_directory(engine, sleeper):
    out = engine.wherry('exec', '-e', 'ADDED=2', '-u', '65534:65533', '-w', '/tmp', sleeper, 'sh', '-c',
                        'echo $FROM_CONTAINER $ADDED; id -u; id -g; pwd').ok().out
    assert out.split() == ['1', '2', '65534', '65533', '/tmp']


@pytest.mark.machines('host')
def test_input_is_forwarded_and_ends(engine, sleeper):
    result = engine.wherry('exec', '-i', sleeper, 'wc', '-c', input='x' * 200_000)
    assert result.ok().out.strip() == '200000'


@pytest.mark.parametrize('argv, code', [(['no-such-command'], 127), (['/etc'], 126),
                                        (['-w', '/nowhere', 'true'], 127)])
@pytest.mark.machines('host')
def test_a_program_that_cannot_be_executed(engine, sleeper, argv, code):
    options, command = (argv[:2], argv[2:]) if argv[0] == '-w' else ([], argv)
    result = engine.wherry('exec', *options, sleeper, *command)
    assert result.code == code and 'exec failed' in result.err + result.out


@pytest.mark.machines('host')
def test_errors_of_the_container_state(engine):
    engine.wherry('exec', 'nobody', 'true').fails(1, 'No such container: nobody')
    identity = engine.run_detached(engine.busybox, 'true')
    engine.wait_exited(identity)
    engine.wherry('exec', identity, 'true').fails(1, 'is not running')
    running = engine.run_detached(engine.busybox, 'sleep', '1000')
    engine.docker('pause', running).ok()
    engine.wherry('exec', running, 'true').fails(1, 'is paused')
    engine.docker('unpause', running).ok()
    engine.wherry('exec', running, 'true').ok()


@pytest.mark.machines('host')
def test_it_ends_with_its_container(engine, sleeper):
    process = engine.start_wherry('exec', sleeper, 'sh', '-c', 'echo ready; sleep 1000')
    process.read_until('ready', 15 * engine.machine.slow)
    engine.wherry('kill', sleeper).ok()
    assert process.wait(15 * engine.machine.slow) == 137


@pytest.mark.machines('host', 'vm', 'vm-32')
def test_terminal(engine, sleeper):
    process = engine.start_wherry('exec', '-it', sleeper, 'sh', tty=(30, 100))
    process.write(b'tty; stty size; exit 5\n')
    assert process.wait(20 * engine.machine.slow) == 5
    assert b'/dev/pts/' in process.out and b'30 100' in process.out


@pytest.mark.machines('host')
def test_detached_outlives_the_client_and_the_daemon(engine, sleeper):
    engine.wherry('exec', '-d', sleeper, 'sh', '-c', 'sleep 1; echo late >/late; sleep 1000').ok()
    engine.kill(signal.SIGKILL)
    engine.start()
    engine.machine.wait_for(
        lambda: 'late' in engine.wherry('exec', sleeper, 'cat', '/late').out, 'the process ended')


@pytest.mark.machines('host')
def test_inspect_and_events(engine, sleeper):
    process = engine.start_wherry('exec', sleeper, 'sh', '-c', 'echo ready; sleep 2; exit 3')
    process.read_until('ready', 15 * engine.machine.slow)
    identity, = engine.inspect(sleeper)['ExecIDs']
    assert process.wait(20 * engine.machine.slow) == 3
    until = engine.machine.shell('sleep 1.1; date +%s').ok().out.strip()
    lines = engine.wherry('events', '--since', str(int(until) - 600), '--until', until, '--filter',
                          f'container={sleeper}', '--format', 'json').ok().out.splitlines()
    events = {event['Action'].split(':')[0]: event for event in map(json.loads, lines)}
    assert events['exec_create']['Action'] == 'exec_create: sh -c echo ready; sleep 2; exit 3'
    attributes = events['exec_die']['Actor']['Attributes']
    assert attributes['execID'] == identity and attributes['exitCode'] == '3'
    assert 'exec_start' in events


@pytest.mark.machines('host')
def test_many_at_once_leave_nothing(engine, sleeper):
    processes = [engine.start_wherry('exec', sleeper, 'sh', '-c', f'echo {i}; sleep 0.2') for i in range(8)]
    for i, process in enumerate(processes):
        assert process.wait(30 * engine.machine.slow) == 0 and process.out.decode().strip() == str(i)
    engine.machine.wait_for(
        lambda: not engine.machine.shell(f'ls {engine.rundir}/c/{sleeper}/exec').out, 'directories are left')


def test_docker_cli(engine, sleeper, docker_major):
    assert engine.docker('exec', sleeper, 'echo', 'hello').ok().out == 'hello\n'
    assert engine.docker('exec', '-i', sleeper, 'cat', input='typed').ok().out == 'typed'
    result = engine.docker('exec', sleeper, 'sh', '-c', 'echo err >&2; exit 9')
    assert result.code == 9 and result.err == 'err\n'
    assert engine.docker('exec', sleeper, 'no-such-command').code == 127
    engine.docker('exec', '-d', sleeper, 'touch', '/detached').ok()
    engine.machine.wait_for(
        lambda: engine.docker('exec', sleeper, 'test', '-e', '/detached').code == 0, 'no file')
    process = engine.start_docker('exec', '-it', sleeper, 'sh', tty=(30, 100))
    process.write(b'stty size; exit 4\n')
    assert process.wait(20 * engine.machine.slow) == 4 and b'30 100' in process.out


@pytest.mark.machines('host')
@pytest.mark.parametrize('body, status, says', [
    ('{', 400, 'request body'), ('[]', 400, 'JSON object'), ('{}', 400, 'No exec command specified'),
    ('{"Cmd":"sh"}', 400, 'Cmd'), ('{"Cmd":[1]}', 400, 'Cmd'), ('{"Cmd":["sh"],"Env":{}}', 400, 'Env'),
    ('{"Cmd":["sh"],"WorkingDir":"relative"}', 400, 'absolute'),
    ('{"Cmd":["sh"],"DetachKeys":"ctrl-?x"}', 400, 'detach keys'), ('{"Cmd":["sh"],"Tty":"yes"}', 400, 'Tty')])
def test_bad_requests(engine, sleeper, body, status, says):
    with contextlib.closing(UnixConnection(engine.socket)) as connection:
        connection.request('POST', f'/containers/{sleeper}/exec', body, {'Content-Type': 'application/json'})
        answer = connection.getresponse()
        text = answer.read().decode()
    assert answer.status == status and says in text, text
    assert engine.inspect(sleeper)['ExecIDs'] is None


@pytest.mark.machines('host')
def test_it_starts_once_and_only_what_exists(engine, sleeper):
    def ask(method, path, body='{}'):
        with contextlib.closing(UnixConnection(engine.socket)) as connection:
            connection.request(method, path, body, {'Content-Type': 'application/json'})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or 'null')

    identity = ask('POST', f'/containers/{sleeper}/exec', '{"Cmd":["sleep","1000"]}')[1]['Id']
    assert ask('GET', f'/exec/{identity}/json')[1]['ExitCode'] is None
    assert ask('POST', f'/exec/{identity}/start', '{"Detach":true}')[0] == 200
    status, answer = ask('POST', f'/exec/{identity}/start', '{"Detach":true}')
    assert status == 409 and 'already running' in answer['message']
    assert ask('POST', f'/exec/{identity}/resize?h=x&w=1')[0] == 400
    for path in ('start', 'resize?h=1&w=1'):
        assert ask('POST', f'/exec/{"0" * 64}/{path}')[0] == 404
    assert ask('GET', f'/exec/{"0" * 64}/json')[0] == 404
