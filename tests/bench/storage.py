"""What a pull and an update write to a device of their own, and how long they take, beside docker,
podman, and a bare download that is unpacked."""

import hashlib
import io
import json
import os
import statistics
import tarfile
import time

import engines
from engine import Engine
from harness import compile as compiler
from harness import debs, paths
from harness import registry as registries
from harness.machine import LocalMachine
from images import recipes, reference

IMAGE = 'nginx'
VERSIONS = ('v1', 'v2')
DEVICE_BYTES = 3 << 30


class Device:
    """An ext4 file system of its own on a loop device; counts what is written to it."""

    def __init__(self, machine, size=DEVICE_BYTES, make=''):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.mount = f'{self.dir}/m'
        image = f'{self.dir}/image'
        machine.shell(f'truncate -s {size} {image} && mkfs.ext4 -q {make} '
                      f'-E lazy_itable_init=0,lazy_journal_init=0 {image} && mkdir {self.mount}',
                      timeout=120).ok()
        self.loop = machine.run(['losetup', '--find', '--show', image]).ok().out.strip()
        machine.run(['mount', self.loop, self.mount]).ok()
        machine.run(['sync', '-f', self.mount]).ok()

    def counters(self):
        """Bytes written and flushes."""
        self.machine.run(['sync', '-f', self.mount]).ok()
        fields = self.machine.read(f'/sys/block/{os.path.basename(self.loop)}/stat').split()
        return int(fields[6]) * 512, int(fields[15])

    def raw(self):
        fields = self.machine.read(f'/sys/block/{os.path.basename(self.loop)}/stat').split()
        return int(fields[6]) * 512, int(fields[15])

    def close(self):
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount -l "$m"; done')
        self.machine.run(['losetup', '--detach', self.loop])
        self.machine.remove(self.dir)


def contents(version, arch):
    """Digest to size of every file of the image, and the compressed size of its layers."""
    image = reference.load(IMAGE, version)['latest'].parts[recipes.ARCHES.index(arch)]
    found, compressed = {}, 0
    for layer in image.parts[1:]:
        compressed += len(layer.data)
        with tarfile.open(fileobj=io.BytesIO(layer.data)) as archive:
            for member in archive:
                if member.isreg():
                    data = archive.extractfile(member).read()
                    found[hashlib.sha256(data).hexdigest()] = len(data)
    return found, compressed


class WherryPulls:
    def __init__(self, machine, registry, device, tier):
        self.name = f'wherry {tier}'
        self.image = f'127.0.0.1:{registry.port}/{IMAGE}'
        config = f'[store]\ntier = {tier}\n'
        self._engine = Engine(machine, config, str(paths.build_dir('host') / 'wherry'))
        self._engine.root = f'{device.mount}/data'
        self._engine.start()

    def pull(self, version):
        self._engine.wherry('pull', '-q', f'{self.image}:{version}', timeout=600).ok()

    def peak(self):
        status = self._engine.machine.read(f'/proc/{self._engine.pid}/status').decode()
        return int(status.split('VmHWM:')[1].split()[0]) * 1024

    def close(self):
        self._engine.stop()
        self._engine.close()


class DockerPulls(engines.Contender):
    name = 'docker'

    def __init__(self, machine, registry, device):
        super().__init__(machine, registry)
        self.need('dockerd')
        self.image = f'127.0.0.1:{registry.port}/{IMAGE}'
        socket = f'{self.dir}/docker.sock'
        self.env = {'DOCKER_HOST': f'unix://{socket}', 'DOCKER_CONFIG': self.dir,
                    'DOCKER_TMPDIR': f'{device.mount}/tmp'}
        self._daemon = machine.start([
            'dockerd', '--data-root', f'{device.mount}/data', '--exec-root', f'{self.dir}/exec',
            '--pidfile', f'{self.dir}/pid', '-H', f'unix://{socket}', '--storage-driver', 'overlay2',
            '--iptables=false', '--bridge=none', '--log-level', 'error'], env=self.env)
        machine.wait_for(lambda: not self._daemon.running or
                         machine.run(['docker', 'version'], env=self.env).code == 0,
                         'dockerd does not answer', 40)
        if not self._daemon.running:
            raise engines.Absent('dockerd ended: ' + self._daemon.err.decode()[-300:])

    def pull(self, version):
        self.must('docker', 'pull', '-q', f'{self.image}:{version}', timeout=600)

    def close(self):
        engines.end(self._daemon)
        super().close()


class PodmanPulls(engines.Contender):
    name = 'podman'

    def __init__(self, machine, registry, device):
        super().__init__(machine, registry)
        self.need('podman')
        self.image = f'127.0.0.1:{registry.port}/{IMAGE}'
        machine.shell(f'mkdir {device.mount}/tmp').ok()
        self.env = {'TMPDIR': f'{device.mount}/tmp'}
        self._base = ['podman', '--root', f'{device.mount}/data', '--runroot', f'{self.dir}/run', '--tmpdir',
                      f'{self.dir}/tmp', '--cgroup-manager=cgroupfs', '--storage-driver', 'overlay',
                      '--events-backend', 'none']

    def pull(self, version):
        self.must(*self._base, 'pull', '-q', '--tls-verify=false', f'{self.image}:{version}', timeout=600)


class BarePulls:
    """curl | gzip -dc | tar: what nothing that stores files can do without."""

    name = 'curl|gzip|tar'

    def __init__(self, machine, registry, device, arch):
        self._machine = machine
        self._port = registry.port
        self._device = device
        self._layers = {}
        for version in VERSIONS:
            image = reference.load(IMAGE, version)['latest'].parts[recipes.ARCHES.index(arch)]
            self._layers[version] = [layer.digest for layer in image.parts[1:]]

    def pull(self, version):
        script = [f'mkdir {self._device.mount}/{version}']
        for number, digest in enumerate(self._layers[version]):
            script.append(f'mkdir {self._device.mount}/{version}/{number} && curl -sf '
                          f'http://127.0.0.1:{self._port}/v2/{IMAGE}/blobs/{digest} | gzip -dc | '
                          f'tar -x -C {self._device.mount}/{version}/{number}')
        self._machine.shell(' && '.join([*script, f'sync -f {self._device.mount}']), timeout=600).ok()

    def close(self):
        pass


def measure(machine, make):
    """One engine on a fresh device: each version after the other."""
    device = Device(machine)
    try:
        contender = make(device)
        try:
            results = {}
            for version in VERSIONS:
                before, flushes_before = device.counters()
                start = time.monotonic()
                contender.pull(version)
                seconds = time.monotonic() - start
                flushes = device.raw()[1] - flushes_before
                written = device.counters()[0] - before
                results[version] = {'seconds': seconds, 'written': written, 'flushes': flushes}
                if hasattr(contender, 'peak'):
                    results[version]['peak'] = contender.peak()
            return results
        finally:
            contender.close()
    finally:
        device.close()


def bench_store(options):
    tree = debs.missing_tree('bench-engines', engines.COUNTERPARTS)
    machine = LocalMachine(compiler.native_arch(), over=tree)
    server = registries.Registry()
    measured, absent = {}, {}
    try:
        client = server.client()
        arch = machine.arch
        for version in VERSIONS:
            client.push(IMAGE, version, reference.load(IMAGE, version)['latest'])
        makers = {
            'wherry A1': lambda device: WherryPulls(machine, server, device, 'A1'),
            'wherry B': lambda device: WherryPulls(machine, server, device, 'B'),
            'docker': lambda device: DockerPulls(machine, server, device),
            'podman': lambda device: PodmanPulls(machine, server, device),
            'curl|gzip|tar': lambda device: BarePulls(machine, server, device, arch),
        }
        for _ in range(options.rounds):  # in turns, so that all see the same disturbances
            for name, make in makers.items():
                try:
                    measured.setdefault(name, []).append(measure(machine, make))
                except (engines.Absent, AssertionError, FileNotFoundError) as error:
                    absent[name] = str(error).strip().splitlines()[0][:200]
                    measured.pop(name, None)
        unique = {}
        known = {}
        for version in VERSIONS:
            files, _ = contents(version, arch)
            unique[version] = sum(size for digest, size in files.items() if digest not in known)
            known.update(files)
    finally:
        server.close()
        machine.close()
    report(measured, unique, absent, options)
    return 0 if 'wherry A1' in measured or 'wherry B' in measured else 1


def middle(rounds, version):
    """The median of each figure of an engine."""
    return {key: statistics.median(results[version][key] for results in rounds)
            for key in rounds[0][version]}


def report(measured, unique, absent, options):
    if options.json:
        print(json.dumps({'store': measured, 'unique_bytes': unique, 'absent': absent}))
        return
    print(f'medians of {options.rounds}; "/ bare" and "/ docker" are of the time')
    for version in VERSIONS:
        title = 'first pull of' if version == 'v1' else 'then'
        print(f'{title} {IMAGE} {version}: {unique[version] / 1e6:.1f} MB of file content not there yet')
        print(f'{"":15}{"time":>9}{"/ bare":>8}{"/ docker":>10}{"written":>13}{"/ new content":>15}'
              f'{"flushes":>9}{"peak RSS":>11}')
        rows = {name: middle(rounds, version) for name, rounds in measured.items()}
        for name, row in rows.items():
            ratios = [f'{row["seconds"] / rows[other]["seconds"]:.2f}' if other in rows else '-'
                      for other in (BarePulls.name, DockerPulls.name)]
            peak = f'{row["peak"] / 1e6:.1f} MB' if 'peak' in row else ''
            print(f'{name:15}{row["seconds"]:>7.2f} s{ratios[0]:>8}{ratios[1]:>10}'
                  f'{row["written"] / 1e6:>10.1f} MB{row["written"] / unique[version]:>15.3f}'
                  f'{row["flushes"]:>9.0f}{peak:>11}')
    for name, why in absent.items():
        print(f'{name:15}absent: {why}')
