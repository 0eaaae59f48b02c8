"""What idle containers take beside their own programs: shims, monitors and the daemon's growth, after each other."""

import json
import statistics
import sys
import time

import engines
from engine import Engine
from harness import compile as compiler
from harness import debs, memory, paths
from harness import registry as registries
from harness.machine import LocalMachine
from images import reference

# Of each engine: what is there once, and what is there for each container.
PROCESSES = {'wherry': (['wherry'], ['wherry-shim']),
             'docker': (['dockerd', 'containerd'], ['containerd-shim']),
             'podman': ([], ['conmon'])}
IDLE = ['sleep', '100000']
SETTLE = 5  # s until what a start leaves to be done is done


def measure(machine, contender, count):
    once, each = PROCESSES[contender.name]
    run = [{'--rm': '-d'}.get(word, word) for word in contender.command[:-1]]
    machine.run(contender.command, env=contender.env, timeout=60).ok()
    time.sleep(SETTLE)
    before = sum(process.pss for process in memory.of_processes(machine, once))
    for _ in range(count):
        machine.run([*run, *IDLE], env=contender.env, timeout=60).ok()
    time.sleep(SETTLE)
    growth = sum(process.pss for process in memory.of_processes(machine, once)) - before
    monitors = memory.of_processes(machine, each)
    if len(monitors) != count:
        raise engines.Absent(f'{len(monitors)} {each[0]} for {count} containers')
    return {'containers': count, 'daemon_pss': before, 'growth': growth,
            'pss': sum(process.pss for process in monitors),
            'shim_rss': statistics.median(process.rss for process in monitors),
            'shim_private': statistics.median(process.private for process in monitors),
            'each': (growth + sum(process.pss for process in monitors)) / count}


def remove_all(machine, contender):
    program = contender.command[:contender.command.index('run')]
    ids = machine.run([*program, 'ps', '-q'], env=contender.env).out.split()
    if ids:
        machine.run([*program, 'rm', '-f', *ids], env=contender.env, timeout=600)


def bench_density(options):
    machine = LocalMachine(compiler.native_arch(), over=debs.missing_tree('bench-engines', engines.COUNTERPARTS))
    server = registries.Registry()
    rows = {}
    try:
        server.client().push(engines.IMAGE, 'latest', reference.load(engines.IMAGE)['latest'])
        wherry = str(paths.build_dir('host') / 'wherry')
        for make in (lambda: engines.Wherry(machine, server, Engine(machine, '', wherry)),
                     lambda: engines.Docker(machine, server), lambda: engines.Podman(machine, server)):
            try:
                contender = make()
            except engines.Absent as error:
                print(f'absent: {error}', file=sys.stderr)
                continue
            try:
                rows[contender.name] = measure(machine, contender, options.containers)
            finally:
                remove_all(machine, contender)
                contender.close()
    finally:
        server.close()
        machine.close()
    if options.json:
        print(json.dumps({'density': rows}))
        return 0
    print(f'{options.containers} idle containers, kB of PSS; without the containers\' own programs')
    print(f'{"":10}{"daemon":>10}{"growth":>10}{"shims":>10}{"each":>10}   one shim: RSS, private')
    for name, row in rows.items():
        print(f'{name:10}{row["daemon_pss"]:>10}{row["growth"]:>10}{row["pss"]:>10}{row["each"]:>10.1f}'
              f'{row["shim_rss"]:>10.0f}{row["shim_private"]:>10.0f}')
    return 0
