"""systemd in a container of wherry-runtime: a small machine on which it keeps the cgroups."""

import json
import os
import pathlib

from harness import paths
from oci_box import RUNTIME, Box, base_config

USER = 1000
# What the tests' own host may not have cannot be given away.
WITHOUT = ('CAP_SYS_RESOURCE', 'CAP_SYS_MODULE')
FILES = {
    'passwd': f'root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nuser:x:{USER}:{USER}::/tmp:/bin/sh\n',
    'group': f'root:x:0:\nmessagebus:x:100:\nuser:x:{USER}:\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\n',
    'machine-id': '0123456789abcdef0123456789abcdef\n',
    'os-release': 'ID=box\nNAME=box\n',
    'systemd/system/dbus.socket': '[Unit]\nDefaultDependencies=no\n'
                                  '[Socket]\nListenStream=/run/dbus/system_bus_socket\n',
    'systemd/system/dbus.service': '[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\n'
                                   'ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile '
                                   '--systemd-activation\n',
    # Has all controllers from the beginning: they cannot be switched on while a test's own process is in the root.
    'systemd/system/machine.slice': '[Slice]\nCPUWeight=100\nIOWeight=100\nMemoryAccounting=yes\nTasksAccounting=yes\n'
                                    'AllowedCPUs=0\n',
    'systemd/system/user.service': '[Unit]\nDefaultDependencies=no\n'
                                   f'[Service]\nType=notify\nUser={USER}\nGroup={USER}\nDelegate=yes\nSlice=user.slice\n'
                                   'RuntimeDirectory=box-user\nEnvironment=XDG_RUNTIME_DIR=/run/box-user HOME=/tmp\n'
                                   'ExecStart=/usr/lib/systemd/systemd --user --unit=basic.target\n',
}


def plant(directory, wants):
    """Makes the root file system of a machine but for /usr: `directory`. `wants`: the units it starts."""
    for top in ('usr', 'proc', 'dev', 'sys', 'run', 'tmp', 'var', 'etc/systemd/system'):
        os.makedirs(f'{directory}/{top}')
    for merged in ('bin', 'sbin', 'lib', 'lib64'):
        os.symlink(f'usr/{merged}', f'{directory}/{merged}')
    target = f'[Unit]\nDescription=box\nWants={wants}\n'
    for name, text in {**FILES, 'systemd/system/default.target': target}.items():
        pathlib.Path(directory, 'etc', name).write_text(text, encoding='utf-8')


def configuration(rootfs, features, binds):
    """config.json for systemd on `rootfs`, with all capabilities of `features`; binds: (source, place, mode)."""
    config = base_config(rootfs)
    capabilities = [name for name in features['linux']['capabilities'] if name not in WITHOUT]
    config['process'].update(
        args=['/usr/lib/systemd/systemd', '--show-status=0'],
        env=['PATH=/usr/bin:/usr/sbin', 'container=wherry', 'LC_ALL=C'],
        capabilities={kind: capabilities for kind in ('bounding', 'effective', 'permitted')})
    config['root']['readonly'] = False
    config['mounts'] += [
        {'destination': place, 'type': 'bind', 'source': source, 'options': ['rbind', mode]}
        for source, place, mode in binds] + [
        {'destination': '/run', 'type': 'tmpfs', 'source': 'tmpfs'},
        {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['ro']},
        {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': ['rw']}]
    return config


def wait_until_up(machine, command):
    def state():
        word = machine.run([*command, 'systemctl', 'is-system-running']).out.strip()
        return word in ('running', 'degraded') and word
    if machine.wait_for(state, 'systemd is not up') != 'running':
        raise AssertionError(machine.run([*command, 'systemctl', '--failed', '--no-pager']).out)


def shown(machine, command, unit, properties):
    """Of a unit, by `systemctl show`."""
    names = [f'--property={name}' for name in properties]
    out = machine.run([*command, 'systemctl', 'show', *names, '--', unit]).ok().out
    return dict(line.split('=', 1) for line in out.splitlines())


class Booted:
    """The container on this host. `command` stands before what is to run in it."""

    def __init__(self, machine, rootfs):
        """`rootfs`: of the boxes that are to run inside."""
        self.machine = machine
        self.rootfs = rootfs
        own = machine.temporary_directory()
        shared = os.path.dirname(own)
        plant(f'{own}/root', 'dbus.service machine.slice box-deep.slice')
        self._box = Box(machine, f'{own}/root')
        features = json.loads(self._box.run('features').ok().out)
        programs = str(paths.build_dir('host'))
        self._box.config = configuration(f'{own}/root', features, [
            ('/usr', '/usr', 'ro'), (programs, programs, 'ro'), (shared, shared, 'rw'),
            (rootfs, '/busybox', 'rw')])  # the last for users, to whom the directory of the tests is closed
        self.command = [RUNTIME, '--root', self._box.root, 'exec', 'systemd']
        self._box.started('systemd', *self._box.config['process']['args'])
        wait_until_up(machine, self.command)

    def run(self, *words, timeout=30):
        return self.machine.run([*self.command, *words], timeout=timeout)

    def box(self):
        """A box whose runtime is called inside, with --systemd-cgroup and a scope in machine.slice."""
        box = Box(self.machine, self.rootfs, runner=self.command)
        box.command += ['--systemd-cgroup']
        box.config['linux']['cgroupsPath'] = 'machine.slice:box:one'
        box.write()
        return box

    def show(self, unit, *properties):
        return shown(self.machine, self.command, unit, properties)

    def close(self):
        self._box.run('delete', '--force', 'systemd').ok()
