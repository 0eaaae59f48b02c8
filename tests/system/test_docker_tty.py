"""Terminals: `docker run -it` and `wherry run -it` with a real pty on our side."""

import re
import signal

import pytest

pytestmark = [pytest.mark.machines('host', 'vm'), pytest.mark.usefixtures('docker_major')]

CLIENTS = ['docker', 'wherry']


def start(engine, client, *args, size=(30, 90)):
    launch = engine.start_docker if client == 'docker' else engine.start_wherry
    return launch(*args, tty=size)


def shell(engine, client, *options, size=(30, 90)):
    process = start(engine, client, 'run', '--rm', '-it', '--network', 'none', *options,
                    engine.busybox, 'sh', size=size)
    process.read_until(rb'# ', 30 * engine.machine.slow)
    return process


@pytest.mark.parametrize('client', CLIENTS)
def test_shell_session(engine, client):
    process = shell(engine, client)
    process.write(b"echo mar''ker-$((40+2)); tty; test -t 0 && test -t 1 && test -t 2 && echo all-tty\n")
    process.read_until(rb'marker-42\r\n(/dev/pts/0|/dev/console)\r\nall-tty\r\n', 15 * engine.machine.slow)
    process.write(b'exit 5\n')
    assert process.wait(15 * engine.machine.slow) == 5
    assert engine.containers() == []


@pytest.mark.parametrize('client', CLIENTS)
def test_size_of_the_terminal_and_its_changes(engine, client):
    process = shell(engine, client, size=(33, 111))
    size = engine.machine.slow * 15

    def reported(expected):
        process.write(b'stty size\n')
        try:
            process.read_until(expected + rb'\r\n', 1)
            return True
        except AssertionError:
            return False

    engine.machine.wait_for(lambda: reported(b'33 111'), 'the first size', 15)
    process.resize(20, 70)
    process.kill(signal.SIGWINCH)
    engine.machine.wait_for(lambda: reported(b'20 70'), 'the changed size', 15)
    process.write(b'exit\n')
    process.wait(size)


@pytest.mark.parametrize('client', CLIENTS)
def test_control_c_interrupts_the_program_not_the_client(engine, client):
    process = shell(engine, client)
    process.write(b"sleep 100; echo co''de-$?\n")
    engine.machine.run(['sleep', '0.5'])
    process.write(b'\x03')
    process.write(b"echo still-he''re\n")
    process.read_until(rb'still-here\r\n', 15 * engine.machine.slow)
    process.write(b'exit 0\n')
    assert process.wait(15 * engine.machine.slow) == 0


@pytest.mark.parametrize('client', CLIENTS)
def test_control_d_ends_the_shell(engine, client):
    process = shell(engine, client)
    process.write(b'\x04')
    assert process.wait(15 * engine.machine.slow) == 0


@pytest.mark.parametrize('client', CLIENTS)
def test_detach_keys_leave_the_container_running(engine, client):
    process = start(engine, client, 'run', '-it', '--name', 'kept', '--network', 'none',
                    engine.busybox, 'sh')
    process.read_until(rb'# ', 30 * engine.machine.slow)
    process.write(b'\x10')
    process.write(b'\x11')
    process.wait(15 * engine.machine.slow)
    assert engine.state('kept')['Running'] is True
    again = start(engine, client, 'attach', 'kept')
    again.write(b"echo ba''ck\n")
    again.read_until(rb'back\r\n', 15 * engine.machine.slow)
    again.write(b'exit 8\n')
    assert again.wait(15 * engine.machine.slow) == 8


@pytest.mark.parametrize('client', CLIENTS)
def test_much_output_through_a_terminal(engine, client):
    lines = 3000 // engine.machine.slow
    process = start(engine, client, 'run', '--rm', '-t', '--network', 'none', engine.probe, 'probe',
                    'lines', lines, '0')
    assert process.wait(60 * engine.machine.slow) == 0
    numbers = [int(number) for number in re.findall(rb'line (\d{8}) of the log\r+\n', process.out)]
    assert numbers == list(range(1, lines + 1))


def test_logs_of_a_terminal_are_raw(engine):
    identity = engine.docker('run', '-dt', '--network', 'none', engine.busybox, 'echo',
                             'hello').ok().out.strip()
    engine.wait_exited(identity)
    assert engine.docker('logs', identity).ok().raw_out == b'hello\r\n'


def test_terminal_when_the_client_has_none(engine):
    """`-t` without a terminal on our side: docker itself refuses only -i."""
    result = engine.docker('run', '--rm', '-t', '--network', 'none', engine.busybox, 'tty')
    assert result.ok().out.strip() in ('/dev/pts/0', '/dev/console')
