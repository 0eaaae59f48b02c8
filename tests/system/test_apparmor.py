"""AppArmor: containers and what is executed in them run under a profile that the kernel has; in the virtual machine."""

import json
import os
import subprocess

import pytest
from harness import debs

pytestmark = pytest.mark.machines('vm-6.12')

SECURITYFS = '/sys/kernel/security'
# Allows all but what it denies, like profiles of Docker's users.
PROFILES = '''
profile wherry-test flags=(attach_disconnected, mediate_deleted) {
  file, network, capability, signal, ptrace, umount,
  deny /etc/passwd r,
}
profile wherry-other flags=(attach_disconnected, mediate_deleted) {
  file, signal,
  deny /etc/group r,
}
'''
SHOW = ['sh', '-c', 'cat /proc/self/attr/current; cat /etc/passwd /etc/group | wc -l']
PASSWD, GROUP = 3, 4  # lines


def compiled():
    """The profiles as the kernel takes them, made on this host."""
    parser = debs.tool('apparmor', 'apparmor_parser')
    features = next(path for path in (parser.parents[2] / 'etc/apparmor.d/abi/3.0', '/etc/apparmor.d/abi/3.0')
                    if os.path.exists(path))
    command = [parser, '--config-file=/dev/null', '--skip-kernel-load', '--skip-cache', '--stdout',
               f'--features-file={features}']
    return subprocess.run(command, input=PROFILES.encode(), capture_output=True, check=True).stdout


@pytest.fixture(scope='module', autouse=True)
def profiles(machine):
    """Loaded while the tests of this file run."""
    if machine.name == 'host':
        yield
        return
    machine.shell(f'mount -t securityfs securityfs {SECURITYFS}').ok()
    machine.write('/run/profiles', compiled())
    machine.shell(f'cat /run/profiles >{SECURITYFS}/apparmor/.load').ok()
    yield
    for name in ('wherry-test', 'wherry-other'):
        machine.shell(f'printf {name} >{SECURITYFS}/apparmor/.remove').ok()
    machine.shell(f'umount {SECURITYFS}; rm /run/profiles').ok()


def confined(result, profile):
    """The program saw this profile, and what it denies was denied."""
    label, lines = result.ok().out.splitlines()
    assert label == f'{profile} (enforce)', str(result)
    denied, kept = ('passwd', GROUP) if profile == 'wherry-test' else ('group', PASSWD)
    assert lines == str(kept) and f"/etc/{denied}': Permission denied" in result.err, str(result)


def test_a_container_of_the_engine(engine, docker_major):
    assert docker_major
    name = engine.run_detached('--security-opt', 'apparmor=wherry-test', engine.busybox, 'sleep', '1000')
    label = engine.machine.read(f'/proc/{engine.state(name)["Pid"]}/attr/current').decode()
    assert label == 'wherry-test (enforce)\n' and engine.inspect(name)['AppArmorProfile'] == 'wherry-test'
    for words in ([], ['--privileged'], ['--user', '1234']):
        confined(engine.wherry('exec', *words, name, *SHOW), 'wherry-test')
    engine.kill()
    engine.start()
    engine.wherry('restart', '-t', '0', name).ok()
    confined(engine.wherry('exec', name, *SHOW), 'wherry-test')
    confined(engine.docker('run', '--rm', '--network', 'none', '--security-opt', 'apparmor:wherry-other',
                           '--security-opt', 'no-new-privileges', engine.busybox, *SHOW), 'wherry-other')
    out = engine.wherry('run', '--rm', '--security-opt', 'apparmor=unconfined', engine.busybox, *SHOW).ok().out
    assert out.split() == ['unconfined', str(PASSWD + GROUP)]
    options = json.loads(engine.docker('info', '--format', '{{json .SecurityOptions}}').ok().out)
    assert 'name=apparmor' in options


def test_a_bundle(box):
    box.config['process'].update(apparmorProfile='wherry-test', noNewPrivileges=True, args=SHOW)
    box.write()
    confined(box.run('run', '--bundle', box.bundle, 'box'), 'wherry-test')
    box.started('box', 'sleep', '100')
    confined(box.run('exec', 'box', *SHOW), 'wherry-test')
    confined(box.run('exec', '--apparmor', 'wherry-other', 'box', *SHOW), 'wherry-other')


def test_a_profile_that_is_not_loaded(engine, box):
    says = r'the AppArmor profile "nowhere" is not loaded: load it with apparmor_parser'
    result = engine.wherry('run', '--rm', '--network', 'none', '--security-opt', 'apparmor=nowhere', engine.busybox, 'true')
    assert len(result.fails(125, says).err.splitlines()) == 1
    box.config['process']['apparmorProfile'] = 'nowhere'
    box.write()
    box.run('run', '--bundle', box.bundle, 'box').fails(1, says)
    box.assert_nothing_left()
    del box.config['process']['apparmorProfile']
    box.started('box', 'sleep', '100')
    box.run('exec', '--apparmor', 'nowhere', 'box', 'true').fails(255, says)


@pytest.mark.machines('host')
def test_a_kernel_without_it(engine, docker_major):
    assert docker_major
    if os.path.exists('/sys/module/apparmor'):
        pytest.skip('this kernel has AppArmor')
    result = engine.wherry('run', '--rm', '--security-opt', 'apparmor=any', engine.busybox, 'true').fails(125, 'needs AppArmor')
    assert len(result.err.splitlines()) == 1
    assert 'apparmor' not in engine.docker('info', '--format', '{{json .SecurityOptions}}').ok().out
