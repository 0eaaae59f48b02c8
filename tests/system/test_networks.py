"""Bridge networks: addresses, names, published ports, and what is left afterwards."""

import json
import re

import pytest

from harness import compile as compiler
from harness import debs, netns, paths

pytestmark = pytest.mark.machines('host-net', 'vm')


@pytest.fixture(scope='module', name='shared')
def _shared(machine, wherry_program, registry):
    from conftest import Starter  # pylint: disable=import-outside-toplevel
    machine.reach(registry.port)
    starter = Starter(machine, wherry_program)
    engine = starter(starter.trust(registry.name), network='bridge')
    engine.login(registry.name)
    engine.busybox = f'{registry.name}/busybox'
    engine.probe = f'{registry.name}/probe'
    for image in (engine.busybox, engine.probe):
        engine.wherry('pull', '-q', image, timeout=120).ok()
    yield engine
    if engine.running:
        engine.remove_containers()
        engine.wherry('network', 'prune', '-f').ok()
        engine.assert_nothing_left()
    links = machine.shell('ls /sys/class/net').out.split()
    assert not [name for name in links if name.startswith(('veth', 'br-', 'wh'))], links
    starter.close()


@pytest.fixture
def net(shared):
    """An engine whose containers get the network "bridge"."""
    if not shared.running:
        shared.start()
    yield shared
    if not shared.running:
        shared.start()
    shared.remove_containers()
    shared.wherry('network', 'prune', '-f').ok()


@pytest.fixture
def mine(net):
    """The name of a network of one's own."""
    net.wherry('network', 'create', 'mine').ok()
    return 'mine'


def run(engine, *args):
    return engine.wherry('run', '-d', *args).ok().out.strip()


def sh(engine, script, *options):
    """The output of a script in a container that is gone afterwards."""
    return engine.wherry('run', '--rm', *options, engine.busybox, 'sh', '-c', script)


def probe(engine, *words, network='bridge'):
    return engine.wherry('run', '--rm', '--network', network, engine.probe, 'netprobe', *words)


def serve(engine, *options, text='page', port=80):
    """A container that answers every connection with a text."""
    return run(engine, *options, engine.probe, 'netprobe', 'serve', port, text)


def networks_of(engine, name):
    return engine.inspect(name)['NetworkSettings']['Networks']


def address(engine, name, network='bridge'):
    return networks_of(engine, name)[network]['IPAddress']


def from_machine(engine, host, port, kind='get', *words):
    """The same from the machine the engine runs on."""
    machine = engine.machine
    path = f'{engine.dir}/netprobe'
    if not machine.exists(path):
        program = compiler.static_program(paths.TESTS / 'images/netprobe.cpp', machine.arch)
        machine.write(path, program.read_bytes(), 0o755)
    return machine.run([path, kind, host, port, *words])


def test_a_container_has_an_address_and_a_way_out(net):
    text = sh(net, 'ip -4 addr show dev eth0; ip route; cat /etc/resolv.conf /etc/hosts; hostname').ok().out
    own = re.search(r'inet (172\.\d+\.0\.\d+)/16', text)[1]
    assert re.search(r'default via 172\.\d+\.0\.1 dev eth0', text), text
    assert 'nameserver 127.0.0.11' in text
    assert re.search(rf'^{own}\t[0-9a-f]{{12}}$', text, re.M), text


def test_containers_reach_each_other(net):
    serve(net, '--name', 'web')
    assert probe(net, 'get', address(net, 'web'), 80).ok().out == 'page'
    # Names are for networks of one's own, as in Docker.
    assert 'code' in probe(net, 'resolve', 'web').fails(2).out


def test_names(net, mine):
    identity = serve(net, '--name', 'web', '--network', mine, '--network-alias', 'site')
    own = address(net, 'web', mine)
    for name in ('web', 'site', 'WeB', identity[:12]):
        assert probe(net, 'get', name, 80, network=mine).ok().out == 'page', name
    assert probe(net, 'resolve', 'web', 'tcp', network=mine).ok().out == f'{own}\n'
    assert 'code' in probe(net, 'resolve', 'no-such-name', network=mine).fails(2).out
    # An alias that several have leads to all of them.
    serve(net, '--network', mine, '--network-alias', 'site')
    assert len(probe(net, 'resolve', 'site', network=mine).ok().out.split()) == 2
    net.wherry('rm', '-f', 'web').ok()
    assert len(probe(net, 'resolve', 'site', network=mine).ok().out.split()) == 1


def test_networks_are_apart(net, mine):
    serve(net, '--name', 'web', '--network', mine)
    own = address(net, 'web', mine)
    net.wherry('run', '--rm', net.probe, 'netprobe', 'get', own, '80').fails(1)


@pytest.mark.machines('host-net', 'vm', 'vm-32')
def test_published_port(net):
    serve(net, '--name', 'web', '-p', '8080:80')
    assert from_machine(net, '127.0.0.1', 8080).ok().out == 'page'
    gateway = net.inspect('web')['NetworkSettings']['Gateway']
    assert from_machine(net, gateway, 8080).ok().out == 'page'
    assert probe(net, 'get', gateway, 8080).ok().out == 'page'
    assert net.wherry('port', 'web').ok().out == '80/tcp -> 0.0.0.0:8080\n'
    assert '0.0.0.0:8080->80/tcp' in net.wherry('ps').ok().out
    net.wherry('stop', '-t', '0', 'web').ok()
    from_machine(net, '127.0.0.1', 8080).fails()
    net.wherry('start', 'web').ok()
    assert from_machine(net, '127.0.0.1', 8080).ok().out == 'page'


def test_published_udp_port(net):
    run(net, '-p', '127.0.0.1:5300:53/udp', net.probe, 'netprobe', 'echo', 53)
    answer = net.machine.wait_for(lambda: from_machine(net, '127.0.0.1', 5300, 'send', 'hello').out, 'no answer')
    assert answer.endswith(' hello\n')


def test_free_ports(net):
    serve(net, '--name', 'any', '-p', '80')
    port = net.inspect('any')['NetworkSettings']['Ports']['80/tcp'][0]['HostPort']
    assert int(port) > 1024
    assert from_machine(net, '127.0.0.1', port).ok().out == 'page'
    serve(net, '--name', 'one', '-p', '9000-9001:80')
    serve(net, '--name', 'two', '-p', '9000-9001:80')
    assert {net.wherry('port', name, '80').ok().out for name in ('one', 'two')} == \
        {'0.0.0.0:9000\n', '0.0.0.0:9001\n'}
    result = net.wherry('run', '-d', '-p', '9000-9001:80', net.busybox, 'true').fails(125)
    assert 'port is already allocated' in result.err


def test_a_port_in_use_names_the_holder(net):
    serve(net, '--name', 'web', '-p', '8080:80')
    result = net.wherry('run', '--name', 'late', '-p', '8080:80', net.busybox, 'true').fails(125)
    assert 'port is already allocated by container web' in result.err
    net.wherry('start', 'late').fails()
    net.wherry('rm', '-f', 'web').ok()
    net.wherry('start', 'late').ok()
    if net.machine.name == 'host':
        taken = netns.socket_in(net.machine.pid_inside())
        taken.bind(('0.0.0.0', 8181))
        taken.listen(1)
        result = net.wherry('run', '--rm', '-p', '8181:80', net.busybox, 'true').fails(125)
        assert re.search(r'already allocated by \S+ \(process \d+\)', result.err), result.err
        taken.close()


def test_a_container_reaches_itself_by_its_published_port(net):
    identity = serve(net, '--name', 'web', '-p', '8080:80')
    gateway = net.inspect(identity)['NetworkSettings']['Gateway']
    assert net.wherry('exec', 'web', 'netprobe', 'get', gateway, 8080).ok().out == 'page'


@pytest.mark.machines('host-net')
def test_the_packet_filter_goes_with_the_last_network(net, new_engine, registry):
    """A table that stayed would keep the host from forwarding anything else."""
    nft = debs.environment_with('nftables')
    look = lambda: (net.machine.run(['nft', 'list', 'tables'], env=nft).ok().out.splitlines(),
                    net.machine.read('/proc/sys/net/ipv4/ip_forward'))
    before = look()
    engine = new_engine(new_engine.trust(registry.name), network='bridge')
    engine.login(registry.name)
    for end in ('prune', 'kill'):
        engine.wherry('network', 'create', 'only').ok()
        engine.wherry('run', '--rm', '--network', 'only', f'{registry.name}/busybox', 'true').ok()
        assert len(look()[0]) == len(before[0]) + 1
        if end == 'kill':
            engine.kill()
            engine.start()
        engine.wherry('network', 'rm', 'only').ok()
        assert look() == before
    engine.stop()
    assert look() == before


def test_a_dns_server_in_a_container(net, mine):
    run(net, '--name', 'dns', '--network', mine, net.probe, 'netprobe', 'bind', 53)
    assert 'bound' in net.machine.wait_for(lambda: net.wherry('logs', 'dns').out, 'port 53 is bound')
    serve(net, '--name', 'web', '--network', mine)
    net.wherry('exec', 'dns', 'netprobe', 'get', 'web', 80).ok()


def test_connect_and_disconnect(net, mine):
    serve(net, '--name', 'web', '--network', mine)
    run(net, '--name', 'client', net.busybox, 'sleep', '1000')
    net.wherry('network', 'connect', '--alias', 'guest', mine, 'client').ok()
    assert set(networks_of(net, 'client')) == {'bridge', mine}
    assert 'eth1' in net.wherry('exec', 'client', 'ip', '-4', 'addr').ok().out
    assert probe(net, 'resolve', 'guest', network=mine).ok().out.strip() == address(net, 'client', mine)
    assert 'already exists' in net.wherry('network', 'connect', mine, 'client').fails().err
    net.wherry('network', 'disconnect', 'bridge', 'client').ok()
    assert 'default via' in net.wherry('exec', 'client', 'ip', 'route').ok().out
    assert set(networks_of(net, 'client')) == {mine}
    net.wherry('restart', '-t', '0', 'client').ok()
    assert set(networks_of(net, 'client')) == {mine}
    assert 'is not connected' in net.wherry('network', 'disconnect', 'bridge', 'client').fails().err


def test_created_containers_can_be_connected(net, mine):
    net.wherry('create', '--name', 'web', net.probe, 'netprobe', 'serve', '80', 'page').ok()
    net.wherry('network', 'connect', mine, 'web').ok()
    net.wherry('start', 'web').ok()
    assert probe(net, 'get', 'web', 80, network=mine).ok().out == 'page'


def test_addresses_as_asked(net):
    net.wherry('network', 'create', '--subnet', '10.77.0.0/24', '--gateway', '10.77.0.254', '--ip-range',
               '10.77.0.128/28', 'fixed').ok()
    text = sh(net, 'ip -4 addr show dev eth0; ip route; ip link show dev eth0', '--network', 'fixed').ok().out
    assert 'inet 10.77.0.128/24' in text and 'default via 10.77.0.254' in text, text
    text = sh(net, 'ip addr show dev eth0', '--network', 'fixed', '--ip', '10.77.0.9', '--mac-address',
              '02:00:00:00:00:77').ok().out
    assert 'inet 10.77.0.9/24' in text and '02:00:00:00:00:77' in text, text
    result = net.wherry('network', 'create', '--subnet', '10.77.0.128/25', 'other').fails()
    assert 'overlaps 10.77.0.0/24 of network fixed' in result.err
    result = net.wherry('run', '--rm', '--network', 'fixed', '--ip', '10.78.0.1', net.busybox, 'true').fails(125)
    assert '10.78.0.1' in result.err


def test_internal_network(net):
    net.wherry('network', 'create', '--internal', 'closed').ok()
    serve(net, '--name', 'web', '--network', 'closed')
    assert probe(net, 'get', 'web', 80, network='closed').ok().out == 'page'
    assert 'default' not in sh(net, 'ip route', '--network', 'closed').ok().out
    # No way out by names either.
    assert probe(net, 'resolve', 'example.org', network='closed').fails(2).out == 'code 2\n'


def test_network_of_another_container(net):
    serve(net, '--name', 'web')
    assert net.wherry('run', '--rm', '--network', 'container:web', net.probe, 'netprobe', 'get', '127.0.0.1',
                      80).ok().out == 'page'
    assert sh(net, 'hostname', '--network', 'container:web').ok().out == net.inspect('web')['Id'][:12] + '\n'
    result = net.wherry('run', '--rm', '--network', 'container:web', '-p', '80:80', net.busybox, 'true').fails(125)
    assert 'conflicting options' in result.err
    net.wherry('stop', '-t', '0', 'web').ok()
    result = net.wherry('run', '--rm', '--network', 'container:web', net.busybox, 'true').fails()
    assert 'non running container' in result.err
    assert net.containers() == [net.inspect('web')['Id']], '--rm leaves nothing after a start that failed'


def test_daemon_killed_and_started(net, mine):
    serve(net, '--name', 'web', '--network', mine, '-p', '8080:80')
    own = address(net, 'web', mine)
    net.kill()
    assert from_machine(net, '127.0.0.1', 8080).ok().out == 'page'
    net.start()
    assert address(net, 'web', mine) == own
    assert from_machine(net, '127.0.0.1', 8080).ok().out == 'page'
    assert probe(net, 'get', 'web', 80, network=mine).ok().out == 'page'
    assert 'port is already allocated' in net.wherry('run', '-p', '8080:80', net.busybox, 'true').fails(125).err
    assert net.wherry('exec', 'web', 'netprobe', 'resolve', 'web').ok().out.strip() == own


def test_forwarded_names(net):
    """Everything else is asked of the host's name servers, also of one on its loopback."""
    result = probe(net, 'resolve', 'example.org').fails(2)
    assert result.out in ('code 2\n', 'code 3\n'), result.out


def test_a_flood_of_queries_harms_nobody_else(net, mine):
    serve(net, '--name', 'web', '--network', mine)
    run(net, '--name', 'flood', '--network', mine, net.probe, 'netprobe', 'flood', 20000)
    assert probe(net, 'get', 'web', 80, network=mine).ok().out == 'page'
    net.wherry('ps').ok()


@pytest.mark.machines('host-net')
@pytest.mark.parametrize('query', ['00', '1234', '123401000001000000000000', '12340100000100000000000003777777',
                                   '1234010000010000000000003f' + '77' * 63, '1234010000010000000000000000ff',
                                   '123401000001000000000000c00c00010001', '12348180000100000000000003777777000001'])
def test_malformed_queries(net, mine, query):
    serve(net, '--name', 'web', '--network', mine)
    probe(net, 'raw', query, network=mine).ok()
    assert probe(net, 'get', 'web', 80, network=mine).ok().out == 'page'


@pytest.mark.machines('host-net')
@pytest.mark.parametrize('words, says', [
    (['network', 'create', 'bridge'], 'already exists'),
    (['network', 'create', '-d', 'macvlan', 'x'], 'network driver "macvlan" is not supported'),
    (['network', 'create', '--subnet', 'fd00::/64', 'x'], 'IPv6'),
    (['network', 'create', '--subnet', '10.0.0.0/33', 'x'], '10.0.0.0/33'),
    (['network', 'create', '--subnet', '10.0.0.0/31', 'x'], '10.0.0.0/31'),
    (['network', 'create', '--gateway', '10.0.0.1', 'x'], 'needs a subnet'),
    (['network', 'create', '-o', 'com.docker.network.bridge.enable_icc=false', 'x'], 'enable_icc'),
    (['network', 'create', '-o', 'com.docker.network.bridge.name=a/b', 'x'], 'name of a bridge'),
    (['network', 'create', 'a b'], 'invalid network name'),
    (['network', 'rm', 'bridge'], 'pre-defined network'),
    (['network', 'rm', 'nothing'], 'network nothing not found'),
    (['run', '--network', 'nothing', 'BUSYBOX', 'true'], 'network nothing not found'),
    (['run', '--network', 'container:nothing', 'BUSYBOX', 'true'], 'No such container: nothing'),
    (['run', '-p', '99999:80', 'BUSYBOX', 'true'], 'invalid port'),
    (['run', '-p', '80:80/sctp', 'BUSYBOX', 'true'], 'sctp is not supported'),
    (['run', '-p', '::1:80:80', 'BUSYBOX', 'true'], 'IPv6'),
    (['run', '-p', '10.255.255.1:80:80', 'BUSYBOX', 'true'], '10.255.255.1'),
])
def test_bad_requests(net, words, says):
    result = net.wherry(*[net.busybox if word == 'BUSYBOX' else word for word in words]).fails()
    assert says in result.err, result.err


def test_a_network_in_use_stays(net, mine):
    serve(net, '--name', 'web', '--network', mine)
    assert 'active endpoints (web)' in net.wherry('network', 'rm', mine).fails().err
    net.wherry('network', 'prune', '-f').ok()
    net.wherry('network', 'inspect', mine).ok()


def test_networks_survive_a_restart(net):
    net.wherry('network', 'create', '--label', 'a=b', '--subnet', '10.99.0.0/24', 'kept').ok()
    before = net.wherry('network', 'inspect', 'kept').ok().out
    net.stop()
    net.start()
    assert net.wherry('network', 'inspect', 'kept').ok().out == before
    listed = [json.loads(line)['Name'] for line in net.wherry('network', 'ls', '--format', 'json').ok().out.splitlines()]
    assert listed == ['bridge', 'host', 'kept', 'none']


def test_docker_cli(net, docker_major):
    assert docker_major
    net.docker('network', 'create', '--label', 'x=y', 'dock').ok()
    net.docker('run', '-d', '--name', 'web', '--network', 'dock', '--network-alias', 'site', '-p', '8080:80', net.probe,
               'netprobe', 'serve', '80', 'page').ok()
    assert net.docker('run', '--rm', '--network', 'dock', net.probe, 'netprobe', 'get', 'site', '80').ok().out == 'page'
    assert net.docker('port', 'web').ok().out.splitlines()[0] == '80/tcp -> 0.0.0.0:8080'
    assert 'dock' in net.docker('network', 'ls').ok().out
    found = json.loads(net.docker('network', 'inspect', 'dock').ok().out)[0]
    assert [member['Name'] for member in found['Containers'].values()] == ['web']
    net.docker('network', 'disconnect', 'dock', 'web').ok()
    wanted = found['IPAM']['Config'][0]['Subnet'].split('.0/')[0] + '.77'
    net.docker('network', 'connect', '--ip', wanted, 'dock', 'web').ok()
    assert address(net, 'web', 'dock') == wanted
    net.docker('rm', '-f', 'web').ok()
    net.docker('network', 'rm', 'dock').ok()
    assert net.docker('ps', '--filter', 'publish=80', '-q').ok().out == ''
