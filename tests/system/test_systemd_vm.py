"""Limits of containers that are scopes of systemd, where cgroups can set them: in the virtual machine."""

import json
import pathlib
import subprocess

import booted
import oci_box
import pytest
from harness import debs, paths

pytestmark = pytest.mark.machines('vm-6.12')

SCOPE = 'box-one.scope'
FILES = ('memory.max', 'memory.high', 'memory.swap.max', 'pids.max', 'cpu.max', 'cpu.weight', 'cpuset.cpus')
SHOWN = ('MemoryMax', 'MemoryHigh', 'MemorySwapMax', 'TasksMax', 'CPUQuotaPerSecUSec', 'CPUWeight', 'AllowedCPUs')

UNNEEDED = [f'--exclude={name}' for name in ('perl*', 'libperl*', 'gconv', 'udev', 'security')]


class Booted:
    """Debian's systemd for ARM in a container; boxes of busybox run in that."""

    def __init__(self, machine, work):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.bundle = f'{self.dir}/bundle'
        self._runtime = f'{self.dir}/wherry-runtime'
        self.command = [self._runtime, 'exec', 'systemd']
        machine.write(self._runtime, (paths.build_dir(machine.vm.arch.preset) / 'wherry-runtime').read_bytes(), 0o755)
        booted.plant(work / 'root', 'machine.slice')
        (work / 'outer').mkdir()
        (work / 'bundle').mkdir()
        features = json.loads(machine.run([self._runtime, 'features']).ok().out)
        config = booted.configuration(f'{self.dir}/root', features, [(self.dir, self.dir, 'rw')])
        config['linux']['cgroupsPath'] = '/systemd-test'
        (work / 'outer/config.json').write_text(json.dumps(config), encoding='utf-8')
        self._send(work, '.')
        self._send(debs.foreign_tree('systemd', ['systemd'], machine.arch), *UNNEEDED, 'usr/bin/systemctl', 'usr/lib', to='root')
        machine.shell(f'mkdir {self.dir}/busybox').ok()
        oci_box.unpack_busybox(machine, f'{self.dir}/busybox')
        machine.shell(f'exec <>/dev/null >/dev/null 2>&1; {self._runtime} run --detach --bundle {self.dir}/outer systemd').ok()
        machine.wait_for(lambda: machine.exists('/sys/fs/cgroup/systemd-test/machine.slice/cpuset.cpus'),
                         'systemd is not up')
        booted.wait_until_up(machine, self.command)

    def _send(self, source, *names, to='.'):
        archive = subprocess.run(['tar', '-C', source, '-c', *names], check=True, stdout=subprocess.PIPE).stdout
        self.machine.run(['tar', '-C', f'{self.dir}/{to}', '-x'], input=archive, timeout=60).ok()

    def run(self, *words):
        """The runtime inside, with --systemd-cgroup."""
        return self.machine.run([*self.command, self._runtime, '--systemd-cgroup', *words])

    def start(self, resources, *args):
        config = oci_box.base_config(f'{self.dir}/busybox')
        config['linux'].update(cgroupsPath='machine.slice:box:one', resources=resources)
        config['process']['args'] = list(args)
        self.machine.write(f'{self.bundle}/config.json', json.dumps(config).encode())
        words = ' '.join([*self.command, self._runtime, '--systemd-cgroup', 'run', '--detach', '--bundle', self.bundle])
        started = self.machine.shell(f'{words} box <>/dev/null >/dev/null 2>{self.dir}/err')
        assert started.code == 0, self.machine.read(f'{self.dir}/err').decode()

    def files(self):
        group = f'/sys/fs/cgroup/systemd-test/machine.slice/{SCOPE}'
        return {name: self.machine.read(f'{group}/{name}').decode().strip() for name in FILES}

    def show(self, *properties):
        return booted.shown(self.machine, self.command, SCOPE, properties)

    def close(self):
        self.machine.run([self._runtime, 'delete', '--force', 'systemd']).ok()
        self.machine.shell(f'rm -rf {self.dir}')


@pytest.fixture(scope='module', name='systemd')
def fixture_systemd(machine, tmp_path_factory):
    made = Booted(machine, pathlib.Path(tmp_path_factory.mktemp('systemd')))
    yield made
    made.close()


def test_limits_are_in_the_cgroup_and_known_to_systemd(systemd):
    """What systemd did not know it would undo when it reads its units again."""
    systemd.start({'memory': {'limit': 48 << 20, 'swap': 48 << 20}, 'pids': {'limit': 50},
                   'cpu': {'shares': 512, 'quota': 50000, 'period': 100000, 'cpus': '0'},
                   'unified': {'memory.high': str(40 << 20)}}, 'sleep', '1000')
    wanted = {'memory.max': str(48 << 20), 'memory.high': str(40 << 20), 'memory.swap.max': '0', 'pids.max': '50',
              'cpu.max': '50000 100000', 'cpu.weight': '59', 'cpuset.cpus': '0'}
    assert systemd.files() == wanted
    assert systemd.show(*SHOWN) == {
        'MemoryMax': str(48 << 20), 'MemoryHigh': str(40 << 20), 'MemorySwapMax': '0', 'TasksMax': '50',
        'CPUQuotaPerSecUSec': '500ms', 'CPUWeight': '59', 'AllowedCPUs': '0'}
    systemd.machine.run([*systemd.command, 'systemctl', 'daemon-reload']).ok()
    assert systemd.files() == wanted
    systemd.run('update', '--memory', '64M', '--memory-swap', '-1', '--pids-limit', '77', '--cpu-quota', '12345', 'box').ok()
    wanted.update({'memory.max': str(64 << 20), 'memory.swap.max': 'max', 'pids.max': '77'})
    systemd.machine.run([*systemd.command, 'systemctl', 'daemon-reload']).ok()
    assert systemd.files() == {**wanted, 'cpu.max': '13000 100000'}
    assert systemd.show('MemoryMax', 'TasksMax', 'CPUQuotaPerSecUSec') == {
        'MemoryMax': str(64 << 20), 'TasksMax': '77', 'CPUQuotaPerSecUSec': '130ms'}
    systemd.run('delete', '--force', 'box').ok()


def test_a_container_that_wants_too_much_memory_is_killed_and_its_scope_forgotten(systemd):
    systemd.start({'memory': {'limit': 16 << 20, 'swap': 16 << 20}}, 'sh', '-c', 'tail /dev/zero; sleep 1000')
    systemd.machine.wait_for(lambda: systemd.machine.shell(
        f'grep "oom_kill [1-9]" /sys/fs/cgroup/systemd-test/machine.slice/{SCOPE}/memory.events').code == 0, 'no kill', 10)
    systemd.run('delete', '--force', 'box').ok()
    assert systemd.show('LoadState') == {'LoadState': 'not-found'}
