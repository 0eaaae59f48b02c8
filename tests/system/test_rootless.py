"""wherry-runtime as an ordinary user: by hand, and under podman without root. Tests need root to become that user."""

import ctypes
import json
import os
import pathlib
import shutil
import tempfile

import pytest
from harness import compile as compiler
from harness import debs
from harness.machine import LocalMachine
from oci_box import RUNTIME, SET_CHILD_SUBREAPER, base_config, reap_monitors, unpack_busybox
from test_oci_runtime import CALLERS

USER = 61234
SUBORDINATE = 700000
SYSFS = {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['nosuid', 'noexec', 'nodev', 'ro']}
LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000']


class Person:
    """A user with a home, subordinate ids, and no rights."""

    def __init__(self):
        self.machine = LocalMachine(compiler.native_arch(), over=debs.missing_tree('oci-rootless', [*CALLERS, 'uidmap']))
        self.dir = tempfile.mkdtemp(prefix='wt-rootless.')
        self.rootfs = f'{self.dir}/rootfs'
        for name in ('rootfs', 'run', 'bundle'):
            os.mkdir(f'{self.dir}/{name}')
        unpack_busybox(self.machine, self.rootfs)
        self.machine.shell(f'tar -C {self.rootfs} -c . > {self.dir}/image.tar; chown -R {USER}:{USER} {self.dir}').ok()
        self._name_in_etc()

    def _name_in_etc(self):
        """newuidmap knows users by their names; only this machine's mount namespace sees them."""
        over = f'{self.dir}/etc'
        self.machine.shell(
            f'mkdir {over} && mount -t tmpfs tmpfs {over} && mkdir {over}/u {over}/w && cd {over}/u && '
            f'cp /etc/passwd /etc/group . && echo person:x:{USER}:{USER}::{self.dir}:/bin/sh >> passwd && '
            f'echo person:x:{USER}: >> group && echo person:{SUBORDINATE}:65536 | tee subuid > subgid && '
            f'chmod 755 . && mount -t overlay -o lowerdir=/etc,upperdir={over}/u,workdir={over}/w overlay /etc').ok()

    def run(self, *words, script=None, timeout=60):
        """As that user, in its home; `script` is for a shell that has the words as its arguments."""
        words = ['sh', '-c', script, 'sh', *words] if script else words
        return self.machine.run(
            ['setpriv', '--reuid', str(USER), '--regid', str(USER), '--clear-groups', 'env', '-i', '-C', self.dir,
             f'PATH={os.environ["PATH"]}', f'HOME={self.dir}', f'XDG_RUNTIME_DIR={self.dir}/run', *words],
            timeout=timeout)

    def close(self):
        self.machine.shell(f"umount /etc {self.dir}/etc; grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | "
                           'sort -r | while read m; do umount -l "$m"; done')
        self.machine.close()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope='module', name='person')
def fixture_person():
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    person = Person()
    yield person
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 0)
    reap_monitors()
    person.close()


class Bundle:
    def __init__(self, person):
        self.person = person
        self.dir = f'{person.dir}/bundle'
        self.config = base_config(person.rootfs)
        self.config['root']['readonly'] = False
        self.config['mounts'][2]['options'].remove('gid=5')  # a group that one id alone does not have
        self.config['mounts'].append(SYSFS)

    def write(self, *args):
        self.config['process']['args'] = list(args)
        pathlib.Path(self.dir, 'config.json').write_text(json.dumps(self.config), encoding='utf-8')

    def script(self, text, *options):
        self.write('sh', '-c', text)
        return self.person.run(RUNTIME, *options, 'run', '--bundle', self.dir, 'box')

    def __call__(self, *words):
        return self.person.run(RUNTIME, *words)


@pytest.fixture(name='bundle')
def fixture_bundle(person):
    bundle = Bundle(person)
    yield bundle
    bundle('delete', '--force', 'box')
    assert bundle('list', '-q').ok().out == ''


MAP = "awk '{print $1, $2, $3}' /proc/self/uid_map"


def test_the_callers_own_id_is_root(bundle, person):
    out = bundle.script(f'id -u; id -g; {MAP}; touch /made; stat -c %u /made; echo x > /dev/null; ls /sys/class/net; '
                        'echo $$', '--rootless', 'auto').ok().out
    assert out.split() == ['0', '0', '0', str(USER), '1', '0', 'lo', '1']
    assert os.stat(f'{person.rootfs}/made').st_uid == USER


def test_life_of_a_container(bundle, person):
    bundle.write('sleep', '100')
    person.run(RUNTIME, 'create', '--bundle', bundle.dir, 'box', script='exec "$@" <>/dev/null >out 2>&1').ok()
    state = json.loads(bundle('state', 'box').ok().out)
    assert (state['status'], state['owner']) == ('created', str(USER))
    bundle('start', 'box').ok()
    assert bundle('exec', 'box', 'sh', '-c', f'id -u; cat /proc/1/comm; {MAP}').ok().out.split() == [
        '0', 'sleep', '0', str(USER), '1']
    bundle('exec', 'box', 'sh', '-c', 'exit 3').fails(3)
    bundle('kill', 'box', 'KILL').ok()
    person.machine.wait_for(lambda: json.loads(bundle('state', 'box').ok().out)['status'] == 'stopped',
                            'the container does not end', 10)
    bundle('delete', 'box').ok()


def test_the_configuration_that_spec_writes(bundle, person):
    pathlib.Path(bundle.dir, 'config.json').unlink(missing_ok=True)
    bundle('spec', '--rootless', '--bundle', bundle.dir).ok()
    bundle.config = json.loads(pathlib.Path(bundle.dir, 'config.json').read_text(encoding='utf-8'))
    bundle.config['process']['terminal'] = False
    bundle.config['root']['path'] = person.rootfs
    assert bundle.script(f'id -u; hostname; ls /sys/class/net | grep -c lo; {MAP}').ok().out.split() == [
        '0', 'wherry', '1', '0', str(USER), '1']


def test_subordinate_ids(bundle):
    bundle.config['linux']['namespaces'].append({'type': 'user'})
    bundle.config['linux']['uidMappings'] = bundle.config['linux']['gidMappings'] = [
        {'containerID': 0, 'hostID': USER, 'size': 1}, {'containerID': 1, 'hostID': SUBORDINATE, 'size': 1000}]
    bundle.config['process']['user'] = {'uid': 12, 'gid': 34, 'additionalGids': [56]}
    assert bundle.script(f'id -u; id -G; {MAP}').ok().out.split() == [
        '12', '34', '56', '0', str(USER), '1', '1', str(SUBORDINATE), '1000']
    bundle.config['linux']['uidMappings'] = [{'containerID': 0, 'hostID': 0, 'size': 1}]
    bundle.script('true').fails(1, 'newuidmap refuses the ids; /etc/subuid and /etc/subgid have to give')


def test_what_an_ordinary_user_cannot_have(bundle):
    bundle.config['process']['user'] = {'uid': 1, 'gid': 1}
    bundle.script('true').fails(1, r'setresgid\(1\): Invalid argument')
    bundle.config['process']['user'] = {'uid': 0, 'gid': 0, 'additionalGids': [0]}
    bundle.script('true').fails(1, r'setgroups\(additional groups of the program\): Operation not permitted')
    bundle.config['process']['user'] = {'uid': 0, 'gid': 0}
    bundle.config['linux']['resources'] = {'pids': {'limit': 5}}
    bundle.script('true').fails(1, 'limits need a cgroup of the container.s own')
    del bundle.config['linux']['resources']
    bundle.script('true', '--rootless', 'false').fails(1, 'only root can run containers with --rootless false')
    bundle.config['linux']['namespaces'][1]['path'] = '/proc/self/ns/pid'
    bundle.script('true').fails(1, 'joining a pid namespace, and offsets of clocks, are not supported without root')


def test_a_delegated_cgroup(bundle, person):
    group = f'/wt-rootless-{os.getpid()}'
    person.machine.shell(f'cd /sys/fs/cgroup && mkdir .{group} .{group}/sub && '
                         f'chown -R {USER}:{USER} .{group}').ok()
    try:
        bundle.config['linux']['cgroupsPath'] = f'{group}/sub/box'
        bundle.write('sleep', '100')
        # Whoever starts it has to be in what was delegated: a process only moves within that.
        person.machine.run(['sh', '-c', f'echo $$ > /sys/fs/cgroup{group}/cgroup.procs && exec "$@"', 'sh',
                            'setpriv', '--reuid', str(USER), '--regid', str(USER), '--clear-groups', 'sh', '-c',
                            f'cd {person.dir} && XDG_RUNTIME_DIR={person.dir}/run exec "$@" <>/dev/null >out 2>&1',
                            'sh', RUNTIME, 'run', '--detach', '--bundle', bundle.dir, 'box']).ok()
        pid = json.loads(bundle('state', 'box').ok().out)['pid']
        assert f'0::{group}/sub/box' in pathlib.Path(f'/proc/{pid}/cgroup').read_text(encoding='utf-8')
        bundle('pause', 'box').ok()
        assert json.loads(bundle('state', 'box').ok().out)['status'] == 'paused'
        bundle('resume', 'box').ok()
        bundle('delete', '--force', 'box').ok()
        assert not os.path.exists(f'/sys/fs/cgroup{group}/sub/box')
    finally:
        person.machine.shell(f'find /sys/fs/cgroup{group} -depth -type d -exec rmdir {{}} +')


class Podman:
    def __init__(self, person):
        self.person = person
        self.base = ['podman', '--root', f'{person.dir}/data', '--runroot', f'{person.dir}/rr', '--tmpdir',
                     f'{person.dir}/tmp', '--cgroup-manager=cgroupfs', '--storage-driver', 'overlay',
                     '--events-backend', 'none', '--runtime', RUNTIME]
        self('import', '-q', f'{person.dir}/image.tar', 'busybox:latest').ok()

    def __call__(self, *words):
        return self.person.run(*self.base, *words)

    def run(self, *words):
        return self('run', '--network', 'none', *LIMITS, *words)


def test_podman_without_root(person):
    podman = Podman(person)
    assert podman.run('--rm', 'busybox', 'sh', '-c', f'id -u; {MAP}').ok().out.split() == [
        '0', '0', str(USER), '1', '1', str(SUBORDINATE), '65536']
    assert podman.run('--rm', '--userns', 'keep-id', 'busybox', 'id', '-u').ok().out == f'{USER}\n'
    assert podman.run('--rm', '--userns', 'auto:size=100', 'busybox', 'id', '-u').ok().out == '0\n'
    podman.run('--rm', 'busybox', 'sh', '-c', 'exit 7').fails(7)
    podman.run('-d', '--name', 'box', 'busybox', 'sleep', '100').ok()
    assert podman('exec', 'box', 'id', '-u').ok().out == '0\n'
    assert podman.run('--rm', '--pid', 'container:box', 'busybox', 'cat', '/proc/1/comm').ok().out == 'sleep\n'
    person.machine.wait_for(lambda: podman('rm', '-f', '-t', '0', 'box').code == 0, 'box is not removed', 10)
