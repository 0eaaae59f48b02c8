"""Fixtures of the system tests.

A test that uses `machine` (or a fixture built on it) runs on this host and in the ARM64 virtual
machine with the newest kernel; `@pytest.mark.machines(...)` names other places: 'host', 'host-net'
(this host with a network namespace of its own), 'vm' (newest kernel), 'vm-32' (the ARM
machine of 32 bits) or one of VMS. Tests in a virtual machine carry the marker `vm`.
WHERRY_VM, such as armhf-6.12, names a kernel that takes the place of 6.12.
"""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# pylint: disable=wrong-import-position
import oci_box
from engine import HOST_NAMES, REGISTRY, Engine, docker_program
from harness import compile as compiler
from harness import faulty, paths
from harness import registry as registries
from harness.apischema import ABSENT, Schema
from harness.machine import LocalMachine, VmMachine
from images import reference
from vm import kernel as kernels
from vm.vm import Vm

NEWEST = sys.intern('vm-' + os.environ.get('WHERRY_VM', '6.12'))
VMS = tuple(f'vm-{name}' for name in kernels.KERNELS)
ALIASES = {'vm': NEWEST, 'vm-6.12': NEWEST, 'vm-32': sys.intern('vm-armhf-6.12')}
DEFAULT_MACHINES = ('host', 'vm')


def pytest_configure(config):
    config.addinivalue_line('markers', 'vm: runs in the ARM64 virtual machine')
    config.addinivalue_line('markers', 'machines(name...): where the test runs')


def pytest_generate_tests(metafunc):
    if 'machine' not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker('machines')
    # pytest keeps a machine for the tests that name it by the same object.
    names = [ALIASES.get(name, sys.intern(name)) for name in (mark.args if mark else DEFAULT_MACHINES)]
    metafunc.parametrize('machine', [
        pytest.param(name, id=name, marks=[pytest.mark.vm] if name in VMS else [])
        for name in names], indirect=True, scope='session')


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """All tests of one machine in a row: each machine is started once."""
    order = ['', 'host', 'host-net', *sorted(VMS, reverse=True)]

    def position(item):
        return order.index(item.callspec.params.get('machine', '') if hasattr(item, 'callspec') else '')

    items.sort(key=position)


@pytest.fixture(scope='session')
def authority(tmp_path_factory):
    """The certificate authority of the test registries."""
    return registries.Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture(scope='session')
def server_certificate(authority):
    return authority.issue('registry', [*HOST_NAMES[:3], 'localhost', '127.0.0.1', '10.0.2.2'])


def _start_host(_):
    return LocalMachine(compiler.native_arch(), HOST_NAMES)


def _start_host_net(_):
    return LocalMachine(compiler.native_arch(), HOST_NAMES, network=True)


def _start_vm(name):
    hosts = '127.0.0.1 localhost\n' + ''.join(f'10.0.2.2 {host}\n' for host in HOST_NAMES)
    kernel = name.removeprefix('vm-')
    vm = Vm(kernel=kernel, memory=768, binaries=paths.build_dir(kernels.KERNELS[kernel].arch.preset),
            files={'etc/hosts': (hosts, 0o644)})
    vm.start()
    return VmMachine(vm)


START = {'host': _start_host, 'host-net': _start_host_net}


@pytest.fixture(scope='session')
def machine(request, authority):
    """The place the test runs at; stays up until the tests for it are done."""
    place = START.get(request.param, _start_vm)(request.param)
    place.ca = place.temporary_directory() + '/ca.crt'
    place.write(place.ca, authority.certificate.read_bytes())
    yield place
    place.close()


@pytest.fixture(scope='session')
def wherry_program(machine):
    """The path of the program under test, as the machine sees it."""
    preset = machine.vm.arch.preset if machine.name in VMS else 'host'
    for name in ('wherry', 'wherry-shim', 'wherry-runtime'):
        program = paths.build_dir(preset) / name
        if not program.exists():
            pytest.fail(f'{program} is missing: run ./dev build {preset}')
    return machine.program('wherry')


@pytest.fixture(scope='session')
def registry(authority, server_certificate):
    """A registry with TLS and a password that holds the small images."""
    server = registries.Registry(*server_certificate, password=True)
    client = server.client(authority.certificate)
    for name in reference.SETS['small']:
        for tag, image in reference.load(name).items():
            client.push(name, tag, image)
    server.name = f'{REGISTRY}:{server.port}'
    server.push = client.push
    yield server
    server.close()


@pytest.fixture(scope='session')
def nginx(registry):
    """The name of the nginx image of two layers."""
    registry.push('web/nginx', '1', reference.load('nginx')['latest'])
    return f'{registry.name}/web/nginx:1'


@pytest.fixture(scope='session')
def plain_registry():
    """A registry without TLS."""
    server = registries.Registry()
    client = server.client()
    client.push('hello', 'latest', reference.load('hello')['latest'])
    yield server
    server.close()


@pytest.fixture
def faulty_registry(server_certificate):
    """A registry with TLS that misbehaves as told; it holds nothing yet."""
    with faulty.FaultyRegistry(*server_certificate) as server:
        server.name = f'{REGISTRY}:{server.port}'
        yield server


class Starter:
    """Makes engines on a machine and ends them all."""

    def __init__(self, machine, program):
        self.machine = machine
        self._program = program
        self._engines = []

    def trust(self, *names):
        """Configuration that trusts the authority of the tests for these registries."""
        return ''.join(f'[registry "{name}"]\nca = {self.machine.ca}\n' for name in names)

    def __call__(self, config='', start=True, env=None, network='none', runner=()):
        engine = Engine(self.machine, config, self._program, env, network, runner)
        self._engines.append(engine)
        if start:
            engine.start()
        return engine

    def close(self):
        for engine in self._engines:
            engine.close()
        self._engines.clear()


@pytest.fixture
def new_engine(machine, wherry_program):
    """Makes engines for one test."""
    starter = Starter(machine, wherry_program)
    yield starter
    starter.close()


@pytest.fixture
def fresh_engine(new_engine, registry, faulty_registry):
    """An engine with an empty store for one test; afterwards nothing may be left of it."""
    engine = new_engine(new_engine.trust(registry.name, faulty_registry.name) +
                        '[registries]\nretries = 2\nstall-timeout = 3s\nconnect-timeout = 3s\n')
    yield engine
    if engine.running:
        engine.remove_containers()
        engine.assert_nothing_left()


@pytest.fixture(scope='session')
def session_engine(machine, wherry_program, registry):
    machine.reach(registry.port)
    starter = Starter(machine, wherry_program)
    engine = starter(starter.trust(registry.name))
    engine.login(registry.name)
    engine.busybox = f'{registry.name}/busybox'
    engine.probe = f'{registry.name}/probe'
    engine.cgroup = engine.cgroup_parent()
    for name in (engine.busybox, engine.probe):
        engine.wherry('pull', '-q', name, timeout=120).ok()
    yield engine
    if engine.running:
        engine.remove_containers()
        engine.assert_nothing_left()
    starter.close()


@pytest.fixture
def engine(session_engine):
    """An engine that has the images busybox and probe, shared by many tests."""
    if not session_engine.running:
        session_engine.start()
    yield session_engine
    if not session_engine.running:
        session_engine.start()
    removed = session_engine.remove_containers()
    script = f'find {session_engine.rundir}/c {session_engine.root}/containers -mindepth 1 ' \
             f'2>/dev/null; find {session_engine.cgroup}/c -mindepth 1 -type d 2>/dev/null; ' \
             f'grep -F {session_engine.dir}/ /proc/self/mounts'
    left = session_engine.machine.shell(script).out
    assert left == '', f'left behind by the containers:\n{left}\nremoved were {removed}, ' \
                       f'listed are {session_engine.containers()}, the daemon wrote:\n{session_engine.log()}'


@pytest.fixture(scope='session')
def docker_major():
    """The major version of the docker CLI; the test is skipped when there is none."""
    found = docker_program()
    if found is None:
        pytest.skip('no docker CLI is installed')
    return found[1]


@pytest.fixture(scope='session')
def schema():
    """Docker's description of its API; the test is skipped where there is none."""
    found = Schema.find()
    if found is None:
        pytest.skip(ABSENT)
    return found


@pytest.fixture(scope='module')
def _judged():
    Engine.schema = Schema.find()
    yield
    Engine.schema = None
    Engine.witnesses.clear()


@pytest.fixture
def valid_answers(_judged):
    """Every answer to a client is as Docker describes it, where that description is there to compare."""
    yield
    found = [line for witness in Engine.witnesses for line in witness.problems]
    for witness in Engine.witnesses:
        witness.problems.clear()
    assert not found, 'answers that are not as Docker describes them:\n' + '\n'.join(dict.fromkeys(found))


@pytest.fixture
def needs_docker_28(docker_major):
    if docker_major < 28:
        pytest.skip(f'needs the docker CLI 28; the newest here is {docker_major}')


@pytest.fixture(scope='session')
def busybox_root(machine):
    with oci_box.root_on(machine) as directory:
        yield directory


@pytest.fixture(scope='module')
def place(machine, busybox_root):
    """The machine, and busybox as a root file system on it: (machine, directory)."""
    with oci_box.adopting(machine):
        yield machine, busybox_root


@pytest.fixture
def box(place):
    """A bundle of the test's own with `wherry-runtime`; nothing of it may be left at the end."""
    with oci_box.Box(*place) as made:
        yield made
