"""wherry-runtime by its command line, and under podman and Docker as Debian packages them."""

import copy
import errno
import json
import os
import pathlib
import signal
import socket
import threading

import oci_box
import pytest
from harness import debs
from oci_box import RUNTIME

pytestmark = pytest.mark.machines('host')
BOTH = pytest.mark.machines('host', 'vm')

CALLERS = ['docker.io', 'podman', 'conmon', 'catatonit']
# This host may lack CAP_SYS_RESOURCE and cgroup v2 controllers, which podman asks for by default.
PODMAN_LIMITS = ['--pids-limit', '0', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000']


@pytest.fixture(scope='module', name='callers')
def fixture_callers():
    """The host with the programs that call runtimes, and busybox as a root file system."""
    over = debs.missing_tree('oci-callers', CALLERS)
    with oci_box.own_host(over) as host, oci_box.root_on(host) as rootfs, oci_box.adopting(host):
        yield host, rootfs


@BOTH
def test_run_gives_output_and_status(box):
    box.config['process']['args'] = ['sh', '-c', 'echo out; echo err >&2; exit 7']
    box.write()
    result = box.run('run', '--bundle', box.bundle, 'a').fails(7)
    assert (result.out, result.err) == ('out\n', 'err\n')
    box.config['process']['args'] = ['sh', '-c', 'kill -TERM $$; sleep 9']
    box.config['linux']['namespaces'] = [n for n in box.config['linux']['namespaces'] if n['type'] != 'pid']
    box.write()
    box.run('run', '--bundle', box.bundle, 'a').fails(128 + signal.SIGTERM)


@BOTH
def test_life_of_a_container(box):
    pid_file = f'{box.dir}/pid'
    box.create('life', 'sh', '-c', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done',
               options=['--pid-file', pid_file]).ok()
    state = box.state('life')
    assert state['status'] == 'created'
    assert box.read('pid') == str(state['pid'])
    assert state['bundle'] == box.bundle and state['ociVersion'] == '1.0.2'
    assert box.read('out') == ''
    # What config.json says now does not matter any more.
    box.write({'ociVersion': 'nonsense'})
    box.run('create', '--bundle', box.bundle, 'life').fails(1)
    box.run('start', 'life').ok()
    box.run('start', 'life').fails(1, 'already running')
    box.machine.wait_for(lambda: box.read('out') == 'ready\n', 'no output', 10)
    assert box.state('life')['status'] == 'running'
    assert str(state['pid']) in box.run('list', '-q').ok().out + box.run('list').ok().out
    assert [c['id'] for c in json.loads(box.run('list', '--format=json').ok().out)] == ['life']
    assert state['pid'] in json.loads(box.run('ps', '--format', 'json', 'life').ok().out)
    box.run('delete', 'life').fails(1, 'not stopped: running')
    box.run('kill', 'life', 'SIGTERM').ok()
    box.wait_for('life', 'stopped')
    box.run('kill', 'life', '9').fails(1, 'container not running')
    box.run('start', 'life').fails(1, 'stopped')
    box.run('delete', 'life').ok()
    box.run('state', 'life').fails(1, 'does not exist')
    box.run('delete', 'life').fails(1, 'does not exist')
    box.run('delete', '--force', 'life').ok()


@BOTH
def test_only_one_start_wins(box):
    box.create('race', 'sleep', '100').ok()
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(box.run('start', 'race').code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
    assert box.state('race')['status'] == 'running'


def test_a_pid_that_is_anothers_now_is_never_touched(box):
    box.started('old', 'sleep', '100')
    file = pathlib.Path(box.root, 'old', 'state.json')
    state = json.loads(file.read_text())
    real, state['pid'] = state['pid'], os.getpid()
    file.write_text(json.dumps(state))
    assert box.state('old')['status'] == 'stopped'
    box.run('kill', 'old', 'KILL').fails(1, 'container not running')
    box.run('exec', 'old', 'true').fails(255, 'stopped')
    state['pid'] = real
    file.write_text(json.dumps(state))
    assert box.state('old')['status'] == 'running'


def test_a_create_that_is_killed_takes_init_along(box):
    """Its hook holds create in the middle of its work."""
    box.config['hooks'] = {'createRuntime': [{'path': '/bin/sleep', 'args': ['sleep', '5']}]}
    box.write()
    process = box.machine.start([RUNTIME, '--root', box.root, 'create', '--bundle', box.bundle, 'torn'])
    box.machine.wait_for(lambda: os.path.exists(f'{box.root}/torn/state.json') and
                         json.loads(pathlib.Path(box.root, 'torn/state.json').read_text())['pid'] != 0,
                         'no init', 10)
    pid = json.loads(pathlib.Path(box.root, 'torn/state.json').read_text())['pid']
    process.kill()
    box.machine.wait_for(lambda: not os.path.exists(f'/proc/{pid}') or
                         ' Z ' in pathlib.Path(f'/proc/{pid}/stat').read_text(), 'init lives on', 10)
    box.run('delete', '--force', 'torn').ok()


@BOTH
def test_exec(box):
    box.started('ex', 'sleep', '100')
    assert box.run('exec', 'ex', 'hostname').ok().out == 'oci\n'
    box.run('exec', 'ex', 'sh', '-c', 'exit 5').fails(5)
    box.run('exec', 'ex', 'nosuch').fails(255, r'exec: "nosuch": executable file not found in \$PATH')
    box.run('exec', 'ex', '/etc').fails(255, 'is a directory')
    out = box.run('exec', '--user', '12:34', '--env', 'A=b', '--cwd=/bin', 'ex', 'sh', '-c',
                  'id -u; id -g; echo $A; pwd').ok().out
    assert out.split() == ['12', '34', 'b', '/bin']
    box.run('exec', '--user', '-1', 'ex', 'true').fails(255)
    process = copy.deepcopy(box.config['process'])
    process['args'] = ['sh', '-c', 'grep CapEff /proc/self/status']
    process['capabilities'] = {name: ['CAP_KILL'] for name in ('bounding', 'effective', 'permitted')}
    file = f'{box.dir}/process.json'
    box.machine.write(file, json.dumps(process))
    assert int(box.run('exec', '--process', file, 'ex').ok().out.split()[1], 16) == 1 << 5
    process['selinuxLabel'] = 'x'
    box.machine.write(file, json.dumps(process))
    box.run('exec', '--process', file, 'ex').fails(255, 'selinuxLabel needs SELinux')
    pid_file = f'{box.dir}/exec.pid'
    box.machine.run(['sh', '-c', 'exec "$@" <>/dev/null >/dev/null 2>&1', 'sh', *box.command, '--root', box.root, 'exec',
                     '--detach', '--pid-file', pid_file, 'ex', 'sleep', '50']).ok()
    assert int(box.read('exec.pid')) in json.loads(box.run('ps', '-f', 'json', 'ex').ok().out)


@BOTH
def test_no_descriptor_of_the_host_is_left_open(box):
    box.started('fds', 'sleep', '100')
    shown = box.run('exec', 'fds', 'ls', '/proc/self/fd', '/proc/1/fd').ok().out.split()
    assert shown == ['/proc/1/fd:', '0', '1', '2', '/proc/self/fd:', '0', '1', '2', '3']  # 3: of ls


def test_the_runtime_cannot_be_opened_for_writing_from_inside(box):
    """CVE-2019-5736: what a container gets hold of by /proc/PID/exe, opened when no process runs it any more."""
    box.create('held', 'sleep', '100').ok()
    program = os.open(f'/proc/{box.state("held")["pid"]}/exe', os.O_PATH)
    try:
        box.run('start', 'held').ok()
        assert 'wherry-runtime version' in box.run('exec', 'held', '/proc/self/exe', '--version').ok().out

        def refused():
            with pytest.raises(OSError) as failure:
                os.close(os.open(f'/proc/self/fd/{program}', os.O_WRONLY))
            return failure.value.errno != errno.ETXTBSY and failure.value  # a test beside this one runs it
        assert box.machine.wait_for(refused, 'it is always run by somebody').errno in (errno.EROFS, errno.EPERM)
    finally:
        os.close(program)


@BOTH
def test_capabilities_that_cannot_be_ambient_are_not(box):
    """`runc spec` asks for them."""
    sets = box.config['process']['capabilities']
    sets['ambient'] = ['CAP_KILL', 'CAP_CHOWN']
    sets['inheritable'] = ['CAP_KILL']
    box.config['process']['args'] = ['grep', 'CapAmb', '/proc/self/status']
    box.write()
    assert int(box.run('run', '--bundle', box.bundle, 'amb').ok().out.split()[1], 16) == 1 << 5
    sets['ambient'] = ['CAP_NONSENSE']
    box.write()
    box.run('run', '--bundle', box.bundle, 'amb').fails(1, 'CAP_NONSENSE')


@BOTH
def test_a_tmpfs_filled_with_what_it_covers(box):
    box.config['mounts'].append({'destination': '/bin', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['tmpcopyup']})
    box.config['process']['args'] = ['sh', '-c', 'touch /bin/new; test -x /bin/busybox']
    box.write()
    box.run('run', '--bundle', box.bundle, 'full').ok()


def test_a_tmpfs_that_is_read_only_recursively(box):
    box.config['mounts'].append({'destination': '/sealed', 'type': 'tmpfs', 'source': 'x', 'options': ['rro']})
    box.config['process']['args'] = ['touch', '/sealed/x']
    box.write()
    box.run('run', '--bundle', box.bundle, 'sealed').fails(1, 'Read-only file system')


def test_the_mode_of_a_tmpfs(box):
    """That of the directory it covers; where the image has none, everybody may write to it."""
    box.machine.shell(f'cp -a {box.config["root"]["path"]} {box.dir}/rootfs && mkdir -m 0710 {box.dir}/rootfs/there').ok()
    box.config['root'] = {'path': f'{box.dir}/rootfs'}
    box.config['mounts'] += [{'destination': path, 'type': 'tmpfs', 'source': 'x'} for path in ('/there', '/made')]
    box.config['process']['args'] = ['stat', '-c', '%a', '/there', '/made']
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'modes').ok().out.split() == ['710', '1777']


def test_the_callers_groups_are_kept_when_asked(box):
    box.config['annotations'] = {'run.oci.keep_original_groups': '1'}
    box.config['process'].update(args=['sleep', '100'], user={'uid': 12, 'gid': 34, 'additionalGids': [56]})
    box.write()
    show = ['sh', '-c', 'grep Groups: /proc/self/status /proc/1/status']
    caller = ['setpriv', '--groups', '1234,5678', *box.command, '--root', box.root]
    box.machine.run(['sh', '-c', 'exec "$@" <>/dev/null >/dev/null 2>&1', 'sh', *caller, 'run', '--detach', '--bundle',
                     box.bundle, 'groups']).ok()
    assert box.machine.run([*caller, 'exec', 'groups', *show]).ok().out.split() == [
        '/proc/self/status:Groups:', '1234', '5678', '/proc/1/status:Groups:', '1234', '5678']


@BOTH
def test_pause_and_resume(box):
    box.started('ice', 'sh', '-c', 'while :; do date +%N > /tmp/t; sleep 0.02; done')
    box.run('resume', 'ice').fails(1, 'not paused')
    box.run('pause', 'ice').ok()
    assert box.state('ice')['status'] == 'paused'
    box.run('exec', 'ice', 'true').fails(255, 'paused')
    box.run('resume', 'ice').ok()
    assert box.state('ice')['status'] == 'running'
    box.run('pause', 'ice').ok()
    box.run('delete', '--force', 'ice').ok()


def test_a_foreground_run_is_paused_and_deleted_by_others(box):
    """What changes a container's life waits for a lock, which `run` does not keep while the program runs."""
    box.config['process']['args'] = ['sleep', '1000']
    box.write()
    running = box.machine.start([RUNTIME, '--root', box.root, 'run', '--bundle', box.bundle, 'front'])
    box.machine.wait_for(lambda: box.run('state', 'front').code == 0 and box.state('front')['status'] == 'running',
                         'front does not run')
    box.run('pause', 'front', timeout=5).ok()
    box.run('resume', 'front', timeout=5).ok()
    box.run('delete', '--force', 'front', timeout=5).ok()
    assert running.wait(5) == 128 + signal.SIGKILL
    assert running.err == b''


def test_counters(box):
    box.started('count', 'sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 100')
    box.machine.wait_for(lambda: json.loads(box.run('events', '--stats', 'count').ok().out)['data']['cpu']['usage'][
        'total'] > 1000000, 'no time is counted', 10)


@BOTH
def test_kill_all_reaches_every_process(box):
    box.started('many', 'sh', '-c', 'trap : USR1; sleep 100 & sleep 101 & wait')
    box.machine.wait_for(lambda: len(json.loads(box.run('ps', '-f', 'json', 'many').out)) == 3, 'no children', 10)
    box.run('kill', '--all', 'many', 'USR1').ok()
    box.machine.wait_for(lambda: box.state('many')['status'] == 'stopped', 'still there', 10)
    box.run('kill', 'many', 'NOSUCH').fails(1, 'unknown signal')


def receive_console(listener, got):
    connection, _ = listener.accept()
    name, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    got += [name, *descriptors]
    connection.close()


def test_console_socket(box):
    address = f'{box.dir}/console'
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(1)
        got = []
        thread = threading.Thread(target=receive_console, args=(listener, got))
        thread.start()
        box.config['process']['terminal'] = True
        box.started('tty', 'sh', '-c', 'tty; exec sleep 100', options=['--console-socket', address])
        thread.join(10)
    assert got[0]
    text = b''
    while b'\n' not in text:
        text += os.read(got[1], 100)
    assert text.startswith(b'/dev/pts/0')
    os.close(got[1])
    box.run('create', '--bundle', box.bundle, 'none').fails(1, 'console socket')
    box.config['process']['terminal'] = False
    box.write()
    box.run('create', '--console-socket', address, '--bundle', box.bundle, 'none').fails(1, 'terminal is false')


@BOTH
def test_preserved_descriptors(box):
    box.config['process']['args'] = ['sh', '-c', 'cat <&3; ls /proc/self/fd; echo $LISTEN_FDS $LISTEN_PID']
    box.write()
    box.machine.write(f'{box.dir}/gift', 'gift\n')
    base = f'{box.command[0]} --root {box.root} run --bundle {box.bundle}'
    out = box.machine.shell(f'{base} --preserve-fds 1 keep 3<{box.dir}/gift').ok().out
    assert out.split() == ['gift', '0', '1', '2', '3', '4']  # 4: of ls
    out = box.machine.shell(f'LISTEN_FDS=1 {base} listen 3<{box.dir}/gift').ok().out
    assert out.split()[-2:] == ['1', '1']
    box.machine.shell(f'{base} --preserve-fds 2 keep 3<{box.dir}/gift').fails(1, 'descriptor 4 .* not open')


def hook(box, name, script='true', **more):
    return [{'path': '/bin/sh', 'args': ['sh', '-c', f'cat > {box.dir}/{name}.json; {script}'], **more}]


def test_hooks_in_their_order(box):
    kinds = {'prestart': 'creating', 'createRuntime': 'creating', 'poststart': 'running', 'poststop': 'stopped'}
    box.config['hooks'] = {kind: hook(box, kind, f'echo {kind} $A >> {box.dir}/order', env=['A=b', 'PATH=/bin'])
                           for kind in kinds}
    box.write()
    box.create('hooked', 'sleep', '100').ok()
    order = pathlib.Path(box.dir, 'order')
    assert order.read_text() == 'prestart b\ncreateRuntime b\n'
    box.run('start', 'hooked').ok()
    box.run('delete', '--force', 'hooked').ok()
    assert order.read_text().split() == [word for kind in kinds for word in (kind, 'b')]
    for kind, status in kinds.items():
        state = json.loads(pathlib.Path(box.dir, f'{kind}.json').read_text())
        assert (state['id'], state['status']) == ('hooked', status)


@pytest.mark.parametrize('script, more, says', [
    ('exit 9', {}, 'createRuntime hook #0: /bin/sh: createRuntime hook failed with exit code 9'),
    ('kill -9 $$', {}, 'killed by signal 9'),
    ('sleep 77 & sleep 78', {'timeout': 1}, 'took longer than 1 seconds'),
    ('yes >&1; exit 3', {'timeout': 1}, 'took longer than 1 seconds')])
def test_a_hook_that_fails_leaves_nothing(box, script, more, says):
    box.config['hooks'] = {'createRuntime': hook(box, 'bad', script, env=['PATH=/bin:/usr/bin'], **more)}
    box.create('failing', 'true').fails(1)
    assert says in pathlib.Path(box.dir, 'out.err').read_text()
    box.assert_nothing_left()


def change(path, value):
    def apply(config):
        *parents, last = path.split('.')
        for name in parents:
            config = config[int(name) if isinstance(config, list) else name]
        config[last] = value
    return apply


BAD = {
    'capability': (change('process.capabilities.bounding', ['CAP_NONSENSE']), 'CAP_NONSENSE'),
    'missing program': (change('process.args', ['nosuch']), r'exec: "nosuch": executable file not found in \$PATH'),
    'directory': (change('process.args', ['/etc']), 'exec: "/etc": is a directory'),
    'no program': (change('process.args', []), 'process.args must name a program'),
    'relative mount': (lambda c: c['mounts'].append({'destination': 'x', 'type': 'tmpfs'}),
                       r'mounts\[4\].destination must be an absolute path'),
    'mount over proc': (lambda c: c['mounts'].append({'destination': '/proc/self', 'type': 'tmpfs'}), '/proc/self'),
    'two namespaces': (lambda c: c['linux']['namespaces'].append({'type': 'pid'}), 'repeats pid'),
    'unknown namespace': (lambda c: c['linux']['namespaces'].append({'type': 'zoo'}), 'names no namespace: zoo'),
    'uid': (change('process.user.uid', 2 ** 32), 'process.user.uid'),
    'negative uid': (change('process.user.uid', -1), 'process.user.uid'),
    'uid with a fraction': (change('process.user.uid', 0.5), r'process\.user\.uid must be a whole number'),
    'uid as a text': (change('process.user.uid', '0'), r'process\.user\.uid must be a number'),
    'gid': (change('process.user.gid', 2 ** 32), r'process\.user\.gid must be from 0'),
    'further group': (change('process.user.additionalGids', [2 ** 32 - 1]), r'process\.user\.additionalGids\[0\]'),
    'umask': (change('process.user.umask', 0o10000), r'process\.user\.umask'),
    'limit that is none': (change('process.rlimits', [{'type': 'RLIMIT_ZOO', 'soft': 1, 'hard': 1}]), 'RLIMIT_ZOO'),
    'limits the wrong way round': (change('process.rlimits', [{'type': 'RLIMIT_NOFILE', 'soft': 9, 'hard': 1}]),
                                   r'process\.rlimits\[0\] has a soft limit above'),
    'oom score': (change('process.oomScoreAdj', 5000), r'process\.oomScoreAdj must be from -1000 to 1000'),
    'variable': (change('process.env', ['X']), 'process.env entry is not NAME=value'),
    'NUL in a program': (change('process.args', ['true\0x']), 'a NUL character in a string'),
    'program as a text': (change('process.args', 'true'), 'process.args must be an array'),
    'long host name': (change('hostname', 'h' * 65), 'hostname and domainname may have 64 bytes'),
    'root that is a file': (change('root.path', '/etc/passwd'), 'root file system: .*Not a directory'),
    'unknown file system': (lambda c: c['mounts'].append({'destination': '/x', 'type': 'zoo', 'source': 'x'}),
                            'on /x: this kernel has no file system "zoo"'),
    'unknown option': (lambda c: c['mounts'].append({'destination': '/x', 'type': 'tmpfs', 'options': ['colour=red']}),
                       'on /x: .*colour'),
    'source that is not there': (lambda c: c['mounts'].append({'destination': '/x', 'type': 'bind',
                                                               'source': '/nonexistent'}), '/nonexistent on /x'),
    'mount over the root': (lambda c: c['mounts'].append({'destination': '/', 'type': 'tmpfs', 'source': 'x'}),
                            'cannot cover the root'),
    'procfs elsewhere': (lambda c: c['mounts'].append({'destination': '/x', 'type': 'proc', 'source': 'x'}),
                         'procfs can only be mounted on /proc'),
    'thousands of mounts': (lambda c: c['mounts'].extend(
        [{'destination': f'/tmp/{i}', 'type': 'tmpfs', 'source': 'x'} for i in range(3000)] +
        [{'destination': '/x', 'type': 'zoo', 'source': 'x'}]), 'no file system "zoo"'),
    'device': (change('linux.devices', [{'path': 'x', 'type': 'c', 'major': 1, 'minor': 3}]),
               r'linux\.devices\[0\]\.path must be an absolute path'),
    'device number': (change('linux.devices', [{'path': '/dev/x', 'type': 'c', 'major': 2 ** 40, 'minor': 3}]),
                      r'linux\.devices\[0\]\.major'),
    'root cgroup': (change('linux.cgroupsPath', '/'), 'cgroup path "/" is the root'),
    'memory as a text': (change('linux.resources', {'memory': {'limit': '1g'}}), 'memory.limit must be a number'),
    'number of processes': (change('linux.resources', {'pids': {'limit': -7}}), 'pids.limit must be from -1'),
    'file of a cgroup': (change('linux.resources', {'unified': {'../x': '1'}}), 'must be the name of a file'),
    'namespace of another type': (lambda c: c['linux']['namespaces'][2].update(path='/proc/self/ns/uts'),
                                  'not a namespace of the wanted type'),
    'namespace that is a file': (lambda c: c['linux']['namespaces'][2].update(path='/etc/passwd'),
                                 'not a namespace of the wanted type'),
    'hook that is a directory': (change('hooks', {'prestart': [{'path': '/etc'}]}), 'prestart hook #0: /etc: .*denied'),
    'hook without time': (change('hooks', {'prestart': [{'path': '/bin/true', 'timeout': 0}]}),
                          r'hooks\.prestart\[0\]\.timeout must be from 1'),
    'hooks of another shape': (change('hooks', {'prestart': {}}), 'hooks.prestart must be an array'),
    'architecture': (change('linux.seccomp', {'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_ZOO']}),
                     'SCMP_ARCH_ZOO'),
    'propagation': (change('linux.rootfsPropagation', 'zoo'), 'linux.rootfsPropagation names no propagation: zoo'),
    'process of another shape': (change('process', []), 'process must be an object'),
    'cwd': (change('process.cwd', 'here'), 'process.cwd must be an absolute path'),
    'no root': (change('root', None), 'root is missing'),
    'root that is not there': (change('root.path', '/nonexistent'), '/nonexistent|root file system'),
    'version': (change('ociVersion', '2.0.0'), 'ociVersion must be 1.x'),
    'user namespace': (lambda c: (c['linux']['namespaces'].append({'type': 'user'}), c['linux'].update(
        uidMappings=[{'containerID': 0, 'hostID': 0, 'size': 1}])), 'needs linux.uidMappings and gidMappings, or none'),
    'file of no controller': (change('linux.resources', {'unified': {'zoo.max': '1'}}), 'controller `zoo` is not available'),
    'cgroup path': (change('linux.cgroupsPath', '/oci-test/../x'), r'cgroup path .* must have no'),
    'hook that is not there': (change('hooks', {'prestart': [{'path': '/nonexistent'}]}), '/nonexistent'),
    'seccomp': (change('linux.seccomp', {'defaultAction': 'SCMP_ACT_NONSENSE'}), 'SCMP_ACT_NONSENSE|defaultAction'),
    'sysctl of the host': (change('linux.sysctl', {'kernel.core_pattern': '|/x'}), 'core_pattern'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_configuration_is_refused_and_leaves_nothing(box, name):
    apply, says = BAD[name]
    apply(box.config)
    box.write()
    for verb in ('create', 'run'):
        box.run(verb, '--bundle', box.bundle, 'bad').fails(1, says)
        box.assert_nothing_left()


@pytest.mark.parametrize('text, says', [
    ('', 'config.json'), ('[]', 'must be a JSON object'), ('{', 'config.json'), ('[' * 100000, 'config.json'),
    ('{"ociVersion":"' + 'x' * (5 << 20) + '"}', 'config.json.*(longer|limit|bytes)'),
    ('100 MB', 'config.json.*(longer|limit|bytes)')],
    ids=['empty', 'array', 'cut', 'deep', 'huge', 'absurd'])
def test_what_is_no_configuration(box, text, says):
    box.write(text or ' ')
    if text == '100 MB':
        os.truncate(f'{box.bundle}/config.json', 100 << 20)
    box.run('create', '--bundle', box.bundle, 'bad').fails(1, says)


def test_words_that_are_refused_by_name(box):
    for words, says in [
            (['--cgroup-manager', 'zoo', 'list'], 'none of cgroupfs, systemd and disabled'),
            (['--rootless=maybe', 'list'], '--rootless maybe is none of true, false and auto'),
            (['--nonsense', 'list'], 'unknown option --nonsense'),
            (['checkpoint', 'x'], 'checkpoint is not supported'),
            (['create', '../x'], 'invalid container ID'),
            (['create', '--bundle', '/nonexistent', 'x'], '/nonexistent'),
            (['state', '.'], 'invalid container ID'),
            (['state'], 'wrong number of arguments')]:
        box.run(*words).fails(1, says)
    box.run('--rootless=false', '--systemd-cgroup=false', 'list').ok()
    box.run('list', options=['--log', '/nonexistent/log']).fails(1, '--log: .*/nonexistent/log')


def test_errors_as_json_lines(box):
    log = f'{box.dir}/log.json'
    box.run('state', 'gone "quoted"', options=['--log', log, '--log-format=json']).fails(1)
    box.run('state', 'gone', options=['--log', log, '--log-format', 'json']).fails(1)
    lines = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines()]
    assert [line['level'] for line in lines] == ['error', 'error']
    assert lines[1]['msg'] == 'container "gone" does not exist'
    assert lines[1]['time'].endswith('Z')


@BOTH
def test_what_it_says_of_itself(box):
    assert box.run('--version').ok().out.splitlines()[0].startswith('wherry-runtime version ')
    features = json.loads(box.run('features').ok().out)
    assert features['linux']['cgroup'] == {'v1': False, 'v2': True, 'systemd': True, 'systemdUser': True,
                                           'rdma': True}
    box.machine.remove(f'{box.bundle}/config.json')
    box.run('spec', '--bundle', box.bundle).ok()
    box.run('spec', '--bundle', box.bundle).fails(1, 'config.json')
    config = json.loads(box.read('bundle/config.json'))
    config['process'].update(terminal=False, args=['hostname'])
    config['root']['path'] = box.config['root']['path']
    box.write(config)
    assert box.run('run', '--bundle', box.bundle, 'spec').ok().out == 'wherry\n'


class Podman:
    def __init__(self, machine, rootfs):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.base = ['podman', '--root', f'{self.dir}/data', '--runroot', f'{self.dir}/run', '--tmpdir',
                     f'{self.dir}/tmp', '--cgroup-manager=cgroupfs', '--storage-driver', 'overlay',
                     '--events-backend', 'none', '--runtime', RUNTIME]
        machine.shell(f'tar -C {rootfs} -c . > {self.dir}/image.tar').ok()
        self('import', '-q', f'{self.dir}/image.tar', 'busybox:latest').ok()
        self.parent = f'/oci-podman-{os.getpid()}'  # another run's podman has the usual one
        self.options = ['--network', 'none', '--cgroup-parent', self.parent, *PODMAN_LIMITS]

    def __call__(self, *words, timeout=60, **more):
        return self.machine.run([*self.base, *words], timeout=timeout, env={'HOME': self.dir}, **more)

    def run(self, *words, **more):
        return self('run', *self.options, *words, **more)

    def assert_nothing_left(self):
        assert self.machine.shell('ls /run/wherry-runtime').out == ''
        assert self.machine.shell(f'find /sys/fs/cgroup{self.parent} -name "libpod-*"').out == ''

    def close(self):
        self('rm', '-a', '-f', '-t', '0')
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount -l "$m"; done; '
                           f'find /sys/fs/cgroup{self.parent} -depth -type d -exec rmdir {{}} +')


@pytest.fixture(scope='module', name='podman')
def fixture_podman(callers):
    podman = Podman(*callers)
    yield podman
    podman.close()


def test_podman_runs(podman):
    assert podman.run('--rm', 'busybox', 'echo', 'hi').ok().out == 'hi\n'
    podman.run('--rm', 'busybox', 'sh', '-c', 'exit 7').fails(7)
    podman.run('--rm', 'busybox', 'nosuch').fails(127, 'executable file not found')
    podman.run('--rm', 'busybox', '/etc').fails(126, 'is a directory')
    assert podman.run('--rm', '-u', '12:34', '-w', '/bin', '-e', 'A=b', '--read-only', 'busybox', 'sh', '-c',
                      'id -u; id -g; pwd; echo $A').ok().out.split() == ['12', '34', '/bin', 'b']
    assert podman.run('--rm', '--init', 'busybox', 'cat', '/proc/1/comm').ok().out in ('catatonit\n', 'podman-init\n')
    podman.run('--rm', '--read-only', 'busybox', 'touch', '/x').fails(1, 'Read-only file system')
    podman.run('--rm', '--read-only', 'busybox', 'touch', '/tmp/x').ok()
    podman.assert_nothing_left()


def test_podman_drives_a_container(podman):
    podman.run('-d', '--name', 'box', 'busybox', 'sleep', '100').ok()
    assert podman('exec', 'box', 'id', '-u').ok().out == '0\n'
    podman('exec', 'box', 'sh', '-c', 'exit 4').fails(4)
    podman('exec', 'box', 'nosuch').fails(127)
    assert podman('exec', '-u', '12', '-w', '/bin', 'box', 'sh', '-c', 'id -u; pwd').ok().out.split() == ['12', '/bin']
    podman('pause', 'box').ok()
    assert podman('inspect', '--format', '{{.State.Status}}', 'box').ok().out == 'paused\n'
    podman('unpause', 'box').ok()
    assert 'sleep 100' in podman('top', 'box').ok().out
    podman('kill', 'box').ok()
    assert podman('wait', 'box').ok().out == '137\n'
    podman('start', 'box').ok()
    podman('stop', '-t', '1', 'box').ok()
    podman('rm', 'box').ok()
    podman.assert_nothing_left()


def test_podman_gives_a_terminal(podman):
    process = podman.machine.start([*podman.base, 'run', '--rm', '-it', *podman.options, 'busybox', 'sh', '-c',
                                    'tty; read line; echo "got $line"'],
                                   env={'HOME': podman.dir}, tty=(24, 80))
    process.read_until('/dev/pts/0')
    process.write(b'word\n')
    process.read_until('got word')
    assert process.wait() == 0
    podman.assert_nothing_left()


class Docker:
    def __init__(self, machine, rootfs):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.env = {'DOCKER_HOST': f'unix://{self.dir}/docker.sock', 'DOCKER_CONFIG': self.dir}
        self.daemon = machine.start([
            'dockerd', '--data-root', f'{self.dir}/data', '--exec-root', f'{self.dir}/exec', '--pidfile',
            f'{self.dir}/pid', '-H', self.env['DOCKER_HOST'], '--storage-driver', 'overlay2', '--iptables=false',
            '--bridge=none', '--add-runtime', f'wherry={RUNTIME}', '--default-runtime', 'wherry', '--log-level',
            'error'], env=self.env)
        machine.wait_for(lambda: not self.daemon.running or self('version').code == 0, 'dockerd does not answer', 40)
        assert self.daemon.running, self.daemon.err.decode()
        machine.shell(f'tar -C {rootfs} -c . > {self.dir}/image.tar').ok()
        self('import', f'{self.dir}/image.tar', 'busybox:latest').ok()

    def __call__(self, *words, timeout=60):
        return self.machine.run(['docker', *words], timeout=timeout, env=self.env)

    def close(self):
        names = self('ps', '-aq').out.split()
        if names:
            self('rm', '-f', *names)
        left = self.machine.shell(f'find {self.dir}/exec -name state.json').out
        os.kill(self.daemon.pid, signal.SIGTERM)
        self.daemon.wait(30)
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount -l "$m"; done')
        assert left == ''


@pytest.fixture(scope='module', name='docker')
def fixture_docker(callers):
    docker = Docker(*callers)
    yield docker
    docker.close()


def test_docker_runs(docker):
    run = ['run', '--rm', '--network', 'none']
    assert docker(*run, 'busybox', 'echo', 'hi').ok().out == 'hi\n'
    docker(*run, 'busybox', 'sh', '-c', 'exit 7').fails(7)
    docker(*run, 'busybox', 'nosuch').fails(127, 'executable file not found')
    docker(*run, 'busybox', '/etc').fails(126, 'is a directory')


def test_docker_drives_a_container(docker):
    docker('run', '-d', '--name', 'box', '--network', 'none', '--health-cmd', 'true', '--health-interval', '0.2s',
           'busybox', 'sh', '-c', 'echo begin; exec sleep 100').ok()
    assert docker('exec', '-u', '12', 'box', 'id', '-u').ok().out == '12\n'
    assert 'executable file not found' in docker('exec', 'box', 'nosuch').fails(126).out
    docker('pause', 'box').ok()
    assert 'Paused' in docker('ps', '--format', '{{.Status}}').ok().out
    docker('unpause', 'box').ok()
    docker.machine.wait_for(lambda: 'healthy' in docker('ps', '--format', '{{.Status}}').out, 'not healthy', 20)
    assert 'sleep 100' in docker('top', 'box').ok().out
    docker('restart', '-t', '0', 'box').ok()
    docker('kill', 'box').ok()
    assert docker('wait', 'box').ok().out == '137\n'
    assert docker('logs', 'box').ok().out == 'begin\nbegin\n'
    docker('rm', 'box').ok()


def test_docker_gives_a_terminal(docker):
    process = docker.machine.start(['docker', 'run', '--rm', '-it', '--network', 'none', 'busybox', 'sh', '-c',
                                    'tty; read line; echo "got $line"'], env=docker.env, tty=(24, 80))
    process.read_until('/dev/pts/0')
    process.write(b'word\n')
    process.read_until('got word')
    assert process.wait() == 0
