"""How little memory a container can be given: the runtime takes none of it for itself."""

import json

import pytest

pytestmark = pytest.mark.machines('vm-6.12')
LIMIT = 512 * 1024


@pytest.fixture(scope='module', name='bundle')
def fixture_bundle(machine):
    """A bundle whose only program is busybox."""
    directory = machine.temporary_directory()
    machine.shell(f'cd {directory} && mkdir -p rootfs/bin rootfs/proc rootfs/dev rootfs/sys && '
                  f'cp /bin/busybox rootfs/bin/ && {machine.program("wherry-runtime")} spec').ok()
    yield directory
    machine.remove(directory)


def run(machine, bundle, limit, *args):
    spec = json.loads(machine.read(f'{bundle}/config.json'))
    spec['process'].update(args=['/bin/busybox', *args], terminal=False)
    spec['linux']['resources'] = {'memory': {'limit': limit, 'swap': limit}}
    machine.write(f'{bundle}/config.json', json.dumps(spec))
    return machine.run([machine.program('wherry-runtime'), 'run', '--bundle', bundle, 'small'])


def test_a_container_starts_in_512_kb(machine, bundle):
    out = run(machine, bundle, LIMIT, 'cat', '/sys/fs/cgroup/memory.max').ok().out
    assert int(out) == LIMIT
    assert machine.shell('ls /run/wherry-runtime').out == ''


def test_too_little_is_told(machine, bundle):
    """Here the kernel ends the program before its first instruction: while it is set up, or executed."""
    result = run(machine, bundle, 4096, 'true')
    assert result.code == 137 or result.code == 1 and 'memory' in result.err, str(result)
    assert machine.shell('ls /run/wherry-runtime').out == ''
