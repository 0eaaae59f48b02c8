"""Many simulated devices on a broker, and the fleet tool that steers them (tests/fleet)."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from . import broker as brokers
from . import paths

TENANT = 'test'
GROUP = 'all'
ENDS = ('CONFIRMED', 'REVERTED', 'REJECTED', 'CANCELED', 'BOTH_BAD')


class PlainBroker(brokers.Broker):
    """A mosquitto without TLS, for clients of this machine."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self._set_up('''
            allow_anonymous true
            max_queued_messages 0
            autosave_interval 100
            ''')

    def client(self, name, connect_only=False):
        client = brokers.Client(self.port)
        if not connect_only:
            client.subscribe(f'wherry/1/{TENANT}/#')
        return client


def place(deployment, device):
    """A device's place among 1000 in a deployment, as docs/mqtt.md defines it."""
    return int.from_bytes(hashlib.sha256((deployment + device).encode()).digest()[:2], 'big') % 1000


class Fleet:
    """Simulated devices dev-000... and a directory with the keys; close() ends it."""

    def __init__(self, broker, count, bad):
        self.broker = broker
        self.count = count
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='wt-fleet.', dir='/dev/shm'))
        self.program = str(paths.build_dir('host') / 'wherry')
        for key in ('maker', 'opener'):
            self.wherry('release', 'keygen', self.dir / key)
        (self.dir / 'rollout').mkdir()
        shutil.copy(self.dir / 'opener.pub', self.dir / 'rollout')
        (self.dir / 'fleet.conf').write_text(
            f'[mqtt]\nbroker = mqtt://127.0.0.1:{broker.port}\ntenant = {TENANT}\n'
            f'rollout-key = {self.dir}/opener.key\n', encoding='utf-8')
        (self.dir / 'devices').mkdir()
        simulator = paths.build_dir('host') / 'tests' / 'fleet' / 'simulated_fleet'
        self._process = subprocess.Popen(
            [simulator, str(broker.port), TENANT, GROUP, self.dir / 'rollout', self.dir / 'maker.pub',
             self.dir / 'devices', str(count), str(bad)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wherry(self, *words, code=0):
        """Runs wherry to its end; its output."""
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == code, f'{words} -> {done.returncode}\n{done.stdout}{done.stderr}'
        return done.stdout + done.stderr

    def fleet(self, command, *words, code=0):
        return self.wherry('fleet', command, '--config', self.dir / 'fleet.conf', *words, code=code)

    def start(self, command, *words):
        """Starts a command of the fleet tool; its output goes to a file."""
        log = open(self.dir / 'tool.log', 'ab')  # pylint: disable=consider-using-with
        with log:
            return subprocess.Popen([self.program, 'fleet', command, '--config', str(self.dir / 'fleet.conf'),
                                     *map(str, words)], stdout=log, stderr=log)

    def log(self):
        path = self.dir / 'tool.log'
        return path.read_text(encoding='utf-8') if path.exists() else ''

    def say(self, *words):
        """A command to the devices; the lines of its answer."""
        self._process.stdin.write(' '.join(map(str, words)) + '\n')
        self._process.stdin.flush()
        lines = []
        while (line := self._process.stdout.readline().rstrip()) != 'ok':
            assert line, 'the simulated devices are gone'
            lines.append(line)
        return lines

    def states(self):
        """Device to (state, deployment, active sequence)."""
        return {device: (state, deployment, int(sequence)) for device, state, deployment, sequence in
                (line.split() for line in self.say('state'))}

    def release(self, sequence, *apps):
        """A signed release in a file."""
        digest = 'sha256:' + hashlib.sha256(str(sequence).encode()).hexdigest()
        document = {'v': 1, 'name': 'gateway', 'seq': sequence, 'issued': 1767225600,
                    'apps': [{'name': app, 'image': f'registry.example/{app}@{digest}'} for app in apps],
                    'trial': {'soak_s': 1, 'deadline_s': 30}}
        path = self.dir / f'release-{sequence}'
        path.with_suffix('.json').write_text(json.dumps(document), encoding='utf-8')
        self.wherry('release', 'sign', '--key', self.dir / 'maker.key', '-o', path, path.with_suffix('.json'))
        return path

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_for(condition, what, timeout=60):
    """Waits until `condition()` is true; returns its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f'not within {timeout} s: {what}'
        time.sleep(0.1)
    return value


class Ledger:
    """What a client of the broker has seen of a deployment, judged."""

    def __init__(self, client, deployment):
        self.deployment = deployment
        self.gate = []    # of each wanted state, in the order it came
        self.begun = {}   # device: index into `gate` when its first event came
        self.events = {}  # device: {n: state}
        for topic, payload, _ in list(client.messages):
            parts = topic.split('/')
            if topic.endswith(f'/g/{GROUP}/desired') and payload:
                wanted = brokers.payload_of(payload)
                if wanted['dep'] == deployment:
                    self.gate.append(0 if wanted['hold'] or wanted['revoke'] else wanted['gate'])
            elif parts[-2:] == ['dep', deployment]:
                event = json.loads(payload)
                self.begun.setdefault(parts[3], len(self.gate))
                self.events.setdefault(parts[3], {})[event['n']] = event['st']

    def check_gates(self):
        """No device has begun before its wave was opened, and no wave was closed again."""
        assert self.gate == sorted(self.gate), self.gate
        for device, index in self.begun.items():
            opened = max(self.gate[:index], default=0)
            assert place(self.deployment, device) < opened, f'{device} has begun at gate {opened}'

    def check_ends(self, devices):
        """Each of these devices has told its end once."""
        for device in devices:
            told = list(self.events.get(device, {}).values())
            ends = [state for state in told if state in ENDS]
            assert len(ends) == 1, f'{device} has told {told}'


class Campaign:
    """A rollout to `count` devices: 2 % have no luck with the release, 10 % are not connected until it is over."""

    def __init__(self, count):
        self.bad = max(1, count // 50)
        self.away = count // 10
        self.broker = PlainBroker()
        self.client = self.fleet = None
        try:
            self.client = self.broker.client('control')
            self.fleet = Fleet(self.broker, count, self.bad)
        except BaseException:
            self.close()
            raise
        self.count = count
        self.present = [f'dev-{i:03}' for i in range(count - self.away)]
        self.absent = [f'dev-{i:03}' for i in range(count - self.away, count)]
        self.failing = self.present[:self.bad]

    def connected(self):
        """The devices the broker says are there."""
        last = {}
        for topic, payload, _ in list(self.client.messages):
            if topic.endswith('/conn') and payload:
                last[topic.split('/')[3]] = json.loads(payload)['s']
        return {device for device, there in last.items() if there}

    def prepare(self):
        """All have release 1; then some lose the network."""
        fleet, count = self.fleet, self.count
        fleet.say('connect', 0, count - 1)
        wait_for(lambda: len(self.connected()) == count, 'the devices do not connect', 120)
        fleet.fleet('assign', '--group', GROUP, fleet.release(1, 'web'))
        wait_for(lambda: all(state[0] == 'CONFIRMED' for state in fleet.states().values()), 'release 1', 180)
        fleet.say('disconnect', count - self.away, count - 1)
        wait_for(lambda: len(self.connected()) == count - self.away, 'devices are not noticed to be away')

    def rollout(self, waves, kills=(), during=lambda: None):
        """Release 2 by waves; the controller is killed when its log shows each of `kills`. Its exit status."""
        arguments = ['rollout', self.fleet.release(2, 'web', 'sensor'), '--group', GROUP, '--waves', waves,
                     '--min', '20', '--abort-rate', '10']
        controller = self.fleet.start(*arguments)
        try:
            for sign in kills:
                wait_for(lambda sign=sign: sign in self.fleet.log() or controller.poll() is not None, sign, 300)
                assert controller.poll() is None, self.fleet.log()
                controller.kill()
                controller.wait()
                controller = self.fleet.start(*arguments)
            during()
            return controller.wait(600)
        finally:
            if controller.poll() is None:
                controller.kill()
                controller.wait()

    def check_during(self):
        """Those that were there are where they have to be, the others where they were."""
        states = self.fleet.states()
        for device in self.present:
            state, deployment, sequence = states[device]
            assert deployment == 'gateway-2', f'{device}: {states[device]}'
            expected = ('REVERTED', 1) if device in self.failing else ('CONFIRMED', 2)
            assert (state, sequence) == expected, f'{device}: {states[device]}'
        for device in self.absent:
            assert states[device][1:] == ('gateway-1', 1), f'{device}: {states[device]}'

    def bring_back(self):
        """Those that were away converge without any controller."""
        self.fleet.say('connect', self.count - self.away, self.count - 1)
        wait_for(lambda: all(self.fleet.states()[device] == ('CONFIRMED', 'gateway-2', 2)
                             for device in self.absent), 'a device that was away does not converge', 120)

    def check_told(self):
        """Every device has told its end once, and none began before its wave."""
        def all_told():
            ledger = Ledger(self.client, 'gateway-2')
            return len(ledger.events) == self.count and \
                all(set(events.values()) & set(ENDS) for events in ledger.events.values())
        wait_for(all_told, 'an end is not told', 60)
        ledger = Ledger(self.client, 'gateway-2')
        ledger.check_gates()
        ledger.check_ends(self.present + self.absent)

    def traffic(self, since=0):
        """Messages and bytes of payload from devices per device, from message number `since` on."""
        own = [payload for topic, payload, _ in self.client.messages[since:]
               if topic.split('/')[3].startswith('dev-')]
        return len(own) / self.count, sum(map(len, own)) / self.count

    def close(self):
        for part in (self.fleet, self.client, self.broker):
            if part:
                part.close()
