"""OCI runtimes on one bundle: how long `run true` and `exec true` take, how much of a processor, how much memory at most."""

import json
import pathlib
import statistics

import engines
from harness import compile as compiler
from harness import debs, paths
from harness.machine import LocalMachine
from images import recipes, reference

PEAK = pathlib.Path(__file__).with_name('peak.cpp')


class Release(engines.WherryRuntime):
    """Linked with musl, as devices get it; the other is the build of the tests, with glibc and its checks."""
    program = str(paths.build_dir('native') / 'wherry-runtime')


CONTENDERS = {'wherry-runtime': Release, 'its test build': engines.WherryRuntime, 'crun': engines.Crun, 'runc': engines.Runc}


class Bundle:
    """One for all: what `wherry-runtime spec` writes, running `true`, without limits."""

    def __init__(self, machine, rootfs):
        self.dir = machine.temporary_directory()
        machine.run([engines.WherryRuntime.program, 'spec', '--bundle', self.dir]).ok()
        self._config = json.loads(machine.read(f'{self.dir}/config.json'))
        self._config['ociVersion'] = '1.0.2'  # of the oldest of them
        self._config['process']['terminal'] = False
        self._config['root'] = {'path': rootfs, 'readonly': True}
        self._config['linux'].pop('resources')
        self._machine = machine

    def write(self, *args):
        self._config['process']['args'] = list(args)
        self._machine.write(f'{self.dir}/config.json', json.dumps(self._config))


class Runtime:
    """One of them, with a container that only waits."""

    def __init__(self, machine, contender, bundle):
        state = f'/run/bench{machine.temporary_directory().replace("/", "-")}'  # in memory, as on a device
        base = [contender.program or contender.name, *contender.options, '--root', state]
        self._machine, self._base, self._state = machine, base, state
        self._waits = pathlib.Path(state).name  # its cgroup's name as well, so each has its own
        bundle.write('sleep', '10000')
        machine.run(['sh', '-c', 'exec "$@" <>/dev/null >/dev/null 2>&1', 'sh', *base, 'run', '--detach', '--bundle',
                     bundle.dir, self._waits]).ok()
        bundle.write('true')
        self.commands = {'run true': [*base, 'run', '--bundle', bundle.dir, '%'],
                         'exec true': [*base, 'exec', self._waits, 'true']}

    def close(self):
        self._machine.run([*self._base, 'delete', '--force', self._waits])
        self._machine.remove(self._state)


def measure(machine, program, count, command):
    lines = machine.run([program, str(count), *command], timeout=600).ok().out.splitlines()
    return [[int(word) for word in line.split()] for line in lines]


def bench_runtimes(options):
    machine = LocalMachine(compiler.native_arch(), over=debs.missing_tree('bench-runtimes', ['crun', 'runc']))
    rootfs = machine.temporary_directory() + '/rootfs'
    native = reference.load('busybox')['latest'].parts[recipes.ARCHES.index(machine.arch)]
    engines.make_rootfs(machine, native, rootfs)
    program = str(compiler.static_program(PEAK, machine.arch))
    bundle = Bundle(machine, rootfs)
    runtimes = {}
    try:
        for name, contender in CONTENDERS.items():
            runtimes[name] = Runtime(machine, contender, bundle)
        found = {name: {work: [] for work in runtime.commands} for name, runtime in runtimes.items()}
        for turn in range(options.rounds + 1):  # in turns, so that all see the same disturbances; the first warms up
            for name, runtime in runtimes.items():
                for work, command in runtime.commands.items():
                    measured = measure(machine, program, options.count, command)
                    found[name][work] += measured if turn > 0 else []
    finally:
        for runtime in runtimes.values():
            runtime.close()
        machine.close()
    report(found, options)
    return 0


def report(found, options):
    if options.json:
        print(json.dumps({'runtimes': found}))
        return
    print(f'medians of {options.rounds * options.count}, all in turns; memory: the largest resident size of a process')
    print(f'{"":26}' + ''.join(f'{title:>10}{"to crun":>9}' for title in ('time', 'processor', 'memory')))
    for work in ('run true', 'exec true'):
        crun = [statistics.median(column) for column in zip(*found['crun'][work])]
        for name, works in found.items():
            own = [statistics.median(column) for column in zip(*works[work])]
            time, processor, memory = (value / base for value, base in zip(own, crun))
            print(f'{name:15} {work:10}{own[0] / 1e6:>7.1f} ms{time:>9.2f}{own[1] / 1e3:>7.1f} ms{processor:>9.2f}'
                  f'{own[2]:>7.0f} kB{memory:>9.2f}')
