"""Options of wherry-runtime that engines rarely use: terminals in the foreground, sockets, single limits, events."""

import array
import contextlib
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from oci_box import RUNTIME

pytestmark = pytest.mark.machines('host')


class Session:
    """A program of the runtime on a terminal of its own."""

    def __init__(self, box, *words):
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 99, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.output = ''
        self.process = subprocess.Popen([RUNTIME, '--root', box.root, *words], stdin=slave, stdout=slave, stderr=slave)

    def wait_for(self, text):
        deadline = time.monotonic() + 20
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 4096).decode()

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """(exit status, whether the terminal is as it was)"""
        return self.process.wait(20), termios.tcgetattr(self.slave) == self.before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_a_terminal_in_the_foreground(box):
    box.config['process'].update(terminal=True, args=[
        'sh', '-c', 'stty size; tty; read word; stty size; trap "echo interrupted; exit 5" INT; echo ready; '
        'while :; do sleep 0.1; done'])
    box.write()
    with Session(box, 'run', '--bundle', box.bundle, 'tty') as session:
        session.wait_for('33 99\r\n/dev/pts/0\r\n')
        fcntl.ioctl(session.slave, termios.TIOCSWINSZ, struct.pack('HHHH', 44, 111, 0, 0))
        session.process.send_signal(signal.SIGWINCH)
        session.type('go\n')
        session.wait_for('44 111\r\nready\r\n')
        session.type('\x03')  # only the container's terminal makes it SIGINT
        session.wait_for('interrupted')
        assert session.end() == (5, True)


def test_what_runs_in_the_foreground_can_be_changed_meanwhile(box):
    box.config['process']['args'] = ['sleep', '100']
    box.write()
    with subprocess.Popen([RUNTIME, '--root', box.root, 'run', '--bundle', box.bundle, 'box']) as running:
        box.machine.wait_for(lambda: box.run('state', 'box').code == 0, 'no container', 10)
        box.wait_for('box', 'running')
        for words in (['pause', 'box'], ['resume', 'box'], ['delete', '--force', 'box']):
            box.run(*words, timeout=10).ok()
        assert running.wait(10) == 128 + signal.SIGKILL


def test_exec_with_a_terminal(box):
    box.started('box', 'sleep', '100')
    with Session(box, 'exec', '--tty', 'box', 'sh', '-c', 'read word; echo got $word; exit 6') as session:
        session.type('this\n')
        session.wait_for('got this\r\n')
        assert session.end() == (6, True)
    # Without a terminal here: the end of the input is the end of the program's.
    out = box.machine.run([RUNTIME, '--root', box.root, 'exec', '-t', 'box', 'cat'], input=b'words\n').ok().out
    assert 'words\n' in out  # and no carriage return where no terminal is


def test_much_output_over_a_terminal(box):
    box.config['process'].update(terminal=True, args=['sh', '-c', 'seq 1 100000'])
    box.write()
    out = box.run('run', '--bundle', box.bundle, 'much').ok().out
    assert out.split() == [str(number) for number in range(1, 100001)]


def test_a_terminal_needs_somebody_who_holds_it(box):
    box.config['process']['terminal'] = True
    box.write()
    for words in (['create'], ['run', '--detach']):
        box.run(*words, '--bundle', box.bundle, 'tty').fails(1, 'cannot allocate tty .* --console-socket')


def test_a_variable_of_exec_takes_the_place_of_the_containers(box):
    box.started('box', 'sleep', '100')
    out = box.run('exec', '--env', 'PATH=/bin', '--env', 'A=1', '--env', 'A=2', 'box', 'env').ok().out
    assert [line for line in out.splitlines() if line.startswith(('PATH=', 'A='))] == ['PATH=/bin', 'A=2']


def test_an_empty_home_is_none(box):
    box.config['process'].update(args=['env'], env=['HOME=/x', 'A=1', 'HOME=', 'A=2', 'PATH=/bin'])
    passwd = pathlib.Path(box.dir, 'passwd')
    passwd.write_text('root:x:0:0::/of-root:/bin/sh\n')
    box.config['mounts'].append({'destination': '/etc/passwd', 'source': str(passwd), 'options': ['bind']})
    box.config['root']['readonly'] = False
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'box').ok().out.split() == ['A=2', 'PATH=/bin', 'HOME=/of-root']


def test_kill_without_a_pid_namespace_reaches_all(box):
    box.config['linux']['namespaces'] = [n for n in box.config['linux']['namespaces'] if n['type'] != 'pid']
    box.started('box', 'sh', '-c', 'sleep 100 & exec sleep 100')
    box.machine.wait_for(lambda: len(json.loads(box.run('ps', '-f', 'json', 'box').ok().out)) == 2, 'not two', 10)
    box.run('kill', 'box', '0').ok()
    box.run('kill', 'box', 'KILL').ok()
    box.wait_for('box', 'stopped')
    box.machine.wait_for(lambda: json.loads(box.run('ps', '-f', 'json', 'box').ok().out) == [], 'one is left', 10)
    box.run('kill', 'box', '0').fails(1, 'container not running')


def test_pidfd_socket(box):
    path = f'{box.dir}/pidfd'
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen(2)
        box.create('box', 'sleep', '100', options=['--pidfd-socket', path]).ok()
        connection, _ = listener.accept()
        with connection:
            _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
        pidfd = array.array('i', ancillary[0][2])[0]
    box.run('start', 'box').ok()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    box.wait_for('box', 'stopped')


@pytest.mark.parametrize('words, says', [
    ([], 'update needs --resources or a limit'),
    (['--memory', 'much'], '--memory: size "much" does not begin with a digit'),
    (['--pids-limit', '64M'], '--pids-limit 64M is not a number'),
    (['--cpu-quota', '-2'], '--cpu-quota -2 is not a number'),
    (['--cpuset-cpus', 'x'], 'cpuset.cpus must look like'),
    (['--kernel-memory', '1'], 'the option --kernel-memory is not supported')])
def test_limits_that_cannot_be(box, words, says):
    box.started('box', 'sleep', '100')
    box.run('update', *words, 'box').fails(1, says)


def test_events_follow_a_container(box):
    box.started('box', 'sleep', '100')
    follower = subprocess.Popen([RUNTIME, '--root', box.root, 'events', '--interval', '100ms', 'box'],
                                stdout=subprocess.PIPE, text=True)
    lines = [json.loads(follower.stdout.readline()) for _ in range(3)]
    assert {(line['type'], line['id']) for line in lines} == {('stats', 'box')}
    box.run('kill', 'box', 'KILL').ok()
    assert follower.wait(10) == 0
    follower.stdout.close()
    box.run('events', '--interval', '0s', 'box').fails(1, '--interval 0s is not a time')


def test_exec_into_a_cgroup_below(box):
    box.config['mounts'].append({'destination': '/sys', 'type': 'sysfs', 'options': ['ro']})
    box.config['mounts'].append({'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'options': ['rw']})
    box.started('box', 'sh', '-c', 'mkdir -p /sys/fs/cgroup/a/b; sleep 100')
    box.machine.wait_for(lambda: box.run('exec', 'box', 'test', '-d', '/sys/fs/cgroup/a/b').code == 0, 'no cgroup', 10)
    for name in ('a', 'a/b', '/a'):
        out = box.run('exec', '--cgroup', name, 'box', 'cat', '/proc/self/cgroup').ok().out
        assert f'0::/{name.strip("/")}\n' in out
    box.run('exec', '--cgroup', 'a/../..', 'box', 'true').fails(255, '`..` components are not allowed')
    box.run('exec', '--cgroup', 'none', 'box', 'true').fails(255, "the process's cgroup.*none")


def test_without_cgroups(box):
    mine = pathlib.Path('/proc/self/cgroup').read_text()
    box.config['linux']['namespaces'] = [n for n in box.config['linux']['namespaces'] if n['type'] != 'cgroup']
    box.config['process']['args'] = ['cat', '/proc/self/cgroup']
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'box', options=['--cgroup-manager', 'disabled']).ok().out == mine
    box.create('box', 'sleep', '100', options=[]).ok()
    box.run('delete', '--force', 'box').ok()


def test_help_of_each_command(box):
    for line in box.run('--help').ok().out.splitlines()[1:]:
        name = line.split()[0]
        assert box.run(name, '--help').ok().out.startswith(f'usage: wherry-runtime {name} [OPTION...]')
    assert '--console-socket VALUE' in box.run('exec', '--help').out


def test_a_created_container_holds_nothing_of_the_host(box):
    box.create('box', 'true').ok()
    init = box.state('box')['pid']
    links = {int(link.name): os.readlink(link) for link in pathlib.Path(f'/proc/{init}/fd').iterdir()}
    assert [name.split(':')[0] for number, name in links.items() if number > 2] == ['socket'] * 2
