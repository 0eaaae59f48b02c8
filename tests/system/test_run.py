"""`wherry run` and its options, checked from inside the container."""

import json
import signal

import pytest

pytestmark = pytest.mark.machines('host', 'vm')


def run(engine, *args, **more):
    network = [] if '--network' in args else ['--network', 'none']
    return engine.wherry('run', '--rm', *network, *args, **more)


# Exit codes

@pytest.mark.parametrize('script, code', [
    ('exit 0', 0), ('exit 1', 1), ('exit 42', 42), ('exit 125', 125), ('exit 255', 255),
    ('kill -TERM $$', 143), ('kill -KILL $$', 137), ('kill -SEGV $$', 139),
])
def test_exit_code_is_the_programs(engine, script, code):
    # signals in a subshell: PID 1 ignores those it has no handler for
    command = ['sh', '-c', 'sh -c "$1"; exit $?', 'sh', script]
    assert run(engine, engine.busybox, *command).code == code


def test_command_that_does_not_exist_is_127(engine):
    result = run(engine, engine.busybox, 'no-such-program').fails(127, 'no-such-program')
    assert len(result.err.strip().splitlines()) == 1, str(result)


@pytest.mark.parametrize('command', ['/etc/passwd', '/etc'])
def test_command_that_cannot_be_executed_is_126(engine, command):
    run(engine, engine.busybox, command).fails(126, command)


def test_unknown_option_is_125(engine):
    run(engine, '--no-such-option', engine.busybox, 'true').fails(125, 'no-such-option')


def test_image_that_does_not_exist_is_125(engine, registry):
    run(engine, f'{registry.name}/no/such:1', 'true').fails(125, 'no/such')


def test_nothing_is_left_of_a_container_that_could_not_start(engine):
    run(engine, engine.busybox, 'no-such-program').fails(127)
    assert engine.containers() == []


# Streams

def test_output_and_errors_come_on_their_streams(engine):
    result = run(engine, engine.busybox, 'sh', '-c', 'echo one; echo two >&2').ok()
    assert (result.out, result.err) == ('one\n', 'two\n')


def test_input_reaches_the_program_and_ends(engine):
    assert run(engine, '-i', engine.busybox, 'wc', '-c', input='x' * 70000).ok().out.strip() == '70000'


def test_no_input_without_interactive(engine):
    assert run(engine, engine.busybox, 'cat', input='unseen').ok().out == ''


def test_much_output_is_complete(engine):
    lines = 20000 // engine.machine.slow
    out = run(engine, engine.probe, 'probe', 'lines', lines, 0).ok().out.splitlines()
    assert len(out) == lines and out[-1].startswith(f'line {lines:08d}')


def test_binary_output_is_unchanged(engine):
    script = 'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i+1)); done'
    assert run(engine, engine.busybox, 'sh', '-c', script).ok().raw_out == bytes(range(256))


# Options

def test_environment(engine):
    out = run(engine, '-e', 'ONE=1', '-e', 'EMPTY=', '-e', 'TWO=a b', engine.busybox, 'env').ok().out
    lines = out.splitlines()
    assert 'ONE=1' in lines and 'EMPTY=' in lines and 'TWO=a b' in lines
    assert any(line.startswith('PATH=/usr/local/sbin:') for line in lines)
    assert any(line.startswith('HOME=/root') for line in lines)
    assert not any(line.startswith('WHERRY') for line in lines)


def test_environment_taken_from_the_client(engine):
    out = run(engine, '-e', 'GIVEN', '-e', 'MISSING', engine.busybox, 'env',
              env={'GIVEN': 'from outside'}).ok().out
    assert 'GIVEN=from outside' in out.splitlines() and 'MISSING' not in out


def test_working_directory(engine):
    assert run(engine, '-w', '/tmp', engine.busybox, 'pwd').ok().out == '/tmp\n'


def test_working_directory_is_created(engine):
    assert run(engine, '-w', '/new/place', engine.busybox, 'pwd').ok().out == '/new/place\n'


def test_entrypoint(engine):
    out = run(engine, '--entrypoint', 'echo', engine.busybox, 'a', 'b').ok().out
    assert out == 'a b\n'


def test_hostname(engine):
    out = run(engine, '--hostname', 'my-board', engine.busybox, 'sh', '-c',
              'hostname; cat /etc/hostname').ok().out
    assert out == 'my-board\nmy-board\n'


def test_hostname_is_the_short_id_by_default(engine):
    identity = engine.run_detached(engine.busybox, 'hostname')
    engine.wait_exited(identity)
    assert engine.wherry('logs', identity).ok().out.strip() == identity[:12]


@pytest.mark.parametrize('user, expected', [
    ('tester', 'uid=1234(tester) gid=1235(tester) groups=1235(tester),1300(extra)'),
    ('1234', 'uid=1234(tester) gid=1235(tester) groups=1235(tester),1300(extra)'),
    ('1234:0', 'uid=1234(tester) gid=0(root) groups=0(root)'),
    ('4321', 'uid=4321 gid=0(root) groups=0(root)'),
    ('4321:4322', 'uid=4321 gid=4322 groups=4322'),
    ('nobody:extra', 'uid=65534(nobody) gid=1300(extra) groups=1300(extra)'),
])
def test_user(engine, user, expected):
    assert run(engine, '--user', user, engine.busybox, 'id').ok().out.strip() == expected


@pytest.mark.parametrize('user', ['no-such-user', 'tester:no-such-group', '-1', '2147483648',
                                  '4294967296', '1:99999999999', '1x'])
def test_user_that_does_not_exist(engine, user):
    run(engine, '--user', user, engine.busybox, 'id').fails(125)


def test_read_only_root(engine):
    result = run(engine, '--read-only', engine.busybox, 'sh', '-c',
                 'touch /file; touch /etc/file; touch /bin/file; touch /dev/shm/ok && echo shm')
    assert result.out == 'shm\n' and result.err.count('Read-only file system') == 3, str(result)


def test_read_only_root_with_tmpfs(engine):
    out = run(engine, '--read-only', '--tmpfs', '/tmp:size=1m,mode=1777', engine.busybox, 'sh', '-c',
              'echo kept >/tmp/f; cat /tmp/f; df -k /tmp | tail -1').ok().out
    assert out.startswith('kept\n') and ' 1024 ' in out


def test_tmpfs_options_hold(engine):
    script = 'grep " /scratch " /proc/mounts; dd if=/dev/zero of=/scratch/f bs=1k count=2000'
    result = run(engine, '--tmpfs', '/scratch:size=1m', engine.busybox, 'sh', '-c', script)
    mount = result.out.split()
    assert mount[2] == 'tmpfs' and {'nosuid', 'nodev', 'noexec'} <= set(mount[3].split(','))
    assert 'No space left' in result.err


def test_volume(engine):
    source = f'{engine.dir}/volume'
    engine.machine.shell(f'mkdir {source}; echo from-host >{source}/in').ok()
    out = run(engine, '-v', f'{source}:/mnt/data', engine.busybox, 'sh', '-c',
              'cat /mnt/data/in; echo from-container >/mnt/data/out').ok().out
    assert out == 'from-host\n'
    assert engine.machine.read(f'{source}/out') == b'from-container\n'
    engine.machine.remove(source)


def test_volume_read_only(engine):
    source = f'{engine.dir}/volume-ro'
    engine.machine.shell(f'mkdir {source}; echo x >{source}/in').ok()
    result = run(engine, '-v', f'{source}:/data:ro', engine.busybox, 'sh', '-c',
                 'cat /data/in; echo y >/data/in')
    assert result.code != 0 and result.out == 'x\n' and 'Read-only' in result.err
    engine.machine.remove(source)


def test_volume_of_one_file(engine):
    source = f'{engine.dir}/one-file'
    engine.machine.write(source, 'single\n')
    out = run(engine, '-v', f'{source}:/etc/single:ro', engine.busybox, 'cat', '/etc/single').ok().out
    assert out == 'single\n'
    engine.machine.remove(source)


def _capabilities(engine, *options):
    out = run(engine, *options, engine.busybox, 'grep', '^Cap', '/proc/self/status').ok().out
    return {line.split(':')[0]: int(line.split()[1], 16) for line in out.splitlines()}


DEFAULT_CAPABILITIES = 0x00000000a80425fb  # Docker's fourteen


def test_default_capabilities(engine):
    caps = _capabilities(engine)
    assert caps['CapEff'] == caps['CapPrm'] == caps['CapBnd'] == DEFAULT_CAPABILITIES
    assert caps['CapInh'] == caps['CapAmb'] == 0


def test_cap_drop_all(engine):
    caps = _capabilities(engine, '--cap-drop', 'ALL')
    assert set(caps.values()) == {0}
    result = run(engine, '--cap-drop', 'ALL', engine.busybox, 'chown', '1', '/etc/passwd')
    assert result.code != 0 and 'not permitted' in result.err


def test_cap_add_and_drop_single_ones(engine):
    caps = _capabilities(engine, '--cap-drop', 'ALL', '--cap-add', 'CAP_NET_ADMIN',
                         '--cap-add', 'chown')
    assert caps['CapEff'] == 1 << 12 | 1 << 0


def test_other_user_has_no_effective_capabilities(engine):
    caps = _capabilities(engine, '--user', '1234')
    assert caps['CapEff'] == caps['CapPrm'] == 0 and caps['CapBnd'] == DEFAULT_CAPABILITIES


def test_unknown_capability_is_refused(engine):
    run(engine, '--cap-add', 'NO_SUCH', engine.busybox, 'true').fails(125, 'NO_SUCH')


def test_no_new_privileges(engine):
    out = run(engine, '--security-opt', 'no-new-privileges', engine.busybox, 'grep', 'NoNewPrivs',
              '/proc/self/status').ok().out
    assert out.split() == ['NoNewPrivs:', '1']


def test_seccomp_is_on_and_can_be_unconfined(engine):
    seccomp = ['grep', '^Seccomp:', '/proc/self/status']
    assert run(engine, engine.busybox, *seccomp).ok().out.split()[1] == '2'
    assert run(engine, '--security-opt', 'seccomp=unconfined', engine.busybox,
               *seccomp).ok().out.split()[1] == '0'


def test_ulimit(engine):
    assert run(engine, '--ulimit', 'nofile=123:456', engine.busybox, 'sh', '-c',
               'ulimit -n; ulimit -Hn').ok().out.split() == ['123', '456']


def test_shm_size(engine):
    out = run(engine, '--shm-size', '2m', engine.busybox, 'df', '-k', '/dev/shm').ok().out
    assert out.splitlines()[-1].split()[1] == '2048'


def test_add_host_and_dns(engine):
    out = run(engine, '--add-host', 'peer:192.0.2.7', '--dns', '192.0.2.53', engine.busybox, 'cat',
              '/etc/hosts', '/etc/resolv.conf').ok().out
    assert '192.0.2.7\tpeer' in out.replace(' ', '\t') and 'nameserver 192.0.2.53' in out


def test_network_none_has_only_loopback(engine):
    out = run(engine, '--network', 'none', engine.busybox, 'sh', '-c',
              'ls /sys/class/net; ip addr show lo').ok().out
    assert out.splitlines()[0] == 'lo' and '127.0.0.1/8' in out and 'UP' in out
    assert 'eth0' not in out


def test_network_host_is_the_hosts(engine):
    own = engine.machine.run(['readlink', '/proc/self/ns/net']).ok().out
    assert run(engine, '--network', 'host', engine.busybox, 'readlink',
               '/proc/self/ns/net').ok().out == own


def test_privileged(engine):
    own = engine.machine.shell('cat /proc/self/status /proc/sys/kernel/cap_last_cap').ok().out.split()
    if int(own[own.index('CapEff:') + 1], 16) != (1 << int(own[-1]) + 1) - 1:
        pytest.skip('the tests themselves do not have all capabilities here')
    caps = _capabilities(engine, '--privileged')
    assert caps['CapEff'] & DEFAULT_CAPABILITIES == DEFAULT_CAPABILITIES
    assert caps['CapEff'] != DEFAULT_CAPABILITIES


# Life cycle

def test_detached_container(engine):
    name = 'lifecycle'
    identity = engine.run_detached('--name', name, engine.busybox, 'sh', '-c',
                                   'echo started; exec sleep 1000')
    listed = json.loads(engine.wherry('ps', '--format', 'json').ok().out.splitlines()[0])
    assert name in json.dumps(listed)
    engine.machine.wait_for(lambda: engine.wherry('logs', name).ok().out == 'started\n', 'no log')
    assert engine.state(name)['Running'] is True
    assert engine.wherry('stop', '-t', '1', name).ok()
    state = engine.state(name)
    assert state['Status'] == 'exited' and state['ExitCode'] == 137
    assert engine.wherry('start', name).ok()
    assert engine.state(name)['Running'] is True
    engine.wherry('kill', name).ok()
    assert engine.wait_exited(name)['ExitCode'] == 137
    engine.wherry('rm', identity[:12]).ok()
    assert engine.containers() == []


def test_stop_sends_sigterm_and_reports_the_status(engine):
    identity = engine.run_detached(engine.probe, 'probe', 'exit-on-term', '7')
    engine.machine.wait_for(lambda: 'ready' in engine.wherry('logs', identity).out, 'not ready')
    engine.wherry('stop', identity).ok()
    assert engine.state(identity)['ExitCode'] == 7


def test_stop_kills_after_the_timeout(engine):
    identity = engine.run_detached(engine.probe, 'probe', 'ignore-term')
    engine.machine.wait_for(lambda: 'ignoring' in engine.wherry('logs', identity).out, 'not ready')
    engine.wherry('stop', '-t', '1', identity).ok()
    assert engine.state(identity)['ExitCode'] == 137


def test_wait_prints_the_status(engine):
    identity = engine.run_detached(engine.busybox, 'sh', '-c', 'sleep 0.5; exit 9')
    assert engine.wherry('wait', identity).ok().out.strip() == '9'
    assert engine.wherry('wait', identity).ok().out.strip() == '9'


def test_attached_client_forwards_signals(engine):
    client = engine.start_wherry('run', '--rm', '--network', 'none', engine.probe, 'probe', 'exit-on-term', '5')
    client.read_until('ready', 30 * engine.machine.slow)
    client.kill(signal.SIGTERM)
    assert client.wait(30 * engine.machine.slow) == 5


def test_removed_container_is_gone_with_its_files(engine):
    identity = engine.run_detached(engine.busybox, 'sh', '-c', 'dd if=/dev/zero of=/big bs=1M count=2')
    engine.wait_exited(identity)
    engine.wherry('rm', identity).ok()
    left = engine.machine.shell(f'find {engine.root} {engine.rundir} -name "*{identity}*"').out
    assert left == ''


def test_running_container_is_not_removed_without_force(engine):
    identity = engine.run_detached(engine.busybox, 'sleep', '1000')
    engine.wherry('rm', identity).fails(1, 'running')
    engine.wherry('rm', '-f', identity).ok()


def test_name_is_taken(engine):
    engine.run_detached('--name', 'taken', engine.busybox, 'true')
    engine.wherry('run', '--network', 'none', '--name', 'taken', engine.busybox, 'true').fails(125, 'taken')


def test_ambiguous_and_unknown_ids(engine):
    identity = engine.run_detached(engine.busybox, 'true')
    engine.wait_exited(identity)
    assert engine.inspect(identity[:6])['Id'] == identity
    engine.wherry('inspect', 'ffffffffffff').fails(1)
    engine.wherry('logs', 'no-such-container').fails(1, 'no-such-container')


def test_logs_tail_timestamps_and_follow(engine):
    identity = engine.run_detached(engine.busybox, 'sh', '-c',
                                   'for i in 1 2 3 4 5; do echo n$i; done; sleep 1; echo last')
    follow = engine.start_wherry('logs', '-f', identity)
    assert follow.wait(20 * engine.machine.slow) == 0
    assert follow.out.split() == [b'n1', b'n2', b'n3', b'n4', b'n5', b'last']
    assert engine.wherry('logs', '--tail', '2', identity).ok().out.split() == ['n5', 'last']
    line = engine.wherry('logs', '-t', '--tail', '1', identity).ok().out.split()
    assert line[0].startswith('20') and line[0].endswith('Z') and line[1] == 'last'


def test_attach_follows_a_running_container(engine):
    identity = engine.run_detached('-i', engine.busybox, 'sh', '-c', 'read x; echo got $x; exit 3')
    client = engine.start_wherry('attach', identity)
    client.write(b'hello\n')
    assert client.wait(20 * engine.machine.slow) == 3
    assert client.out == b'got hello\n'


def test_terminal(engine):
    client = engine.start_wherry('run', '--rm', '--network', 'none', '-it', engine.busybox, 'sh', tty=(31, 97))
    client.read_until(rb'# ', 30 * engine.machine.slow)
    script = b'until stty size | grep "31 97"; do usleep 50000; done; tty; exit 4\n'
    client.write(script)
    client.read_until(rb'\r\n31 97\r\n/dev/(pts/0|console)', 30 * engine.machine.slow)
    assert client.wait(20 * engine.machine.slow) == 4


def test_events_tell_the_life_of_a_container(engine):
    watch = engine.start_wherry('events', '--format', 'json')
    engine.machine.wait_for(lambda: watch.running, 'events')
    engine.machine.run(['sleep', '0.3'])
    run(engine, '--name', 'seen', engine.busybox, 'true').ok()
    watch.read_until(rb'destroy', 15 * engine.machine.slow)
    watch.kill(signal.SIGINT)
    actions = [json.loads(line)['Action'] for line in watch.out.splitlines()
               if b'"seen"' in line]
    assert [name for name in actions if name in ('create', 'start', 'die', 'destroy')] == \
        ['create', 'start', 'die', 'destroy']


def test_image_of_a_container_is_not_removed(engine):
    identity = engine.run_detached(engine.busybox, 'sleep', '1000')
    engine.wherry('rmi', engine.busybox).fails(1)
    engine.wherry('rm', '-f', identity).ok()


def test_two_containers_of_one_image_do_not_share_changes(engine):
    first = engine.run_detached(engine.busybox, 'sh', '-c', 'echo changed >/etc/passwd; sleep 1000')
    out = run(engine, engine.busybox, 'head', '-1', '/etc/passwd').ok().out
    assert out.startswith('root:')
    engine.wherry('rm', '-f', first).ok()


def test_zombies_of_the_engine_do_not_pile_up(engine):
    for _ in range(3):
        run(engine, engine.busybox, 'true').ok()
    script = f'cat /proc/[0-9]*/stat 2>/dev/null | grep -c "(wherry[^)]*) Z {engine.pid} " || true'
    engine.machine.wait_for(lambda: engine.machine.shell(script).out.strip() == '0', 'no zombie of the daemon', 5)
