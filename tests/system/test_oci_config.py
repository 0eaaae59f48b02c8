"""Members of config.json that change how the kernel treats the program: what it sees of them."""

import json
import os

import pytest

pytestmark = pytest.mark.machines('host')
BOTH = pytest.mark.machines('host', 'vm')

# /proc/PID/stat: fields after the command.
POLICY, NICE, PRIORITY = 38, 16, 37


def output(box, *args, options=(), **process):
    box.config['process'].update(args=list(args), **process)
    box.write()
    return box.run('run', *options, '--bundle', box.bundle, 'box').ok().out


def stat(box, **process):
    text = output(box, 'cat', '/proc/self/stat', **process)
    return text.rpartition(') ')[2].split()


@BOTH
def test_scheduler(box):
    assert stat(box, scheduler={'policy': 'SCHED_BATCH', 'nice': 7})[POLICY] == '3'
    assert stat(box)[NICE] == '7'
    fields = stat(box, scheduler={'policy': 'SCHED_FIFO', 'priority': 3})
    assert (fields[POLICY], fields[PRIORITY]) == ('1', '3')
    assert stat(box, scheduler={'policy': 'SCHED_IDLE'})[POLICY] == '5'


@pytest.mark.parametrize('scheduler, says', [
    ({'policy': 'SCHED_NONSENSE'}, 'process.scheduler.policy must be a name such as SCHED_OTHER'),
    ({'policy': 'SCHED_OTHER', 'nice': 20}, 'process.scheduler.nice must be from -20 to 19'),
    ({'policy': 'SCHED_DEADLINE', 'deadline': 5}, 'sched_setattr: `SCHED_DEADLINE` requires `runtime`'),
    ({'policy': 'SCHED_DEADLINE', 'runtime': 5, 'deadline': 5}, 'runtime 5 must be between 1024 and'),
    ({'policy': 'SCHED_DEADLINE', 'runtime': 3000, 'deadline': 2000}, 'runtime 3000 must be <= deadline 2000'),
    ({'policy': 'SCHED_DEADLINE', 'runtime': 2000, 'deadline': 3000, 'period': 2500}, 'deadline 3000 must be <= period 2500'),
    ({'policy': 'SCHED_FIFO'}, r'sched_setattr\(process.scheduler\): Invalid argument')])
def test_a_scheduler_that_cannot_be(box, scheduler, says):
    box.config['process']['scheduler'] = scheduler
    box.write()
    box.run('run', '--bundle', box.bundle, 'bad').fails(1, says)


@BOTH
def test_io_priority(box):
    assert output(box, 'ionice', ioPriority={'class': 'IOPRIO_CLASS_BE', 'priority': 6}).strip() == 'best-effort: prio 6'
    assert output(box, 'ionice', ioPriority={'class': 'IOPRIO_CLASS_IDLE'}).strip() == 'idle'


@BOTH
def test_personality_of_init_and_exec(box):
    box.config['linux']['personality'] = {'domain': 'LINUX32'}
    machine = output(box, 'uname', '-m').strip()
    assert machine != box.machine.run(['uname', '-m']).ok().out.strip()
    box.started('box', 'sleep', '100')
    assert box.run('exec', 'box', 'uname', '-m').ok().out.strip() == machine
    box.config['linux']['personality'] = {'domain': 'SOLARIS'}
    box.write()
    box.run('run', '--bundle', box.bundle, 'bad').fails(1, 'linux.personality.domain must be a name such as LINUX')


@BOTH
def test_memory_policy(box):
    box.config['linux']['memoryPolicy'] = {'mode': 'MPOL_BIND', 'nodes': '0', 'flags': ['MPOL_F_STATIC_NODES']}
    assert 'bind=static:0' in output(box, 'cat', '/proc/self/numa_maps')
    box.started('later', 'sleep', '100')
    assert 'bind=static:0' in box.run('exec', 'later', 'cat', '/proc/self/numa_maps').ok().out
    box.config['linux']['memoryPolicy'] = {'mode': 'MPOL_BIND', 'nodes': '0-'}
    box.write()
    box.run('run', '--bundle', box.bundle, 'bad').fails(1, 'linux.memoryPolicy.nodes must look like')


@BOTH
def test_affinity_of_exec(box):
    box.started('box', 'sleep', '100')
    process = dict(box.config['process'], args=['grep', 'Cpus_allowed_list', '/proc/self/status'],
                   execCPUAffinity={'initial': '0-1', 'final': '1'})
    box.machine.write(f'{box.dir}/process.json', json.dumps(process))
    assert box.run('exec', '--process', f'{box.dir}/process.json', 'box').ok().out.split() == ['Cpus_allowed_list:', '1']


@pytest.mark.parametrize('member, value, says', [
    ('apparmorProfile', 'docker-default', 'process.apparmorProfile needs AppArmor'),
    ('selinuxLabel', 'system_u:system_r:container_t:s0', 'process.selinuxLabel needs SELinux'),
    ('mountLabel', 'system_u:object_r:container_file_t:s0', 'linux.mountLabel needs SELinux')])
def test_labels_without_their_module_are_refused(box, member, value, says):
    if os.path.exists('/sys/kernel/security/apparmor') or os.path.exists('/sys/fs/selinux/enforce'):
        pytest.skip('this kernel has a security module with labels')
    box.config['linux' if member == 'mountLabel' else 'process'][member] = value
    box.write()
    box.run('run', '--bundle', box.bundle, 'labelled').fails(1, says)


@BOTH
def test_session_keyring(box):
    """Keyrings that have ended are listed for a while: each by its own name."""
    box.config['process']['args'] = ['cat', '/proc/keys']
    box.write()
    assert '_ses.with ' in box.run('run', '--bundle', box.bundle, 'with').ok().out.replace(':', ' ')
    assert '_ses.without ' not in box.run(
        'run', '--no-new-keyring', '--bundle', box.bundle, 'without').ok().out.replace(':', ' ')


@BOTH
def test_no_pivot(box):
    words = ['sh', '-c', 'pwd; ls /; cat /proc/self/mountinfo | cut -d" " -f5 | head -1; ls /proc/self/fd | wc -l']
    plain = output(box, *words)
    assert output(box, *words, options=['--no-pivot']) == plain


def test_no_pivot_leaves_no_mount_of_the_host(box):
    """What lies below the new root would let a user namespace mount a procfs that nothing covers."""
    box.config['process']['capabilities'] = {
        name: ['CAP_SYS_ADMIN', 'CAP_SETFCAP', 'CAP_SETUID', 'CAP_SETGID'] for name in ('bounding', 'effective', 'permitted')}
    box.config['linux']['maskedPaths'] = ['/proc/sys']
    words = ['unshare', '-Urmpf', 'mount', '-t', 'proc', 'proc', '/tmp']
    box.config['process']['args'] = words
    box.write()
    box.machine.shell(f'mkdir {box.dir}/proc && mount -t proc proc {box.dir}/proc').ok()
    try:
        for options in ([], ['--no-pivot']):
            box.run('run', *options, '--bundle', box.bundle, 'box').fails(1, 'ermission denied')
    finally:
        box.machine.shell(f'umount {box.dir}/proc').ok()


def test_a_read_only_tmpfs(box):
    box.config['mounts'][1]['options'] = ['ro', 'nosuid', 'mode=755']  # /dev, with what is mounted and made in it
    box.config['mounts'].append({'destination': '/media', 'type': 'tmpfs', 'options': ['ro']})
    box.config['root']['readonly'] = False
    out = output(box, 'sh', '-c', 'stat -c %a /media; touch /media/x 2>&1; grep " /media " /proc/self/mountinfo')
    assert 'Read-only file system' in out and ' ro,' in out.splitlines()[-1]


def test_domainname_by_sysctl(box):
    box.config['linux']['sysctl'] = {'kernel.domainname': 'by-sysctl'}
    assert output(box, 'cat', '/proc/sys/kernel/domainname') == 'by-sysctl\n'
    box.config['domainname'] = 'other'
    box.write()
    box.run('run', '--bundle', box.bundle, 'bad').fails(1, 'kernel.domainname" is by-sysctl, and domainname is other')


def with_devices(box, script, devices, setup='ip link add here0 type veth peer name peer0'):
    """The container's output, from a network namespace of this test's own that takes the host's place."""
    box.config['linux']['netDevices'] = devices
    box.config['process']['args'] = ['sh', '-c', script]
    box.write()
    run = ' '.join([*box.command, '--root', box.root, 'run', '--bundle', box.bundle, 'box'])
    return box.machine.run(['unshare', '--net', 'sh', '-c', f'{setup}; {run}; status=$?; ip -o link | cut -d" " -f2 | sort; '
                            'exit $status'])


def test_network_devices_move_with_their_addresses(box):
    setup = ('ip link add here0 type veth peer name peer0; ip link set peer0 up; ip link set here0 up; '
             'ip addr add 10.77.0.2/24 brd 10.77.0.200 dev here0; ip addr add 10.77.0.9/24 dev here0 valid_lft 99 preferred_lft 99; '
             'ip addr add fd77::2/64 dev here0 nodad')
    result = with_devices(box, 'ip -o addr show dev there0; ip -o link show dev there0',
                          {'here0': {'name': 'there0'}}, setup).ok()
    assert 'inet 10.77.0.2/24 brd 10.77.0.200 scope global' in result.out and 'inet6 fd77::2/64 scope global' in result.out
    assert '10.77.0.9' not in result.out and ',UP' in result.out and 'link/ether' in result.out
    assert 'here0' in with_devices(box, 'ip -o link show dev here0', {'here0': {}}).ok().out


@pytest.mark.parametrize('devices, says', [
    ({'gone0': {}}, 'linux.netDevices gone0: look up: .*No such device'),
    ({'here0': {'name': 'lo'}}, 'linux.netDevices here0: the container has a device lo already'),
    ({'here0': {'name': 'a/b'}}, r'linux.netDevices.here0.name names no network device: "a/b"'),
    ({'a-name-of-16-byte': {}}, 'linux.netDevices.a-name-of-16-byte names no network device')])
def test_network_devices_that_cannot_move(box, devices, says):
    result = with_devices(box, 'true', devices).fails(1, says)
    assert result.out.split() == ['here0@peer0:', 'lo:', 'peer0@here0:']
    box.assert_nothing_left()


def test_network_devices_need_a_network_namespace(box):
    box.config['linux']['namespaces'] = [entry for entry in box.config['linux']['namespaces'] if entry['type'] != 'network']
    with_devices(box, 'true', {'here0': {}}).fails(1, 'linux.netDevices need a network namespace')


def bind(source, destination):
    return {'destination': destination, 'type': 'bind', 'source': source, 'options': ['bind']}


@BOTH
def test_a_source_that_an_earlier_mount_brings(box):
    """Mounts are made in their order, and a source may lie below the root file system, which an earlier one is mounted in."""
    root = box.config['root']['path']
    box.machine.run(['mkdir', '-p', f'{box.bundle}/given/deep']).ok()
    box.machine.write(f'{box.bundle}/given/deep/file', 'as given\n')
    box.machine.shell(f'ln -s /tmp/given/deep {box.bundle}/given/way; ln -s /etc {box.bundle}/given/out').ok()
    box.config['mounts'] += [bind('given', '/tmp/given'), bind(f'{root}/tmp/given/deep', '/tmp/again'),
                             bind(f'{root}//tmp/given/way/file', '/tmp/one')]
    assert output(box, 'cat', '/tmp/again/file', '/tmp/one') == 'as given\n' * 2
    # Links lead nowhere but into the container, and what nobody brings is missing.
    own = box.machine.read(f'{root}/etc/passwd').decode()
    box.config['mounts'][-1] = bind(f'{root}/tmp/given/out/passwd', '/tmp/passwd')
    assert output(box, 'cat', '/tmp/passwd') == own
    for missing in (f'{root}/tmp/given/none', f'{root}/../none', '/nowhere'):
        box.config['mounts'][-1] = bind(missing, '/tmp/x')
        box.write()
        box.run('run', '--bundle', box.bundle, 'bad').fails(1, f'mount {missing} on /tmp/x: .*No such file')
    # Before the mount that brings it there is nothing.
    box.config['mounts'][-1:] = [bind(f'{root}/tmp/late/deep', '/tmp/x'), bind('given', '/tmp/late')]
    box.write()
    box.run('run', '--bundle', box.bundle, 'bad').fails(1, 'No such file')
