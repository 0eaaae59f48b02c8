"""32-bit ARM on a 64-bit kernel: containers of wherry for 64 bits, and all of wherry for 32 bits."""

import errno
import json

import pytest
from engine import Engine
from harness import paths
from images import reference
from test_isolation import REFUSED
from test_oci_seccomp import agent

pytestmark = pytest.mark.machines('vm-6.12')

ELF_CLASS = 'od -An -tu1 -j4 -N1 /bin/busybox'  # 1: 32 bits
HWCAP, NEON = 16, 1 << 12


@pytest.fixture(scope='module', name='arm')
def fixture_arm(registry):
    """The name of an image for arm64, arm/v7 and arm/v5."""
    registry.push('arm', 'latest', reference.load('arm')['latest'])
    return f'{registry.name}/arm'


def run(engine, platform, image, script):
    return engine.wherry('run', '--rm', '--network', 'none', '--platform', platform, image, 'sh', '-c', script)


def auxiliary_vector(words):
    numbers = [int(word, 16) for word in words]
    return dict(zip(numbers[::2], numbers[1::2]))


def test_a_container_of_32_bits(engine, arm):
    assert run(engine, 'linux/arm64', arm, ELF_CLASS).ok().out.strip() == '2'
    look = f'{ELF_CLASS}; uname -m; linux32 uname -m; od -An -tx4 -v /proc/self/auxv'
    bits, machine, emulated, *vector = run(engine, 'linux/arm/v7', arm, look).ok().out.split()
    # What Docker and Podman leave as it is: the kernel's machine, unless the program asks for the other.
    assert (bits, machine, emulated) == ('1', 'aarch64', 'armv8l')
    assert auxiliary_vector(vector)[HWCAP] & NEON
    calls = run(engine, 'linux/arm/v7', arm, 'probe syscalls').ok().out
    results = dict(line.split(' ', 1) for line in calls.splitlines())
    assert [name for name in REFUSED if results[name] == 'allowed'] == [], calls
    name = engine.run_detached('--memory', '16m', '--platform', 'linux/arm/v7', arm, 'sleep', '1000')
    assert engine.wherry('exec', name, 'sh', '-c', ELF_CLASS).ok().out.strip() == '1'
    engine.wherry('exec', name, 'probe', 'eat', '64').fails(137)


def test_the_oldest_processors(engine, arm):
    assert run(engine, 'linux/arm/v6', arm, ELF_CLASS).ok().out.strip() == '1'
    assert engine.inspect(arm)['Variant'] == 'v5'


@pytest.fixture(name='arm_box')
def fixture_arm_box(box):
    """A box whose root file system has 32 bits, beside the program of 64."""
    machine = box.machine
    root = f'{box.dir}/rootfs'
    machine.run(['mkdir', root]).ok()
    for layer in reference.load('arm')['latest'].parts[1].parts[1:]:
        machine.run(['tar', '-xz', '-C', root], input=layer.data).ok()
    machine.run(['cp', f'{box.config["root"]["path"]}/bin/busybox', f'{root}/bin/busybox-64']).ok()
    box.config['root']['path'] = root
    return box


def test_the_filter_of_each_abi(arm_box):
    """mkdir is a call of its own in 32 bits alone; which ABIs there are the profile says."""
    box = arm_box
    box.config['process']['args'] = ['sh', '-c', 'mkdir /tmp/a; /bin/busybox-64 mkdir /tmp/b']
    for architectures in (['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'], ['SCMP_ARCH_AARCH64']):
        box.config['linux']['seccomp'] = {
            'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': architectures,
            'syscalls': [{'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 123}]}
        box.write()
        result = box.run('run', '--bundle', box.bundle, 'box')
        if len(architectures) == 2:
            assert result.fails(1).err.count('No medium found') == 2, str(result)
        else:
            result.fails(159)  # SIGSYS


def test_personality(arm_box):
    box = arm_box
    box.config['linux']['personality'] = {'domain': 'LINUX32'}
    box.config['process']['args'] = ['uname', '-m']
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'box').ok().out == 'armv8l\n'


@pytest.fixture(scope='module', name='programs')
def fixture_programs(machine):
    """The directory of the machine with all programs of the build for armhf."""
    directory = machine.temporary_directory()
    for name in ('wherry', 'wherry-shim', 'wherry-runtime'):
        program = paths.build_dir('armhf') / name
        assert program.exists(), f'{program} is missing: run ./dev build armhf'
        machine.write(f'{directory}/{name}', program.read_bytes(), 0o755)
    yield directory
    machine.remove(directory)


def test_the_runtime_in_32_bits(arm_box, programs):
    """The usual Raspberry Pi OS: programs of 32 bits on a kernel of 64."""
    box = arm_box
    box.command = [f'{programs}/wherry-runtime']
    box.config['linux']['resources'] = {
        'devices': [{'allow': False, 'access': 'rwm'}], 'memory': {'limit': 32 << 20, 'swap': 32 << 20}, 'pids': {'limit': 9}}
    with agent(box, ['mkdir', 'mkdirat'], errno.ENOMEDIUM) as listening:
        box.started('box', 'sleep', '1000')
        assert 'No medium found' in box.run('exec', 'box', 'mkdir', '/tmp/x').fails(1).err
        assert listening.calls(1) == 1
        box.run('exec', 'box', 'busybox-64', 'true').fails(159)  # the profile is for this ABI alone
    box.run('pause', 'box').ok()
    box.run('resume', 'box').ok()
    box.run('update', '--memory', '48M', '--memory-swap', '48M', 'box').ok()
    data = json.loads(box.run('events', '--stats', 'box').ok().out)['data']
    assert data['memory']['usage']['limit'] == 48 << 20 and data['pids'] == {'current': 1, 'limit': 9}


def test_all_of_wherry_in_32_bits(machine, new_engine, registry, arm, programs):
    engine = Engine(machine, new_engine.trust(registry.name), wherry=f'{programs}/wherry')
    try:
        engine.start()
        engine.login(registry.name)
        engine.wherry('pull', '-q', arm).ok()
        assert (engine.inspect(arm)['Architecture'], engine.inspect(arm)['Variant']) == ('arm', 'v7')
        calls = engine.wherry('run', '--rm', '--network', 'none', arm, 'probe', 'syscalls').ok().out
        assert not [name for name in REFUSED if f'{name} allowed' in calls], calls
        name = engine.run_detached('--network', 'bridge', '--memory', '24m', '--cpus', '0.5', '--pids-limit', '9',
                                   '-p', '8099:80', arm, 'sh', '-c', 'mkdir /www; echo page >/www/index.html; '
                                   'httpd -p 80 -h /www; sleep 1000')
        page = machine.wait_for(lambda: machine.run(['wget', '-q', '-O', '-', 'http://127.0.0.1:8099/']).out, 'no page')
        assert page == 'page\n'
        assert engine.wherry('exec', name, 'sh', '-c', 'cat /sys/fs/cgroup/*.max').ok().out.split()[-1] == '9'
        engine.wherry('exec', name, 'probe', 'eat', '64').fails(137)
        engine.kill()
        engine.start()
        stats = json.loads(engine.wherry('stats', '--no-stream', '--format', 'json', name).ok().out)
        assert stats['memory_stats']['limit'] == 24 << 20
        engine.wherry('stop', '-t', '0', name).ok()
        engine.wherry('rm', name).ok()
        assert machine.run([f'{programs}/wherry', 'check']).code == 0
        engine.assert_nothing_left()
    finally:
        engine.close()
