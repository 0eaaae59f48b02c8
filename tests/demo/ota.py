"""Shows updates over the air: two ARM64 virtual machines are devices of a fleet.

A registry with TLS, a broker with mutual TLS and access rules, and a directory that stands for a
USB stick. Every command shown is really run, what is claimed is checked; the first thing that is
not as it should be ends the demo with an error.
"""

import concurrent.futures
import contextlib
import json
import pathlib
import time

from engine import HOST_NAMES, REGISTRY, Engine
from harness import broker as brokers
from harness import compile as compiler
from harness import oci, paths
from harness import registry as registries
from harness.machine import LocalMachine, VmMachine
from harness.simulated import place
from images import reference
from vm.vm import Vm

GROUP = 'gateways'
DEVICES = ('gateway-1', 'gateway-2')
PORT = 8080
TRIAL = {'soak_s': 3, 'deadline_s': 30, 'starts': 5}
NETWORK_UP = 'ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2'


class Failed(Exception):
    """Something is not as the demo says."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


class Site:
    """The office: registry, broker, keys, and the command line that steers."""

    def __init__(self, directory, stack, show, title):
        self.show, self.title = show, title
        self.dir = pathlib.Path(directory)
        self.usb = self.dir / 'usb'
        self.usb.mkdir()
        self.authority = registries.Authority(directory)
        certificate = self.authority.issue('registry', [*HOST_NAMES[:3], '127.0.0.1', '10.0.2.2'])
        self.registry = registries.Registry(*certificate)
        stack.callback(self.registry.close)
        self.name = f'{REGISTRY}:{self.registry.port}'
        self.broker = brokers.Broker(self.authority, *certificate)
        stack.callback(self.broker.close)
        self.machine = stack.enter_context(contextlib.closing(LocalMachine(compiler.native_arch(), HOST_NAMES)))
        self.program = str(paths.build_dir('host') / 'wherry')
        certificate, key = self.authority.issue('control', [], client=True)
        (self.dir / 'fleet.conf').write_text(f'''[mqtt]
broker = mqtts://{REGISTRY}:{self.broker.port}
tenant = test
ca = {self.authority.certificate}
certificate = {certificate}
key = {key}
rollout-key = {self.dir}/opener.key
''', encoding='utf-8')
        (self.dir / 'wherry.conf').write_text(f'[registry "{self.name}"]\nca = {self.authority.certificate}\n',
                                              encoding='utf-8')
        self.certificates = {name: self.authority.issue(name, [], client=True) for name in DEVICES}
        self.base = reference.load('busybox')['only-arm64']

    def wherry(self, *words, code=0, quiet=False, timeout=300):
        """A command of the office; `code`: how it has to end."""
        environment = {'WHERRY_FLEET': f'{self.dir}/fleet.conf'}
        words = [str(word) for word in words]
        result = self.machine.run([self.program, '--config', f'{self.dir}/wherry.conf', *words], timeout=timeout,
                                  env=environment)
        if not quiet:
            shown = [word.replace(f'{self.dir}/', '') for word in words]
            self.show(result, 'wherry', *shown, code=code)
        expect(result.code == code, f'wherry {words[0]} {words[1]} ended with {result.code}, not {code}: {result.err}')
        return result.out

    def release(self, sequence, path='/'):
        """A signed release of one app, a web server with a page of its own; `path` is what its health is judged by."""
        page = f'<h1>release {sequence}</h1>\n'
        top = oci.layer(oci.tar([oci.entry('www', oci.tarfile.DIRTYPE),
                                 oci.entry('www/index.html', data=page.encode())]))
        image = oci.image([*self.base.parts[1:], top], 'arm64',
                          Cmd=['httpd', '-f', '-p', str(PORT), '-h', '/www'])
        self.registry.client(self.authority.certificate).push('web', str(sequence), image)
        document = {'v': 1, 'name': 'plant', 'seq': sequence, 'issued': int(time.time()), 'trial': TRIAL, 'apps': [{
            'name': 'web', 'image': f'{self.name}/web@{image.digest}',
            'checks': [{'http': PORT, 'path': path}],
            'config': {'StopTimeout': 1, 'ExposedPorts': {f'{PORT}/tcp': {}}, 'HostConfig': {
                'RestartPolicy': {'Name': 'always'},
                'PortBindings': {f'{PORT}/tcp': [{'HostPort': str(PORT)}]}}}}]}
        file = self.dir / f'release-{sequence}.json'
        (self.dir / f'plant-{sequence}.json').write_text(json.dumps(document), encoding='utf-8')
        self.wherry('release', 'sign', '--key', f'{self.dir}/maker.key', '-o', file, f'{self.dir}/plant-{sequence}.json')
        return file


class Device:
    """A virtual machine with a daemon that is in the fleet."""

    def __init__(self, name, site):
        self.name, self.site, self.engine = name, site, None
        hosts = '127.0.0.1 localhost\n' + ''.join(f'10.0.2.2 {host}\n' for host in HOST_NAMES)
        vm = Vm(memory=512, binaries=paths.build_dir('aarch64'), files={'etc/hosts': (hosts, 0o644)},
                share=str(site.usb))
        vm.start()
        self.machine = VmMachine(vm)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        site, machine = self.site, self.machine
        self.engine = engine = Engine(machine, '', '/usr/bin/wherry', network='bridge')
        certificate, key = site.certificates[self.name]
        for name, source in (('ca.crt', site.authority.certificate), ('device.crt', certificate), ('device.key', key)):
            machine.write(f'{engine.dir}/{name}', pathlib.Path(source).read_text(encoding='utf-8'), 0o600)
        machine.run(['mkdir', f'{engine.dir}/keys', f'{engine.dir}/rollout']).ok()
        machine.write(f'{engine.dir}/keys/maker.pub', (site.dir / 'maker.pub').read_text(encoding='utf-8'))
        machine.write(f'{engine.dir}/rollout/opener.pub', (site.dir / 'opener.pub').read_text(encoding='utf-8'))
        machine.write(f'{engine.dir}/conf.d/device.conf', f'''[registry "{site.name}"]
ca = {engine.dir}/ca.crt

[updates]
keys = {engine.dir}/keys

[mqtt]
broker = mqtts://{REGISTRY}:{site.broker.port}
tenant = test
device = {self.name}
groups = {GROUP}
ca = {engine.dir}/ca.crt
certificate = {engine.dir}/device.crt
key = {engine.dir}/device.key
rollout-keys = {engine.dir}/rollout
report-period = 1s
''')
        engine.start()

    def status(self):
        return json.loads(self.engine.wherry('ota', 'status', '--format', 'json').ok().out)

    def await_release(self, sequence, states, timeout):
        """Until it is at rest with this release; how many seconds that took."""
        began = time.monotonic()

        def there():
            status = self.status()
            return status['state'] in states and (status['active'] or {}).get('sequence') == sequence and status
        self.machine.slow, slow = 1, self.machine.slow
        try:
            status = self.machine.wait_for(there, f'{self.name} has not release {sequence}: {self.status()}', timeout, 0.5)
        finally:
            self.machine.slow = slow
        return status, time.monotonic() - began

    def page(self, sequence):
        """The page that the device serves is that of this release."""
        fetch = f'for i in $(seq 50); do wget -q -O - http://127.0.0.1:{PORT}/ && exit 0; sleep 0.2; done; exit 1'
        result = self.machine.shell(fetch)
        self.site.show(result, self.name + ':', 'wget', '-q', '-O', '-', f'http://127.0.0.1:{PORT}/')
        expect(f'release {sequence}<' in result.out, f'{self.name} does not serve release {sequence}')

    def close(self):
        try:
            if self.engine:
                self.engine.close()
        finally:
            self.machine.close()


def in_parallel(devices, work):
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        return list(pool.map(work, devices))


def all_confirmed(devices, sequence):
    for status, seconds in in_parallel(devices, lambda d: d.await_release(sequence, ('CONFIRMED',), 120)):
        expect(status['active']['sequence'] == sequence, 'another release')
        print(f'confirmed after {seconds:.1f} s more')
    for device in devices:
        device.page(sequence)


def reported(site, sequence, state):
    """The fleet view, when both devices have reported this."""
    for _ in range(100):
        devices = json.loads(site.wherry('fleet', 'devices', '--format', 'json', quiet=True))
        if len(devices) == len(DEVICES) and all(
                device['connected'] and device['state'] == state and device['release'] == f'plant {sequence}'
                for device in devices):
            site.wherry('fleet', 'devices')
            return devices
        time.sleep(0.5)
    raise Failed(f'the fleet view does not show release {sequence} as {state}: {devices}')


def bad_release(site, devices):
    site.title('Release 3 never becomes healthy')
    release = site.release(3, path='/there-is-no-such-page')
    began = time.monotonic()
    output = site.wherry('fleet', 'rollout', release, '--group', GROUP, '--abort-rate', 60, '--min', 2, code=1)
    expect('E_DEADLINE' in output, 'the rollout does not say why')
    for status, _ in in_parallel(devices, lambda d: d.await_release(2, ('REVERTED',), 60)):
        expect(status['code'] == 'E_DEADLINE', f'taken back for another reason: {status["reason"]}')
    print(f'both devices are back on release 2, {time.monotonic() - began:.0f} s after the rollout began '
          f'(deadline of the trial: {TRIAL["deadline_s"]} s)')
    for device in reported(site, 2, 'REVERTED'):
        expect('not confirmed within' in device['reason'], 'the fleet view does not say why')
    for device in devices:
        device.page(2)


def from_usb(site, devices):
    site.title('The network is cut; release 4 comes on a USB stick')
    release = site.release(4)
    site.wherry('release', 'bundle', '-o', site.usb / 'release-4.bundle', release)
    for device in devices:
        device.machine.shell('ip link set eth0 down').ok()
        result = device.machine.shell(f'wget -q -T 3 -O - http://10.0.2.2:{site.registry.port}/')
        expect(result.code != 0, 'the network is not cut')

    def apply(device):
        return device.engine.wherry('ota', 'apply', '--wait', '/mnt/share/release-4.bundle', timeout=120)
    for device, result in zip(devices, in_parallel(devices, apply)):
        site.show(result, device.name + ':', 'wherry', 'ota', 'apply', '--wait', '/mnt/share/release-4.bundle')
    for device in devices:
        device.page(4)
        device.machine.shell(NETWORK_UP)
    site.title('The network is back: the devices report')
    reported(site, 4, 'CONFIRMED')


def run(directory, stack, show, title):
    title('A registry with TLS, a broker with mutual TLS and access rules, two keys')
    site = Site(directory, stack, show, title)
    for name in ('maker', 'opener'):
        site.wherry('release', 'keygen', f'{directory}/{name}')
    title('Two ARM64 virtual machines that trust these keys')
    began = time.monotonic()
    # One after the other: a machine ends with the thread that started it.
    devices = [stack.enter_context(contextlib.closing(Device(name, site))) for name in DEVICES]
    print(f'{", ".join(DEVICES)}: booted, daemon started, after {time.monotonic() - began:.0f} s')
    reported_any = time.monotonic() + 120
    while len(json.loads(site.wherry('fleet', 'devices', '--format', 'json', quiet=True))) < len(DEVICES):
        expect(time.monotonic() < reported_any, 'the devices do not come to the broker')
        time.sleep(0.5)
    site.wherry('fleet', 'devices')

    title('Release 1 for all')
    site.wherry('fleet', 'assign', site.release(1), '--group', GROUP)
    all_confirmed(devices, 1)
    reported(site, 1, 'CONFIRMED')

    title('Release 2 by waves: one device first')
    first = min(place('plant-2', device) for device in DEVICES)
    site.wherry('fleet', 'rollout', site.release(2), '--group', GROUP, '--waves', f'{first + 1},1000', '--min', 2)
    all_confirmed(devices, 2)

    bad_release(site, devices)
    from_usb(site, devices)
