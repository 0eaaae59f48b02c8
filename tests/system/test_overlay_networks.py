"""Networks of driver overlay: containers of several devices of one site, each with a daemon of its own."""

import contextlib
import json
import socket
import struct
import time

import pytest

from conftest import Starter
from engine import HOST_NAMES
from harness import compile as compiler
from harness import debs, netns, paths
from harness.machine import LocalMachine
from harness.site import Site

VNI = 4711
KIND = 0x88b5  # of frames: for experiments
CREATE = ['--subnet', '10.80.0.0/16', '--opt', f'vni={VNI}']


class Device:
    """One of the site, with a daemon."""

    def __init__(self, number, site, authority, registry):
        self.number = number
        self.machine = LocalMachine(compiler.native_arch(), HOST_NAMES, network=True)
        self.machine.ca = self.machine.temporary_directory() + '/ca.crt'
        self.machine.write(self.machine.ca, authority.certificate.read_bytes())
        self.machine.reach(registry.port)
        self.address = site.join(self.machine)
        self._starter = Starter(self.machine, str(paths.build_dir('host') / 'wherry'))
        self.engine = self._starter(self._starter.trust(registry.name), network='bridge')
        self.engine.login(registry.name)
        self.busybox = f'{registry.name}/busybox'
        self.probe = f'{registry.name}/probe'
        for image in (self.busybox, self.probe):
            self.engine.wherry('pull', '-q', image, timeout=120).ok()
        self.wherry = self.engine.wherry

    def run(self, *args):
        return self.wherry('run', '-d', *args).ok().out.strip()

    def serve(self, name, *options, text=None, network='site'):
        """A container that answers every connection with a text."""
        return self.run('--name', name, '--network', network, *options, self.probe, 'netprobe', 'serve', 80,
                        text or f'{name} of {self.number}')

    def ask(self, *words, network='site'):
        return self.wherry('run', '--rm', '--network', network, self.probe, 'netprobe', *words)

    def sh(self, script, network='site'):
        return self.wherry('run', '--rm', '--network', network, self.busybox, 'sh', '-c', script)

    def address_of(self, name, network='site'):
        return self.engine.inspect(name)['NetworkSettings']['Networks'][network]['IPAddress']

    def pid_of(self, name):
        return self.engine.state(name)['Pid']

    def links(self):
        return [name for name in self.machine.shell('ls /sys/class/net').ok().out.split()
                if name.startswith(('vx-', 'br-', 'veth'))]

    def clear(self):
        if not self.engine.running:
            self.engine.start()
        self.engine.remove_containers()
        self.wherry('network', 'prune', '-f').ok()

    def close(self):
        self.engine.assert_nothing_left()
        assert not self.links()
        self._starter.close()
        self.machine.close()


@pytest.fixture(scope='module', name='place')
def _place(authority, registry):
    site = Site()
    devices = [Device(number, site, authority, registry) for number in (1, 2, 3)]
    yield site, devices
    for device in devices:
        device.close()
    site.close()


@pytest.fixture
def site(place):
    """The switch, and the devices without networks."""
    yield place
    for device in place[1]:
        place[0].plug(device.machine)
        device.clear()
        assert not device.links()


def join(devices, *options, name='site'):
    """The network on each of the devices."""
    for device in devices:
        peers = ','.join(other.address for other in devices if other is not device)
        device.wherry('network', 'create', '-d', 'overlay', *CREATE, '--ip-range', f'10.80.{device.number}.0/24',
                      '--opt', f'peers={peers}', *options, name).ok()


@pytest.fixture
def pair(site):
    """Two devices with one network."""
    join(site[1][:2])
    return site[1][:2]


def vxlan(text):
    """An Ethernet frame of a kind of its own that everybody gets, in a tunnel."""
    return struct.pack('!B3xI', 8, VNI << 8) + b'\xff' * 6 + b'\x02\0\0\0\0\x42' + KIND.to_bytes(2, 'big') + text


class Frames:
    """Those that come to a container."""

    def __init__(self, pid):
        self._socket = netns.socket_in(pid, socket.SOCK_RAW, socket.AF_PACKET, socket.htons(KIND))
        self._socket.settimeout(5)

    def next(self):
        return self._socket.recv(2048)[14:]

    def close(self):
        self._socket.close()


def question(name, identity=b'\x12\x34'):
    labels = b''.join(bytes([len(part)]) + part.encode() for part in name.split('.'))
    return identity + b'\0\0\0\1\0\0\0\0\0\0' + labels + b'\0\0\1\0\1'


def send(pid, data, address, port, answer=0.3):
    """A datagram from where a process is; what comes back within some seconds."""
    with netns.socket_in(pid, socket.SOCK_DGRAM) as handle:
        handle.settimeout(answer)
        handle.sendto(data, (address, port))
        try:
            return handle.recv(4096)
        except TimeoutError:
            return None


def test_reached_by_address_and_by_name(pair):
    one, two = pair
    identity = two.serve('web', '--network-alias', 'page')
    own = two.address_of('web')
    assert own.startswith('10.80.2.')
    one.sh(f'ping -c 1 -W 5 {own}').ok()
    for name in ('web', 'WEB', 'page', identity[:12], own):
        assert one.ask('get', name, 80).ok().out == 'web of 2', name
    assert one.ask('resolve', 'web', 'tcp').ok().out == f'{own}\n'
    # Each device's own container comes first.
    one.serve('web')
    assert one.ask('get', 'web', 80).ok().out == 'web of 1'
    assert two.ask('get', 'web', 80).ok().out == 'web of 2'
    one.wherry('rm', '-f', 'web').ok()
    assert one.ask('get', 'web', 80).ok().out == 'web of 2'
    two.wherry('rm', '-f', 'web').ok()
    assert 'code' in one.ask('resolve', 'web').fails(2).out


def test_full_size_transfer(pair):
    """Frames are smaller by what the tunnel adds, so nothing is cut in pieces on the way."""
    one, two = pair
    two.run('--name', 'files', '--network', 'site', two.busybox, 'sh', '-c',
            'mkdir /www && yes wherry | head -c 8000000 >/www/big && httpd -f -h /www')
    assert 'mtu 1450' in one.sh('ip link show dev eth0').ok().out
    one.sh('for i in $(seq 50); do wget -q -O /big http://files/big && break; sleep 0.1; done; '
           'yes wherry | head -c 8000000 | cmp - /big').ok()
    large = '-s 1422'  # with the headers of ICMP and IPv4 1450
    one.sh(f'ping -c 1 -W 5 {large} files').ok()
    fragments = one.machine.shell('grep ^Ip: /proc/net/snmp').ok().out.splitlines()
    counts = dict(zip(fragments[0].split(), fragments[1].split()))
    assert counts['FragCreates'] == '0', counts


def test_three_devices(site):
    join(site[1])
    one, two, three = site[1]
    two.serve('web')
    three.serve('db', '--network-alias', 'store')
    assert one.ask('get', 'web', 80).ok().out == 'web of 2'
    assert one.ask('get', 'store', 80).ok().out == 'db of 3'
    assert two.ask('get', 'db', 80).ok().out == 'db of 3'
    assert three.ask('get', 'web', 80).ok().out == 'web of 2'


def test_other_networks_are_apart(site):
    """Another number is another network, on the same devices and the same port."""
    one, two, _ = site[1]
    join([one, two])
    for device, other in ((one, two), (two, one)):
        device.wherry('network', 'create', '-d', 'overlay', '--subnet', '10.90.0.0/16', '--ip-range',
                      f'10.90.{device.number}.0/24', '--opt', f'peers={other.address}', 'second').ok()
    two.serve('web', network='second')
    assert one.ask('get', 'web', 80, network='second').ok().out == 'web of 2'
    assert 'code' in one.ask('resolve', 'web').fails(2).out
    one.sh(f'ping -c 1 -W 1 {two.address_of("web", "second")}').fails()
    # Without --opt vni devices agree on a number by name and subnet.
    numbers = {device.wherry('network', 'inspect', 'second').ok().out.split('vxlanid_list":"')[1].split('"')[0]
               for device in (one, two)}
    assert len(numbers) == 1 and '0' not in numbers


def test_frames_come_from_peers_only(pair, site):
    one, two = pair
    stranger = site[1][2].machine.pid_inside()
    one.serve('web')
    two.serve('other')
    # A container of a peer would have the peer's address: nothing of it leaves, from no network.
    two.run('--name', 'outside', two.busybox, 'sleep', '1000')
    with contextlib.closing(Frames(one.pid_of('web'))) as frames:
        peer = two.machine.pid_inside()
        for sender, text in ((peer, b'first'), (stranger, b'forged'), (two.pid_of('outside'), b'outside'),
                             (two.pid_of('other'), b'inside'), (peer, b'last')):
            send(sender, vxlan(text), one.address, 4789)
        assert [frames.next(), frames.next()] == [b'first', b'last']
        # Also where no container is in the network that has the rules.
        two.wherry('rm', '-f', 'other').ok()
        send(two.pid_of('outside'), vxlan(b'outside'), one.address, 4789)
        send(peer, vxlan(b'end'), one.address, 4789)
        assert frames.next() == b'end'
    # Other tunnels are none of ours.
    with netns.socket_in(one.machine.pid_inside(), socket.SOCK_DGRAM) as free:
        free.bind(('0.0.0.0', 8472))
        free.settimeout(5)
        send(two.pid_of('outside'), vxlan(b'free'), one.address, 8472, 0.01)
        assert free.recv(2048) == vxlan(b'free')


def test_names_are_told_to_peers_only(pair, site):
    one, two = pair
    one.serve('web')
    peer = two.machine.pid_inside()
    stranger = site[1][2].machine.pid_inside()
    asked = question(f'web.{VNI}.overlay')
    own = socket.inet_aton(one.address_of('web'))
    assert send(peer, asked, one.address, 4790).endswith(own)
    assert send(peer, question(f'nobody.{VNI}.overlay'), one.address, 4790)[3] & 15 == 3
    assert send(stranger, asked, one.address, 4790) is None
    two.run('--name', 'outside', two.busybox, 'sleep', '1000')
    assert send(two.pid_of('outside'), asked, one.address, 4790) is None
    assert send(two.pid_of('outside'), asked, two.address, 4790) is None
    for strange in (b'', b'\0', asked[:20], question('web.overlay'), question(f'web.{VNI + 1}.overlay'),
                    question('web.99999999999.overlay'), question('example.org'), question(f'{VNI}.overlay'),
                    asked[:-4] + b'\0\x1c\0\1', b'\xff' * 4096, asked[:2] + b'\x80' + asked[3:]):
        assert send(peer, strange, one.address, 4790, 0.05) is None, strange
    assert send(peer, asked, one.address, 4790).endswith(own)


def test_answers_count_from_peers_about_their_network_only(site):
    """A peer that lies has no power over other names and addresses."""
    one, two, _ = site[1]
    one.wherry('network', 'create', '-d', 'overlay', *CREATE, '--ip-range', '10.80.1.0/24', '--opt',
               f'peers={two.address}', 'site').ok()
    pid = two.machine.pid_inside()
    with netns.socket_in(pid, socket.SOCK_DGRAM) as peer, netns.socket_in(pid, socket.SOCK_DGRAM) as other:
        peer.bind(('0.0.0.0', 4790))
        peer.settimeout(10)

        def answer(name, *addresses, sender=peer, identity=None):
            asking = one.engine.start_wherry('run', '--rm', '--network', 'site', one.probe, 'netprobe', 'resolve', name)
            query, back = peer.recvfrom(4096)
            assert query[12:] == question(f'{name}.{VNI}.overlay')[12:]
            records = b''.join(b'\xc0\x0c\0\1\0\1\0\0\0\5\0\4' + socket.inet_aton(address) for address in addresses)
            head = (identity or query[:2]) + b'\x80\0\0\1' + bytes([0, len(addresses)]) + b'\0\0\0\0'
            sender.sendto(head + query[12:] + records, back)
            code = asking.wait(30)
            while True:  # the further rounds
                peer.setblocking(False)
                try:
                    peer.recv(4096)
                except BlockingIOError:
                    peer.settimeout(10)
                    return code, asking.out.decode()

        assert answer('good', '10.80.2.7') == (0, '10.80.2.7\n')
        assert answer('away', '192.0.2.99')[0] == 2
        assert answer('mixed', '192.0.2.99', '10.80.2.7') == (0, '10.80.2.7\n')
        assert answer('port', '10.80.2.7', sender=other)[0] == 2
        assert answer('number', '10.80.2.7', identity=b'\0\0')[0] == 2


def test_a_peer_goes_away_and_comes_back(site):
    switch, devices = site
    join(devices)
    one, two, three = devices
    for device, name in ((one, 'near'), (two, 'far'), (three, 'third')):
        device.serve(name)
    one.run('--name', 'client', '--network', 'site', one.probe, 'netprobe', 'bind', 81)
    get = lambda name: one.wherry('exec', 'client', 'netprobe', 'get', name, 80)
    assert get('far').ok().out == 'far of 2'
    switch.plug(two.machine, False)
    start = time.monotonic()
    assert get('near').ok().out == 'near of 1'
    assert get('third').ok().out == 'third of 3'
    one.wherry('exec', 'client', 'netprobe', 'resolve', 'far').fails(2)
    assert time.monotonic() - start < 5
    switch.plug(two.machine)
    one.machine.wait_for(lambda: get('far').code == 0, 'the peer is back')


def test_daemon_killed_and_started(pair):
    one, two = pair
    two.serve('web')
    one.serve('client')
    own = two.address_of('web')
    before = sorted(two.links())
    two.engine.kill()
    assert one.wherry('exec', 'client', 'netprobe', 'get', own, 80).ok().out == 'web of 2'
    assert 'code' in one.ask('resolve', 'web').fails(2).out
    two.engine.start()
    assert one.wherry('exec', 'client', 'netprobe', 'get', 'web', 80).ok().out == 'web of 2'
    assert two.wherry('exec', 'web', 'netprobe', 'get', 'client', 80).ok().out == 'client of 1'
    assert sorted(two.links()) == before
    # An orderly restart with running containers is no other.
    two.engine.stop()
    two.engine.start()
    assert one.wherry('exec', 'client', 'netprobe', 'get', 'web', 80).ok().out == 'web of 2'


def test_nothing_stays(site):
    one, two, _ = site[1]
    nft = debs.environment_with('nftables')
    filters = lambda: one.machine.run(['nft', 'list', 'ruleset'], env=nft).ok().out
    before = filters()
    join([one, two])
    assert not one.links(), 'devices are made for containers'
    one.serve('web')
    rules = filters()
    assert f'ip saddr {two.address}' in rules and len(one.links()) == 3, rules
    sockets = 'cat /proc/net/udp'
    assert ':12B5 ' in one.machine.shell(sockets).ok().out and ':12B6 ' in one.machine.shell(sockets).ok().out
    one.wherry('rm', '-f', 'web').ok()
    assert ':12B6 ' not in one.machine.shell(sockets).ok().out, 'nobody is told names when no container is here'
    one.wherry('network', 'rm', 'site').ok()
    assert not one.links()
    assert ':12B5 ' not in one.machine.shell(sockets).ok().out
    assert filters() == before


def test_connect_and_disconnect(pair):
    one, two = pair
    two.run('--name', 'web', two.probe, 'netprobe', 'serve', '80', 'page')
    two.wherry('network', 'connect', '--alias', 'guest', '--ip', '10.80.2.77', 'site', 'web').ok()
    assert one.ask('get', 'guest', 80).ok().out == 'page'
    assert one.ask('get', '10.80.2.77', 80).ok().out == 'page'
    two.wherry('network', 'disconnect', 'site', 'web').ok()
    assert 'code' in one.ask('resolve', 'guest').fails(2).out


def test_ports_and_ways_out(site):
    one, two, three = site[1]
    join([one, two])
    two.serve('web', '-p', '8080:80')
    stranger = three.run('--name', 'stranger', three.probe, 'netprobe', 'serve', '80', 'stranger')
    assert three.wherry('exec', stranger, 'netprobe', 'get', two.address, 8080).ok().out == 'web of 2'
    # A container on another device of the network takes it like anybody.
    assert one.ask('get', two.address, 8080).ok().out == 'web of 2'
    # Each device is the way out of its own containers.
    for device in (one, two):
        assert f'default via 10.80.{device.number}.1 dev eth0' in device.sh('ip route').ok().out
        device.sh(f'ping -c 1 -W 5 {three.address}').ok()


def test_internal(site):
    one, two, three = site[1]
    join([one, two], '--internal')
    two.serve('web')
    assert one.ask('get', 'web', 80).ok().out == 'web of 2'
    assert 'default' not in one.sh('ip route').ok().out
    one.sh(f'ping -c 1 -W 1 {three.address}').fails()


def test_addresses_of_others_are_not_given_out(pair):
    one, two = pair
    for number in range(3):
        one.serve(f'web{number}')
        two.serve(f'web{number}')
    given = [device.address_of(f'web{number}') for device in pair for number in range(3)]
    assert len(set(given)) == 6 and all(address.startswith(('10.80.1.', '10.80.2.')) for address in given), given


def test_taken_ports_and_numbers_are_named(site):
    one = site[1][0]
    create = [*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=192.0.2.12']
    one.wherry('network', 'create', '-d', 'overlay', *create, 'site').ok()
    with netns.socket_in(one.machine.pid_inside(), socket.SOCK_DGRAM) as holder:
        holder.bind(('0.0.0.0', 4789))
        error = one.wherry('run', '--rm', '--network', 'site', one.busybox, 'true').fails(125).err
        assert 'UDP port 4789 is taken' in error and '--opt port' in error, error
    one.machine.shell(f'ip link add other type vxlan id {VNI} dstport 4789').ok()
    error = one.wherry('run', '--rm', '--network', 'site', one.busybox, 'true').fails(125).err
    assert f'VXLAN of number {VNI}' in error and '--opt vni' in error, error
    one.machine.shell('ip link delete other').ok()
    one.wherry('run', '--rm', '--network', 'site', one.busybox, 'true').ok()


@pytest.mark.parametrize('words, says', [
    (['--opt', 'peers=192.0.2.12'], 'needs --subnet'),
    ([*CREATE, '--opt', 'peers=192.0.2.12'], '--ip-range'),
    ([*CREATE, '--ip-range', '10.80.0.0/16', '--opt', 'peers=192.0.2.12'], 'smaller than its subnet'),
    ([*CREATE, '--ip-range', '10.80.1.0/24'], '--opt peers='),
    ([*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=192.0.2.11'], 'an address of this device'),
    ([*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=10.80.3.1'], 'an address of the network itself'),
    ([*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=192.0.2.12', '--gateway', '10.80.0.1'], 'gateway'),
    ([*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=192.0.2.12', '--opt', 'encrypted'],
     'option encrypted= is not supported|option encrypted=: is not supported'),
    ([*CREATE, '--ip-range', '10.80.1.0/24', '--opt', 'peers=192.0.2.12', '--opt', 'peer=192.0.2.13'], 'peer='),
])
def test_bad_requests(site, words, says):
    error = site[1][0].wherry('network', 'create', '-d', 'overlay', *words, 'x').fails().err
    assert any(part in error for part in says.split('|')), error


def test_docker_cli_and_compose(site, docker_major):
    assert docker_major
    one, two, _ = site[1]
    one.engine.docker('network', 'create', '-d', 'overlay', '--attachable', *CREATE, '--ip-range', '10.80.1.0/24',
                      '--opt', f'peers={two.address}', 'group_site').ok()
    listed = one.engine.docker('network', 'ls', '--filter', 'driver=overlay', '--format', '{{.Name}} {{.Scope}}')
    assert listed.ok().out == 'group_site local\n'
    found = json.loads(one.engine.docker('network', 'inspect', 'group_site').ok().out)[0]
    assert found['Attachable'] and found['IPAM']['Config'] == [
        {'Subnet': '10.80.0.0/16', 'IPRange': '10.80.1.0/24', 'Gateway': '10.80.1.1'}]
    one.engine.docker('run', '-d', '--name', 'web', '--network', 'group_site', one.probe, 'netprobe', 'serve', '80',
                      'page').ok()
    directory = two.machine.temporary_directory() + '/group'
    two.machine.run(['mkdir', directory]).ok()
    two.machine.write(f'{directory}/compose.yaml', f'''
services:
  client:
    image: {two.probe}
    command: netprobe serve 80 client
    networks: [site]
networks:
  site:
    driver: overlay
    driver_opts: {{peers: "{one.address}", vni: "{VNI}"}}
    attachable: true
    ipam: {{config: [{{subnet: 10.80.0.0/16, ip_range: 10.80.2.0/24}}]}}
''')
    two.wherry('compose', '-f', f'{directory}/compose.yaml', 'up', '-d').ok()
    client = ['compose', '-f', f'{directory}/compose.yaml', 'exec', '-T', 'client', 'netprobe', 'get']
    assert two.wherry(*client, 'web', 80).ok().out == 'page'
    assert one.ask('get', 'client', 80, network='group_site').ok().out == 'client'
    two.wherry('compose', '-f', f'{directory}/compose.yaml', 'down', '-t', '0').ok()
    assert not two.links()


LINK = '''
set -e
unshare -n sleep 100000 >/dev/null 2>&1 & one=$!
unshare -n sleep 100000 >/dev/null 2>&1 & two=$!
while [ "$(readlink /proc/$one/ns/net)" = "$(readlink /proc/self/ns/net)" ] ||
      [ "$(readlink /proc/$two/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add lan type veth
ip link set lan netns $one
ip link set veth0 netns $two
nsenter -t $one -n sh -c 'ip addr add 192.0.2.11/24 dev lan; ip link set lan up; ip link set lo up'
nsenter -t $two -n sh -c 'ip addr add 192.0.2.12/24 dev veth0; ip link set veth0 up; ip link set lo up'
echo $one $two
'''


@pytest.mark.machines('vm')
def test_on_the_kernel_of_a_device(machine, new_engine, registry):
    """Two daemons in namespaces of one virtual machine."""
    engines = [new_engine(new_engine.trust(registry.name)) for _ in range(2)]
    image = f'{registry.name}/probe'
    for engine in engines:
        engine.login(registry.name)
        engine.wherry('pull', '-q', image, timeout=120).ok()
        engine.stop()
    pids = machine.shell(LINK).ok().out.split()
    try:
        for number, (engine, pid) in enumerate(zip(engines, pids), 1):
            engine.runner[:] = ['nsenter', '-t', pid, '-n']
            engine.start()
            engine.wherry('network', 'create', '-d', 'overlay', *CREATE, '--ip-range', f'10.80.{number}.0/24', '--opt',
                          f'peers=192.0.2.{13 - number}', 'site').ok()
        one, two = engines
        two.wherry('run', '-d', '--name', 'web', '--network', 'site', image, 'netprobe', 'serve', 80, 'page').ok()
        get = ['run', '--rm', '--network', 'site', image, 'netprobe', 'get', 'web', 80]
        assert one.wherry(*get).ok().out == 'page'
        two.kill()
        two.start()
        assert one.wherry(*get).ok().out == 'page'
        for engine in engines:
            engine.remove_containers()
            engine.wherry('network', 'rm', 'site').ok()
            engine.assert_nothing_left()
        for pid in pids:
            assert 'vx-' not in machine.run(['nsenter', '-t', pid, '-n', 'ip', 'link']).ok().out
    finally:
        machine.run(['kill', *pids])
