"""What is done every day, by docker's command line with its engine and by wherry's with its own, in turns."""

import json
import os
import pathlib
import statistics
import tempfile
import time

import engines
from engine import Engine
from harness import compile as compiler
from harness import debs, oci, paths
from harness import registry as registries
from harness.machine import LocalMachine
from images import reference

IPERF = 'iperf3'
LAYER_MB = 20
DOCKERFILE = '''FROM IMAGE
WORKDIR /app
COPY files files
RUN cat files/* | sha256sum > sum
RUN mkdir made && for i in 1 2 3 4 5 6 7 8 9; do echo $i > made/$i; done
CMD ["cat", "sum"]
'''


class Docker(engines.Docker):
    """With its bridge."""

    options = []
    program = 'docker'


class Wherry(engines.Wherry):
    def __init__(self, machine, registry):
        super().__init__(machine, registry, Engine(machine, '', str(paths.build_dir('host') / 'wherry'), network='bridge'))
        self.program = self.command[0]


def iperf_image(arch):
    """Debian's iperf3 and the libraries it needs."""
    with tempfile.TemporaryDirectory() as directory:
        for deb in debs.AptRoot([debs.machine_release()], arch).closure([IPERF]):
            debs.extract(deb, directory)
        pathlib.Path(directory, 'tmp').mkdir(mode=0o777)  # its buffers are files there
        return oci.image([oci.layer(oci.tar_of_tree(directory))], arch, Cmd=['/usr/bin/iperf3', '-s'])


class Work:
    """The commands of one engine; every method gives how long it took (s), or bytes per second."""

    def __init__(self, machine, contender, registry):
        self.machine, self._contender = machine, contender
        self._registry = f'127.0.0.1:{registry.port}'
        self._image = f'{self._registry}/{engines.IMAGE}'
        self._dir = machine.temporary_directory()
        self._count = 0
        self._port = str(registries.free_port())
        machine.shell(f'mkdir -p {self._dir}/context/files').ok()
        machine.write(f'{self._dir}/context/Dockerfile', DOCKERFILE.replace('IMAGE', self._image))
        for number in range(50):
            machine.write(f'{self._dir}/context/files/{number}', os.urandom(40_000))
        self('pull', '-q', f'{self._registry}/{IPERF}')
        self('run', '-d', '--name', 'box', '--network', 'bridge', self._image, 'sleep', '100000')
        self('run', '-d', '--name', 'server', '--network', 'bridge', '-p', f'{self._port}:5201', f'{self._registry}/{IPERF}')
        self.gateway = json.loads(self('inspect', 'server').out)[0]['NetworkSettings']['Gateway']

    def __call__(self, *args):
        return self.machine.run([self._contender.program, *args], env=self._contender.env, timeout=180).ok()

    def _timed(self, *commands):
        """Several commands, one after the other; "ID" is what the first one printed."""
        began, printed = time.monotonic(), ''
        for command in commands:
            result = self(*(printed if word == 'ID' else word for word in command))
            printed = printed or result.out.strip()
        return time.monotonic() - began

    def container(self):
        return self._timed(['create', '--network', 'bridge', self._image, 'true'], ['start', 'ID'], ['wait', 'ID'], ['rm', 'ID'])

    def run(self):
        return self._timed(['run', '--rm', '--network', 'bridge', self._image, 'true'])

    def exec(self):
        return self._timed(['exec', 'box', 'true'])

    def build(self):
        return self._timed(['build', '--no-cache', '-q', '-t', 'app', f'{self._dir}/context'])

    def build_again(self):
        return self._timed(['build', '-q', '-t', 'app', f'{self._dir}/context'])

    def push(self):
        self._count += 1
        place, name = f'{self._dir}/push', f'{self._registry}/pushed:{self._count}'
        # Half of it can be compressed.
        self.machine.shell(f'mkdir -p {place} && head -c {LAYER_MB // 2}M /dev/urandom >{place}/random && '
                           f'head -c {LAYER_MB // 2}M /dev/zero >{place}/zero && '
                           f'printf "FROM {self._image}\\nCOPY random zero /\\n" >{place}/Dockerfile').ok()
        self('build', '-q', '-t', name, place)
        return self._timed(['push', name])

    def _throughput(self, host, *options):
        sum_received = self.machine.wait_for(lambda: self._iperf(host, *options), f'iperf3 does not reach {host}', 20)
        return sum_received['bits_per_second'] / 8

    def _iperf(self, host, *options):
        result = self.machine.run(['iperf3', '-c', host, '-p', self._port, '-t', '3', '-J', *options])
        return json.loads(result.out)['end'].get('sum_received') if result.code == 0 else None

    def port(self):
        return self._throughput(self.gateway)

    def port_back(self):
        return self._throughput(self.gateway, '-R')

    def port_of_loopback(self):
        return self._throughput('127.0.0.1')

    def close(self):
        self('rm', '-f', 'box', 'server')


# method, what it is, times per round, whether more is better
ROWS = [
    ('container', 'create, start, wait, rm (bridge)', 3, False),
    ('run', 'run --rm (bridge)', 3, False),
    ('exec', 'exec', 5, False),
    ('build', 'build, nothing cached', 1, False),
    ('build_again', 'build, all cached', 2, False),
    ('push', f'push of {LAYER_MB} MB', 1, False),
    ('port', 'port, into the container', 1, True),
    ('port_back', 'port, out of the container', 1, True),
    ('port_of_loopback', 'port by 127.0.0.1', 1, True),
]


def measure(works, rounds):
    """{row: {engine: [values]}}"""
    found = {row[0]: {name: [] for name in works} for row in ROWS}
    for method, _, count, _ in ROWS:
        for _ in range(rounds):  # in turns, so that all see the same disturbances
            for name, work in works.items():
                found[method][name] += [getattr(work, method)() for _ in range(count)]
    return found


def report(found, names, absent):
    print(f'{"":36}' + ''.join(f'{name:>12}' for name in names) + '   wherry / docker')
    for method, what, _, more in ROWS:
        medians = {name: statistics.median(values) for name, values in found[method].items()}
        cells = ''.join(f'{value / 1e6:>7.0f} MB/s' if more else f'{value * 1e3:>9.1f} ms' for value in medians.values())
        ratio = f'{medians["wherry"] / medians["docker"]:.2f}' if len(medians) == 2 else '-'
        print(f'{what:36}{cells}   {ratio}{" (more is better)" if more else ""}')
    for name, why in absent.items():
        print(f'{name} absent: {why}')


def bench_daily(options):
    tree = debs.missing_tree('bench-daily', ['docker.io', IPERF, 'iptables'])
    machine = LocalMachine(compiler.native_arch(), over=tree, network=True)
    links = tempfile.TemporaryDirectory()
    engines.link_alternatives(links.name)
    server = registries.Registry()
    machine.reach(server.port)
    contenders, works, absent = [], {}, {}
    try:
        client = server.client()
        client.push(engines.IMAGE, 'latest', reference.load(engines.IMAGE)['latest'])
        client.push(IPERF, 'latest', iperf_image(machine.arch))
        for name, make in (('wherry', Wherry), ('docker', Docker)):
            try:
                contenders.append(make(machine, server))
                works[name] = Work(machine, contenders[-1], server)
            except (engines.Absent, AssertionError, FileNotFoundError) as error:
                absent[name] = str(error).strip()[:400]
        found = measure(works, options.rounds)
        if options.json:
            print(json.dumps({'daily': found, 'absent': absent}))
        else:
            report(found, list(works), absent)
        for work in works.values():
            work.close()
    finally:
        for contender in reversed(contenders):
            contender.close()
        server.close()
        machine.close()
        links.cleanup()
    return 0 if 'wherry' in works else 1
