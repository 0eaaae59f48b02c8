"""User namespaces, idmapped mounts and namespaces that exist, by the command line of wherry-runtime and under podman."""

import fcntl
import json
import os
import pathlib

import pytest
from oci_box import CGROUP as TREE
from test_oci_runtime import fixture_callers, fixture_podman  # noqa: F401 pylint: disable=unused-import

pytestmark = pytest.mark.machines('host')

BASE = 200000
MAP = [{'containerID': 0, 'hostID': BASE, 'size': 65536}]
CGROUP = {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup'}
SYSFS = {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['nosuid', 'noexec', 'nodev', 'ro']}


def writable_rootfs(box, owner):
    """A copy of the bundle's root file system that belongs to `owner` and that nobody else can reach."""
    box.machine.shell(f'mkdir -m 0700 {box.dir}/own && cp -a {box.config["root"]["path"]} {box.dir}/own/rootfs && '
                      f'chown -R {owner}:{owner} {box.dir}/own/rootfs').ok()
    box.config['root'] = {'path': f'{box.dir}/own/rootfs'}
    return f'{box.dir}/own/rootfs'


def namespace(box, kind, path=None):
    """The container's namespaces with the one of `kind` replaced, or left out for ''."""
    rest = [entry for entry in box.config['linux']['namespaces'] if entry['type'] != kind]
    box.config['linux']['namespaces'] = rest + ([] if path == '' else [
        {'type': kind, 'path': path} if path else {'type': kind}])


def remap(box, ids=None):
    namespace(box, 'user')
    box.config['linux']['uidMappings'] = box.config['linux']['gidMappings'] = ids or MAP


def output(box, script):
    box.config['process']['args'] = ['sh', '-c', script]
    box.write()
    return box.run('run', '--bundle', box.bundle, 'user').ok().out


@pytest.fixture(name='remapped')
def fixture_remapped(box):
    writable_rootfs(box, BASE)
    remap(box)
    return box


def test_root_of_a_container_is_nobody_outside(remapped):
    box = remapped
    out = output(box, 'id -u; id -g; cat /proc/self/uid_map; touch /made; stat -c %u /made /bin /proc/1 /dev; echo $$')
    assert out.split() == ['0', '0', '0', str(BASE), '65536', '0', '0', '0', '0', '1']
    assert os.stat(f'{box.dir}/own/rootfs/made').st_uid == BASE
    box.started('kept', 'sleep', '100')
    pid = box.state('kept')['pid']
    status = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='utf-8')
    assert [line.split()[1] for line in status.splitlines() if line.startswith(('Uid', 'Gid'))] == [str(BASE)] * 2
    for kind in ('mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'):
        assert owner_of(f'/proc/{pid}/ns/{kind}') == os.stat(f'/proc/{pid}/ns/user').st_ino
    assert box.run('exec', 'kept', 'sh', '-c', 'id -u; touch /later; readlink /proc/self/ns/user').ok().out.split() == [
        '0', os.readlink(f'/proc/{pid}/ns/user')]
    assert os.stat(f'{box.dir}/own/rootfs/later').st_uid == BASE
    assert box.run('exec', '--user', '12:34', 'kept', 'sh', '-c', 'id -u; id -g').ok().out.split() == ['12', '34']


def owner_of(path):
    """Inode of the user namespace that owns a namespace (NS_GET_USERNS)."""
    with open(path, 'rb') as file:
        owner = fcntl.ioctl(file, 0xb701)
    try:
        return os.fstat(owner).st_ino
    finally:
        os.close(owner)


def test_what_a_container_in_a_user_namespace_has(remapped):
    """Devices of the host, file systems of its own namespaces, its own sysctls, streams it can open again."""
    box = remapped
    box.config['mounts'] += [SYSFS, {'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'mqueue'}, CGROUP]
    box.config['linux']['sysctl'] = {'net.ipv4.ip_unprivileged_port_start': '7', 'kernel.msgmax': '4321'}
    box.config['linux']['maskedPaths'] = ['/proc/cmdline', '/sys/firmware']
    box.config['linux']['readonlyPaths'] = ['/proc/sys']
    box.config['process']['oomScoreAdj'] = 77
    box.config['process']['rlimits'] = [{'type': 'RLIMIT_NOFILE', 'soft': 100, 'hard': 200}]
    out = output(box, 'head -c 3 /dev/zero | wc -c; echo x > /dev/null; echo again > /dev/stdout; ls /sys/class/net; '
                      'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax; '
                      'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; hostname; ls -d /dev/mqueue; '
                      'ip link show lo | grep -c UP; wc -c < /proc/cmdline; ls -d /sys/fs/cgroup/cgroup.procs')
    assert out.split() == ['3', 'again', 'lo', '7', '4321', '100', '200', '77', 'oci', '/dev/mqueue', '1', '0',
                           '/sys/fs/cgroup/cgroup.procs']


def test_its_cgroup_is_its_own_to_divide(remapped):
    box = remapped
    box.config['mounts'] += [SYSFS, CGROUP]
    assert output(box, 'mkdir /sys/fs/cgroup/part && echo $$ > /sys/fs/cgroup/part/cgroup.procs && '
                       'cat /proc/self/cgroup | grep ^0').strip() == '0::/part'
    box.config['mounts'][-1] = {**CGROUP, 'options': ['ro']}
    assert output(box, 'mkdir /sys/fs/cgroup/part 2>/dev/null || echo refused') == 'refused\n'


def test_the_hosts_namespaces_in_a_user_namespace(remapped):
    """procfs and sysfs of what the container does not own."""
    box = remapped
    box.config['mounts'].append(SYSFS)
    for kind in ('network', 'pid', 'ipc', 'cgroup'):
        namespace(box, kind, '')
    out = output(box, 'test -e /proc/$$ && echo seen; ls /sys/class/net; id -u')
    assert out.split() == ['seen', *sorted(os.listdir('/sys/class/net')), '0']


def test_maps_that_cannot_be(remapped):
    box = remapped
    box.config['linux']['uidMappings'] = MAP + MAP
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, 'refuses the uid_map of the user namespace: its ranges')
    del box.config['linux']['uidMappings']
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, 'a new user namespace needs linux.uidMappings')
    namespace(box, 'user', '')
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, 'gidMappings need a user namespace')


def test_what_belongs_to_nobody_inside_stays_closed(box):
    """A root file system that was not made for the map: an error, and nothing left."""
    remap(box)
    box.config['root'] = {'path': box.config['root']['path']}
    box.config['process']['cwd'] = '/not/there'
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, r'working directory: mkdir\(/not/there\): Permission denied')


@pytest.mark.parametrize('mapped', [{'options': ['bind', 'idmap']}, {'options': ['rbind', 'ridmap']},
                                    {'options': ['bind'], 'uidMappings': MAP, 'gidMappings': MAP}])
def test_a_mount_with_mapped_owners(remapped, mapped):
    box = remapped
    os.mkdir(f'{box.dir}/shared')
    pathlib.Path(box.dir, 'shared/file').write_text('theirs', encoding='utf-8')
    box.config['mounts'] += [{'destination': '/as-is', 'type': 'bind', 'source': f'{box.dir}/shared',
                              'options': ['bind']},
                             {'destination': '/mapped', 'type': 'bind', 'source': f'{box.dir}/shared', **mapped}]
    out = output(box, 'stat -c %u /as-is/file /mapped/file; echo x > /as-is/new 2>/dev/null || echo refused; '
                      'echo x > /mapped/new')
    assert out.split() == ['65534', '0', 'refused']
    assert os.stat(f'{box.dir}/shared/new').st_uid == 0


def test_a_mount_with_mapped_owners_and_no_user_namespace(box):
    """The maps are made from inside a pid namespace that the host's /proc does not show."""
    os.mkdir(f'{box.dir}/mapped')
    pathlib.Path(f'{box.dir}/mapped/file').touch()
    maps = [{'containerID': 0, 'hostID': 1000, 'size': 10}]
    box.config['mounts'].append({'destination': '/mapped', 'type': 'bind', 'source': f'{box.dir}/mapped',
                                 'options': ['bind'], 'uidMappings': maps, 'gidMappings': maps})
    assert output(box, 'stat -c %u:%g /mapped/file') == '1000:1000\n'


def test_a_new_user_namespace_without_maps_has_the_caller_alone(box):
    box.config['linux']['namespaces'].append({'type': 'user'})
    box.config['mounts'][2]['options'].remove('gid=5')
    assert output(box, 'cat /proc/self/uid_map /proc/self/gid_map').split() == ['0', '0', '1'] * 2


def test_device_nodes_of_the_host_are_bound_without_rights(remapped):
    options = output(remapped, "grep ' /dev/zero ' /proc/self/mountinfo | cut -d' ' -f6").strip().split(',')
    assert {'nosuid', 'noexec'} <= set(options)


def test_devices_of_the_configuration_are_made_with_owner_and_mode(remapped):
    """Whatever the host has of that name."""
    device = {'path': '/dev/own', 'type': 'c', 'major': 1, 'minor': 5, 'uid': 10, 'gid': 11, 'fileMode': 0o422}
    remapped.config['linux'].update(devices=[device], resources={'devices': [
        {'allow': False, 'access': 'rwm'}, {'allow': True, 'type': 'c', 'major': 1, 'minor': 5, 'access': 'rw'}]})
    remapped.config['process']['user'] = {'uid': 10, 'gid': 0}
    script = "stat -c '%u %g %a %t %T' /dev/own; head -c 3 /dev/own | wc -c; echo x 2>&1 > /dev/own || grep -c ' /dev' /proc/self/mountinfo"
    out = output(remapped, script).splitlines()
    assert out[:2] == ['10 11 422 1 5', '3']
    mounts = int(out[-1])
    remapped.config['linux']['devices'] = []
    assert int(output(remapped, "grep -c ' /dev' /proc/self/mountinfo")) == mounts - 1
    remapped.config['linux']['devices'] = [device | {'uid': 70000}]
    remapped.write()
    remapped.run('run', '--bundle', remapped.bundle, 'user').fails(1, 'device /dev/own has an owner that linux.uidMappings')


def test_mapped_owners_need_a_map(box):
    box.config['mounts'].append({'destination': '/mapped', 'type': 'bind', 'source': box.dir,
                                 'options': ['bind', 'idmap']})
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, 'idmap needs a user namespace of the container')
    box.config['mounts'][-1]['uidMappings'] = MAP
    box.write()
    box.run('run', '--bundle', box.bundle, 'user').fails(1, r'mounts\[4\] needs uidMappings and gidMappings')


KINDS = {'network': 'net', 'ipc': 'ipc', 'uts': 'uts', 'cgroup': 'cgroup', 'pid': 'pid', 'time': 'time', 'user': 'user'}


def links(box, kinds=tuple(KINDS)):
    return output(box, 'for n in ' + ' '.join(KINDS[kind] for kind in kinds) + '; do readlink /proc/self/ns/$n; done'
                  ).split()


def join_all(box, pid, kinds=tuple(KINDS)):
    for kind in kinds:
        namespace(box, kind, f'/proc/{pid}/ns/{KINDS[kind]}')
    box.config['linux']['cgroupsPath'] = f'{TREE}/guest'
    box.config['linux'].pop('uidMappings', None)
    box.config['linux'].pop('gidMappings', None)
    del box.config['hostname']


@pytest.mark.parametrize('user', [True, False])
def test_joining_all_namespaces_of_another_container(box, user):
    kinds = [kind for kind in KINDS if user or kind != 'user']
    if user:
        writable_rootfs(box, BASE)
        remap(box)
    namespace(box, 'time')
    box.config['linux']['timeOffsets'] = {'boottime': {'secs': 1000000}}
    box.started('first', 'sleep', '100')
    pid = box.state('first')['pid']
    del box.config['linux']['timeOffsets']
    join_all(box, pid, kinds)
    assert links(box, kinds) == [os.readlink(f'/proc/{pid}/ns/{KINDS[kind]}') for kind in kinds]
    assert 'sleep' in output(box, 'cat /proc/1/comm; hostname; awk \'{print ($1 > 1000000)}\' /proc/uptime')
    box.started('second', 'sleep', '100')
    assert box.run('exec', 'second', 'cat', '/proc/1/comm').ok().out == 'sleep\n'
    box.run('kill', 'second', 'KILL').ok()
    box.wait_for('second', 'stopped')
    assert box.state('first')['status'] == 'running'


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'user'])
def test_a_namespace_of_another_type_is_refused(box, kind):
    namespace(box, kind, '/proc/self/ns/mnt')
    box.write()
    box.run('run', '--bundle', box.bundle, 'join').fails(1, f'join {kind} namespace: .*not a namespace of the wanted')


def test_a_user_namespace_of_another_type_is_refused(box):
    namespace(box, 'user', '/proc/self/ns/mnt')
    box.write()
    box.run('run', '--bundle', box.bundle, 'join').fails(1, 'join user namespace: .*not a namespace of the wanted')


def test_clocks_of_a_new_time_namespace(box):
    namespace(box, 'time')
    box.config['linux']['timeOffsets'] = {'boottime': {'secs': 5000000, 'nanosecs': 5}, 'monotonic': {'secs': -1}}
    assert output(box, 'cat /proc/self/timens_offsets').split() == [
        'monotonic', '-1', '0', 'boottime', '5000000', '5']
    assert float(output(box, 'cut -d" " -f1 /proc/uptime')) > 5000000
    namespace(box, 'time', '')
    box.write()
    box.run('run', '--bundle', box.bundle, 'time').fails(1, 'timeOffsets need a new time namespace')
    box.config['linux']['timeOffsets'] = {'realtime': {'secs': 1}}
    box.write()
    box.run('run', '--bundle', box.bundle, 'time').fails(1, r'linux\.timeOffsets\.realtime names no clock')


def test_hooks_see_the_init_that_has_the_namespaces(remapped):
    box = remapped
    box.config['hooks'] = {'createRuntime': [{'path': '/bin/sh', 'args': [
        'sh', '-c', f'cat > {box.dir}/told; pid=$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/" {box.dir}/told); '
                    f'cat /proc/$pid/uid_map > {box.dir}/map']}]}
    output(box, 'true')
    assert pathlib.Path(box.dir, 'map').read_text(encoding='utf-8').split() == ['0', str(BASE), '65536']
    assert json.loads(pathlib.Path(box.dir, 'told').read_text(encoding='utf-8'))['status'] == 'creating'


MAPS = 'cat /proc/self/uid_map | awk \'{print $1, $2, $3}\''


def test_create_container_hooks_see_the_mounts(remapped):
    rootfs = remapped.config['root']['path']
    remapped.config['hooks'] = {'createContainer': [{'path': '/bin/sh', 'args': [
        'sh', '-c', f'id -u; cat {rootfs}/proc/1/comm >&2; test -c {rootfs}/dev/null && echo by-hook > {rootfs}/tmp/made']}]}
    remapped.config['process']['args'] = ['cat', '/tmp/made']
    remapped.write()
    remapped.run('run', '--bundle', remapped.bundle, 'user').fails(1, "as the container's root: .*Permission denied")
    for directory in (f'{remapped.dir}/own', remapped.dir, os.path.dirname(remapped.dir)):
        os.chmod(directory, 0o711)
    out = output(remapped, 'cat /tmp/made; grep -c . /proc/self/mountinfo')
    remapped.config['hooks'] = {}
    assert out.split() == ['by-hook', output(remapped, 'grep -c . /proc/self/mountinfo').strip()]


def remove(podman, *names):
    """podman 4.3 fails once while its clean-up of a killed container is still at work, whatever the runtime."""
    podman.machine.wait_for(lambda: podman('rm', '-f', '-t', '0', *names).code == 0, f'{names} are not removed', 10)
    podman.assert_nothing_left()


def test_podman_user_namespaces(podman):
    assert podman.run('--rm', '--userns', 'host', 'busybox', 'sh', '-c', MAPS).ok().out == '0 0 4294967295\n'
    uidmap = ('--uidmap', f'0:{BASE}:5000', '--gidmap', f'0:{BASE}:5000')
    assert podman.run('--rm', *uidmap, 'busybox', 'sh', '-c', f'touch /x; stat -c %u /x /bin; {MAPS}'
                      ).ok().out.split('\n')[:3] == ['0', '0', f'0 {BASE} 5000']
    podman.run('-d', '--name', 'box', *uidmap, 'busybox', 'sleep', '100').ok()
    assert podman('exec', 'box', 'sh', '-c', 'id -u; ' + MAPS).ok().out == f'0\n0 {BASE} 5000\n'
    podman('exec', '-u', '12', 'box', 'touch', '/tmp/x').ok()
    remove(podman, 'box')


def test_podman_shares_namespaces(podman):
    podman.run('-d', '--name', 'box', 'busybox', 'sleep', '100').ok()
    assert podman.run('--rm', '--pid', 'container:box', '--ipc', 'container:box', 'busybox', 'sh', '-c',
                      'cat /proc/1/comm; echo $$').ok().out.split()[0] == 'sleep'
    assert podman.run('--rm', '--pid', 'host', 'busybox', 'readlink', '/proc/self/ns/pid').ok().out == (
        os.readlink('/proc/self/ns/pid') + '\n')
    remove(podman, 'box')


@pytest.fixture(name='pods')
def fixture_pods(podman):
    """podman for pods and --userns=auto: infra containers have no options of their own, and ids come from /etc/subuid."""
    conf = f'{podman.dir}/containers.conf'
    pathlib.Path(conf).write_text('[containers]\npids_limit=0\n'
                                  'default_ulimits=["nofile=1024:1024", "nproc=1000:1000"]\n', encoding='utf-8')
    over = f'{podman.dir}/etc'
    podman.machine.shell(f'mkdir -p {over} && mount -t tmpfs tmpfs {over} && mkdir {over}/u {over}/w && '
                         f'echo containers:300000:200000 | tee {over}/u/subuid > {over}/u/subgid && '
                         f'mount -t overlay -o lowerdir=/etc,upperdir={over}/u,workdir={over}/w overlay /etc').ok()

    def call(*words):
        return podman.machine.run([*podman.base, *words], timeout=60,
                                  env={'HOME': podman.dir, 'CONTAINERS_CONF': conf}).ok().out
    yield call
    podman.machine.wait_for(lambda: podman('pod', 'rm', '-a', '-f', '-t', '0').code == 0, 'pods are not removed', 10)
    podman.machine.shell(f'umount /etc {over}').ok()
    podman.assert_nothing_left()


def test_podman_pods(podman, pods):
    # podman 4.3 with cgroupfs forbids all devices in the cgroup of a pod, whatever the runtime.
    new_pod = ('pod', 'create', '--network', 'none', '--cgroup-parent', podman.parent, '--share-parent=false')
    run = ('run', '--rm', '--cgroup-parent', podman.parent)
    pods(*new_pod, '--name', 'plain')
    assert pods(*run, '--pod', 'plain', 'busybox', 'sh', '-c', 'hostname; echo $$').split() == ['plain', '1']
    pods(*new_pod, '--name', 'mapped', '--userns', 'auto', '--share', 'net,ipc,uts,pid')
    pods('run', '-d', '--name', 'member', '--pod', 'mapped', 'busybox', 'sleep', '100')
    kinds = ' '.join(f'/proc/self/ns/{kind}' for kind in ('user', 'net', 'ipc', 'uts', 'pid'))
    first = pods('exec', 'member', 'sh', '-c', f'for n in {kinds}; do readlink $n; done')
    assert pods(*run, '--pod', 'mapped', 'busybox', 'sh', '-c', f'for n in {kinds}; do readlink $n; done') == first
    assert pods('exec', 'member', 'sh', '-c', f'id -u; {MAPS}; cat /proc/1/comm').split() == [
        '0', '0', '300000', '65534', 'catatonit']


def test_podman_chooses_ids(podman, pods):
    run = ('run', '--rm', '--network', 'none', '--cgroup-parent', podman.parent, '--userns', 'auto:size=1000')
    assert pods(*run, 'busybox', 'sh', '-c', f'touch /x; stat -c %u /x /bin; {MAPS}').split() == [
        '0', '0', '0', '300000', '1000']
