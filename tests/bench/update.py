"""What clients of an app lose while its next version takes its place: 500 requests a second at its published port."""

import json
import tempfile
import time

import daily
import engines
from engine import Engine
from harness import compile as compiler
from harness import debs, paths
from harness import registry as registries
from harness.machine import LocalMachine
from images import reference
from test_handover import RATE, Server, finish

ADDRESS = '198.51.100.1'  # of the host, as clients elsewhere use it
SECONDS = 10
LISTENS_AFTER = 500  # ms from the app's start
TRIAL = {'soak_s': 1, 'deadline_s': 60}
COMPOSE = '''
version: "2.4"
services:
  web:
    image: IMAGE
    command: serve 80 TEXT DELAY
    ports: ["8080:80"]
'''


class Maker:
    """Makes the engine of a Server as the fixtures of the tests do."""

    def __init__(self, machine):
        self._machine = machine

    def trust(self, _registry):
        return ''

    def __call__(self, config, start, network):
        del start
        return Engine(self._machine, config, str(paths.build_dir('host') / 'wherry'), network=network)


class Release:
    """Updates by wherry's signed releases."""

    def __init__(self, machine, registry, strategy):
        self._device = Server(Maker(machine), registry, '{}')
        self._strategy = {'strategy': strategy, **({'drain_s': 2} if strategy == 'handover' else {})}
        self._count = 0

    def change(self, text):
        self._count += 1
        app = self._device.web(text, delay=LISTENS_AFTER, **{'drain_s': None, **self._strategy})
        app = {key: value for key, value in app.items() if value is not None}
        assert self._device.apply(self._device.release(self._count, app, trial=TRIAL)).code == 0, self._device.status()

    def load(self):
        return self._device.ask('load', ADDRESS, 8080, RATE, SECONDS)

    def close(self):
        self._device.engine.close()


class Compose:
    """The same change by `up -d` of a compose file, with some command and some engine."""

    def __init__(self, machine, registry, contender, command):
        self._machine, self._contender, self._command = machine, contender, command
        self._dir = machine.temporary_directory()
        self._image = f'{registry.name}/netload:{machine.arch}'
        machine.write(f'{self._dir}/netload', Server.program(machine.arch).read_bytes(), 0o755)

    def change(self, text):
        file = COMPOSE.replace('IMAGE', self._image).replace('TEXT', text).replace('DELAY', str(LISTENS_AFTER))
        self._machine.write(f'{self._dir}/docker-compose.yml', file)
        self._compose('up', '-d')

    def _compose(self, *args):
        words = [*self._command, '-p', 'bench', '-f', f'{self._dir}/docker-compose.yml', *args]
        self._machine.run(words, env=self._contender.env, timeout=120).ok()

    def load(self):
        return self._machine.start([f'{self._dir}/netload', 'load', ADDRESS, '8080', str(RATE), str(SECONDS)])

    def close(self):
        self._compose('down', '-t', '0')
        self._contender.close()


def measure(contender):
    try:
        contender.change('one')
        time.sleep(1)
        load = contender.load()
        time.sleep(1)
        began = time.monotonic()
        contender.change('two')
        took = time.monotonic() - began
        return {**json.loads(finish(load)), 'change_s': took}
    finally:
        contender.close()


def report(found, absent):
    print(f'{RATE} requests/s for {SECONDS} s while an app is replaced that listens {LISTENS_AFTER} ms after its start')
    print(f'{"":40}{"requests":>10}{"lost":>8}{"longest gap":>14}{"slowest":>12}{"change took":>14}')
    for name, result in found.items():
        print(f'{name:40}{result["sent"]:>10}{result["lost"]:>8}{result["gap_ms"]:>11.0f} ms{result["slowest_ms"]:>9.0f} ms{result["change_s"]:>12.1f} s')
    for name, why in absent.items():
        print(f'{name} absent: {why}')


def bench_update(options):
    tree = debs.missing_tree('bench-update', ['docker.io', 'iptables', 'docker-compose'])
    machine = LocalMachine(compiler.native_arch(), over=tree, network=True)
    scratch = tempfile.TemporaryDirectory()
    engines.link_alternatives(scratch.name)
    server = registries.Registry()
    machine.reach(server.port)
    machine.run(['ip', 'address', 'add', f'{ADDRESS}/32', 'dev', 'lo']).ok()
    found, absent = {}, {}
    try:
        client = server.client()
        client.push(engines.IMAGE, 'latest', reference.load(engines.IMAGE)['latest'])
        client.push('netload', machine.arch, Server.served_image(machine.arch))
        server.name, server.push = f'127.0.0.1:{server.port}', client.push
        wherry = str(paths.build_dir('host') / 'wherry')
        rows = {
            'wherry release, handover': lambda: Release(machine, server, 'handover'),
            'wherry release, stop-start': lambda: Release(machine, server, 'stop-start'),
            'wherry compose up -d': lambda: Compose(machine, server, daily.Wherry(machine, server), [wherry, 'compose']),
            'docker-compose up -d, dockerd': lambda: Compose(machine, server, daily.Docker(machine, server),
                                                             ['docker-compose', '--no-ansi']),
        }
        for name, make in rows.items():
            try:
                found[name] = measure(make())
            except (engines.Absent, AssertionError, FileNotFoundError) as error:
                absent[name] = str(error).strip()[:600]
    finally:
        server.close()
        machine.close()
        scratch.cleanup()
    if options.json:
        print(json.dumps({'update': found, 'absent': absent}))
    else:
        report(found, absent)
    return 0 if len([name for name in found if name.startswith('wherry')]) == 3 else 1
