"""Nothing is left by containers that start, end, and are killed half way.

WHERRY_STARTS=10000 and WHERRY_KILLS=1000 make campaigns of it; without them a few of each.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import time

import oci_box
import pytest
from harness import debs

pytestmark = pytest.mark.machines('host')

STARTS = int(os.environ.get('WHERRY_STARTS', '30'))
KILLS = int(os.environ.get('WHERRY_KILLS', '12'))
AT_ONCE = 25         # starts of one shell
WARM = 2500          # starts after which the daemon's memory is compared: its history of events is full
GROWTH_KB = 256      # what the allocator may have kept beside it


def campaign(count):
    """A time for this many starts or kills under load."""
    return 60 + count * 2


class Traces:
    """What there is of an engine's containers in the machine, by kind."""

    def __init__(self, engine):
        self._engine = engine
        self._cgroup = engine.cgroup_parent()
        self._nft = debs.environment_with('nftables')

    def take(self):
        engine, daemon = self._engine, f'/proc/{self._engine.pid}'
        shell = lambda script: sorted(engine.machine.shell(script).ok().out.splitlines())
        return {
            'mounts': shell('cut -d" " -f5 /proc/self/mountinfo'),
            'cgroups': shell(f'find {self._cgroup} -type d'),
            'processes': self._processes(),
            'descriptors of the daemon': shell(f'ls -l {daemon}/fd | sed -n "s/.* -> //p" | sed "s/:\\[.*//"'),
            'namespaces held': shell(f'for p in $(find {self._cgroup} -name cgroup.procs -exec cat {{}} + 2>/dev/null); '
                                     'do readlink /proc/$p/ns/*; done | sort -u'),
            'loop devices': shell(f"cat /sys/block/loop*/loop/backing_file 2>/dev/null | grep -F '{engine.dir}/'; true"),
            'links': shell('ls /sys/class/net'),
            'packet filter': engine.machine.run(['nft', '-s', 'list', 'ruleset'], env=self._nft).ok().out.splitlines(),
            'files of the run directory': shell(f'find {engine.rundir}'),
            'files of containers': shell(f'find {engine.root}/containers {engine.root}/volumes 2>/dev/null; true'),
        }

    def _processes(self):
        """Those in the engine's cgroups, and those that name its directory; what others have to reap does not count."""
        found = set()
        for entry in pathlib.Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                mine = os.path.basename(self._cgroup) in (entry / 'cgroup').read_text()
                words = (entry / 'cmdline').read_bytes().split(b'\0')
                state, parent = (entry / 'stat').read_text().rpartition(') ')[2].split()[:2]
                if state == 'Z' and parent != str(self._engine.pid):
                    continue
                if mine or self._engine.dir.encode() + b'/' in b' '.join(words):
                    found.add(words[0].decode())
        return sorted(found)

    def assert_as(self, before):
        """What ends with a container may take a moment longer than its command line."""
        deadline = time.monotonic() + 15
        while (now := self.take()) != before and time.monotonic() < deadline:
            time.sleep(0.1)
        changed = {kind: {'gone': [x for x in before[kind] if x not in now[kind]],
                          'new': [x for x in now[kind] if x not in before[kind]], 'counts': (len(before[kind]), len(now[kind]))}
                   for kind in before if before[kind] != now[kind]}
        assert not changed, f'{changed}\nThe daemon wrote:\n{self._engine.log()[-4000:]}'

    def memory(self):
        text = self._engine.machine.read(f'/proc/{self._engine.pid}/status').decode()
        return int(re.search(r'^RssAnon:\s+(\d+)', text, re.M)[1])


@pytest.fixture(name='busy')
def fixture_busy(new_engine, registry):
    """An engine with a bridge network that has already done everything once."""
    new_engine.machine.reach(registry.port)
    engine = new_engine(new_engine.trust(registry.name), network='bridge')
    engine.login(registry.name)
    engine.image = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', engine.image).ok()
    start(engine, 4)
    return engine


WAYS = ['--rm {image} true', '--rm --network none {image} sh -c "exit 3"', '--rm -p 0:80 {image} nosuch',
        '--rm --network none -v /data --read-only {image} true', '--rm --network none -w /etc/passwd {image} true']


def start(engine, count):
    """Containers of each kind in turn, some of which cannot start."""
    words = [way.format(image=engine.image) for way in WAYS]
    lines = [f'"$1" run {words[number % len(words)]} >/dev/null 2>&1 </dev/null || true' for number in range(count - 1)]
    lines.append(f'id=$("$1" run -d {engine.image} sleep 1000) && "$1" exec $id true && "$1" rm -f $id >/dev/null')
    engine.machine.run(['sh', '-c', '\n'.join(lines), 'sh', engine.program], env=engine.client_env(),
                       timeout=campaign(count)).ok()


@pytest.mark.machines('host-net')
def test_starts_of_the_engine(busy, capsys):
    traces = Traces(busy)
    before, memory = traces.take(), {}
    while len(memory) * AT_ONCE < STARTS:
        start(busy, AT_ONCE)
        memory[(len(memory) + 1) * AT_ONCE] = traces.memory()
    traces.assert_as(before)
    if STARTS > WARM:
        with capsys.disabled():
            print(f'\nkB of anonymous memory in the daemon after so many starts: {memory}')
        assert memory[max(memory)] - memory[WARM] <= GROWTH_KB, memory
    busy.assert_nothing_left()


def victims(engine, kind, parent):
    """The pids of the daemon, of shims, or of launchers, which become shims; below the cgroup `parent`."""
    if kind == 'daemon':
        return [engine.pid]
    found = []
    # Read as the daemon sees it: whoever asks a shell for it comes too late for a launcher.
    group = pathlib.Path(f'/proc/{engine.pid}/root{parent}/shims/cgroup.procs')
    for pid in group.read_text().split() if group.exists() else []:
        with contextlib.suppress(OSError):
            name = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')[0]
            if name.endswith(b'-launch') == (kind == 'launcher'):
                found.append(int(pid))
    return found


@pytest.mark.machines('host-net')
def test_kills_of_the_engines_processes(busy, capsys):
    """The daemon, a shim or a launcher is killed while containers start and end."""
    chance = random.Random(KILLS)
    traces = Traces(busy)
    parent = busy.cgroup_parent()
    before, killed = traces.take(), dict.fromkeys(('daemon', 'shim', 'launcher'), 0)
    for number in range(KILLS):
        kind = list(killed)[number % len(killed)]
        clients = [busy.start_wherry('run', '-d', '--network', chance.choice(['none', 'bridge']), busy.image, 'sleep',
                                     chance.choice(['0', '0.05', '1000'])) for _ in range(3)]
        if kind != 'launcher':
            time.sleep(chance.uniform(0.005, 0.15))
        deadline = time.monotonic() + 1
        while not (targets := victims(busy, kind, parent)) and time.monotonic() < deadline:
            time.sleep(0.0005)
        if kind == 'launcher':  # which has a few milliseconds to live
            time.sleep(chance.uniform(0, 0.005))
        if kind == 'daemon':
            busy.kill()
        elif targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(targets), signal.SIGKILL)
        killed[kind] += bool(targets)
        for client in clients:
            client.wait(30)
        if not busy.running:
            busy.start()
        busy.wherry('ps').ok()
        if number % 4 == 3:
            busy.remove_containers()
    busy.remove_containers()
    if KILLS > 50:
        with capsys.disabled():
            print(f'\nkilled: {killed}')
    busy.stop()
    busy.start()
    start(busy, 4)  # as before the first look
    traces.assert_as(before)
    busy.assert_nothing_left()


def test_starts_of_the_runtime(box):
    """By create, start and delete, by run, and by what fails at the end."""
    script = '''
        for i in $(seq "$1"); do
            "$2" --root "$3" run --bundle "$4" run$i || exit 1
            "$2" --root "$3" create --bundle "$4" box && "$2" --root "$3" start box && "$2" --root "$3" exec box true
            "$2" --root "$3" delete --force box || exit 2
            "$2" --root "$3" run --bundle "$5" bad$i 2>/dev/null && exit 3
        done </dev/null >/dev/null 2>&1; true'''
    box.config['process']['args'] = ['true']
    box.write()
    broken = f'{box.dir}/broken'
    os.mkdir(broken)
    box.config['process']['args'] = ['nosuch']
    pathlib.Path(broken, 'config.json').write_text(json.dumps(box.config), encoding='utf-8')
    box.machine.run(['sh', '-c', script, 'sh', str(max(1, STARTS // 3)), oci_box.RUNTIME, box.root, box.bundle, broken],
                    timeout=campaign(STARTS)).ok()
    box.assert_nothing_left()


def test_kills_of_the_runtime(box):
    """Killed at any moment, it leaves at most what delete --force removes."""
    chance = random.Random(KILLS)
    box.config['process']['args'] = ['sleep', '1000']
    box.write()
    for number in range(KILLS):
        verb = ['create', 'run', 'start', 'exec', 'delete'][number % 5]
        if verb in ('start', 'exec', 'delete'):
            box.create('box', 'sleep', '1000').ok()
        if verb in ('exec', 'delete'):
            box.run('start', 'box').ok()
        words = {'create': ['create', '--bundle', box.bundle, 'box'], 'run': ['run', '--bundle', box.bundle, 'box'],
                 'start': ['start', 'box'], 'exec': ['exec', 'box', 'sleep', '1000'],
                 'delete': ['delete', '--force', 'box']}[verb]
        process = box.machine.start([oci_box.RUNTIME, '--root', box.root, *words])
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        box.run('delete', '--force', 'box').ok()
        box.assert_nothing_left()
