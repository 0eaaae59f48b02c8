"""Limits and counters of wherry-runtime where all controllers are on cgroup v2: in the virtual machine."""

import json
import time

import pytest

pytestmark = pytest.mark.machines('vm-6.12')

MB = 1 << 20
# The kernel writes the buffer of dd, so all of it is taken.
TAKE_64_MB = 'dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null'


@pytest.fixture(name='disk')
def fixture_disk(machine):
    """Major and minor number of the disk below the bundle."""
    return tuple(map(int, machine.read('/sys/block/vdb/dev').decode().split(':')))


@pytest.fixture(name='hugepages')
def fixture_hugepages(machine):
    machine.shell('echo 6 >/proc/sys/vm/nr_hugepages').ok()
    yield
    machine.shell('echo 0 >/proc/sys/vm/nr_hugepages').ok()


def limit(box, **resources):
    box.config['linux']['resources'] = resources


def run(box, script):
    box.config['process']['args'] = ['sh', '-c', script]
    box.write()
    return box.run('run', '--bundle', box.bundle, 'box')


def update(box, **resources):
    command = [*box.command, '--root', box.root, 'update', '--resources', '-', 'box']
    return box.machine.run(command, input=json.dumps(resources))


def stats(box):
    event = json.loads(box.run('events', '--stats', 'box').ok().out)
    assert (event['type'], event['id']) == ('stats', 'box')
    return event['data']


def test_every_limit_is_in_the_cgroup(box, disk):
    device = {'major': disk[0], 'minor': disk[1]}
    limit(box, memory={'limit': 64 * MB, 'reservation': 32 * MB, 'swap': 96 * MB},
          cpu={'shares': 512, 'quota': 50000, 'period': 200000, 'burst': 10000, 'cpus': '1', 'mems': '0'},
          pids={'limit': 33},
          blockIO={'weight': 500, 'throttleReadBpsDevice': [{**device, 'rate': 3 * MB}],
                   'throttleWriteIOPSDevice': [{**device, 'rate': 70}]},
          hugepageLimits=[{'pageSize': '2MB', 'limit': 4 * MB}],
          unified={'memory.high': str(48 * MB), 'memory.oom.group': '1'})
    box.started('box', 'sleep', '100')
    wanted = {'memory.max': 64 * MB, 'memory.low': 32 * MB, 'memory.swap.max': 32 * MB, 'memory.high': 48 * MB,
              'memory.oom.group': 1, 'cpu.weight': 59, 'cpu.max': '50000 200000', 'cpu.max.burst': 10000,
              'cpuset.cpus': 1, 'cpuset.mems': 0, 'pids.max': 33, 'io.weight': 'default 4950',
              'io.max': f'{disk[0]}:{disk[1]} rbps={3 * MB} wbps=max riops=max wiops=70',
              'hugetlb.2MB.max': 4 * MB, 'hugetlb.2MB.rsvd.max': 4 * MB}
    assert {file: box.cgroup(file) for file in wanted} == {file: str(value) for file, value in wanted.items()}
    assert box.run('exec', 'box', 'grep', 'Cpus_allowed_list', '/proc/self/status').ok().out.split()[1] == '1'

    update(box, memory={'limit': 80 * MB, 'swap': 80 * MB}, cpu={'quota': 8000, 'period': 100000, 'burst': 2000, 'cpus': '0'},
           pids={'limit': -1}, blockIO={'throttleReadBpsDevice': [{**device, 'rate': 0}]},
           unified={'memory.high': 'max'}).ok()
    box.run('update', '--memory-reservation', '16M', '--cpu-share', '1024', '--blkio-weight', '10', 'box').ok()
    box.run('update', '--cpu-idle', '1', 'box').ok()
    changed = {'memory.max': 80 * MB, 'memory.swap.max': 0, 'memory.high': 'max', 'memory.low': 16 * MB,
               'cpu.max': '8000 100000', 'cpu.max.burst': 2000, 'cpu.idle': 1, 'cpuset.cpus': 0, 'pids.max': 'max',
               'io.weight': 'default 1', 'io.max': f'{disk[0]}:{disk[1]} rbps=max wbps=max riops=max wiops=70'}
    assert {file: box.cgroup(file) for file in changed} == {file: str(value) for file, value in changed.items()}
    assert box.run('exec', 'box', 'grep', 'Cpus_allowed_list', '/proc/self/status').ok().out.split()[1] == '0'


def test_an_update_that_fails_changes_nothing(box, disk):
    device = {'major': disk[0], 'minor': disk[1]}
    limit(box, memory={'limit': 64 * MB, 'swap': 64 * MB}, cpu={'quota': 50000, 'burst': 7000},
          blockIO={'throttleWriteIOPSDevice': [{**device, 'rate': 70}]})
    box.started('box', 'sleep', '100')
    files = ['memory.max', 'memory.swap.max', 'memory.low', 'cpu.weight', 'cpu.max', 'cpu.max.burst',
             'cpuset.cpus.effective', 'pids.max', 'io.weight', 'io.max', 'hugetlb.2MB.max']
    before = {file: box.cgroup(file) for file in files}
    change = {'memory': {'limit': 80 * MB, 'swap': 96 * MB, 'reservation': 16 * MB},
              'cpu': {'shares': 512, 'quota': 8000, 'burst': 2000, 'cpus': '1'}, 'pids': {'limit': 9},
              'blockIO': {'weight': 10, 'throttleReadBpsDevice': [{**device, 'rate': MB}]},
              'hugepageLimits': [{'pageSize': '2MB', 'limit': 4 * MB}]}
    update(box, **change, unified={'memory.high': 'much'}).fails(1, 'cannot set memory.high to "much": .*Invalid argument$')
    assert {file: box.cgroup(file) for file in files} == before
    update(box, **change).ok()
    assert all(box.cgroup(file) != value for file, value in before.items())


def test_a_program_that_takes_too_much_is_killed_and_told(box):
    limit(box, memory={'limit': 16 * MB, 'swap': 16 * MB})
    run(box, TAKE_64_MB).fails(137)
    box.started('box', 'sh', '-c', f'while [ ! -e /tmp/go ]; do sleep 0.1; done; {TAKE_64_MB}; echo $?; sleep 100')
    events = box.machine.start([*box.command, '--root', box.root, 'events', '--interval', '1h', 'box'])
    box.machine.wait_for(lambda: 'inotify' in box.machine.shell('ls -l /proc/[0-9]*/fd 2>/dev/null').out, 'no follower')
    box.run('exec', 'box', 'touch', '/tmp/go').ok()
    assert json.loads(events.read_until(rb'\n', 60).string) == {'type': 'oom', 'id': 'box'}
    box.machine.wait_for(lambda: box.read('out') == '137\n', 'the program has not ended')
    data = stats(box)['memory']
    assert data['usage']['limit'] == data['swap']['limit'] == 16 * MB
    assert 0 < data['usage']['usage'] <= data['usage']['max'] <= 16 * MB and data['usage']['failcnt'] == 1
    box.run('kill', 'box', 'KILL').ok()
    assert events.wait(60) == 0


def test_a_limit_below_what_is_used(box):
    limit(box, memory={'limit': 64 * MB, 'swap': 64 * MB})
    box.started('box', 'sh', '-c', 'dd if=/dev/zero of=/tmp/x bs=1M count=24 2>/dev/null; echo done; sleep 100')
    box.machine.wait_for(lambda: box.read('out') == 'done\n', 'the memory is not taken')
    update(box, memory={'limit': 8 * MB, 'swap': 8 * MB, 'checkBeforeUpdate': True}).fails(1, 'not above the [0-9]+ bytes in use')
    assert box.cgroup('memory.max') == str(64 * MB) and box.state('box')['status'] == 'running'
    memory = stats(box)['memory']
    assert memory['usage']['usage'] > memory['cache'] >= memory['raw']['shmem'] == 24 * MB
    update(box, memory={'limit': 8 * MB, 'swap': 8 * MB}).ok()  # the kernel makes room as it can
    box.wait_for('box', 'stopped')


def test_processes(box):
    limit(box, pids={'limit': 5})
    box.started('box', 'sh', '-c', 'for i in 1 2 3 4; do sleep 100 & done; exec sleep 100')
    box.machine.wait_for(lambda: stats(box)['pids'] == {'current': 5, 'limit': 5}, 'not full')
    box.run('exec', 'box', 'true').fails(255, 'clone3|Resource temporarily unavailable')
    box.run('update', '--pids-limit', '7', 'box').ok()
    box.run('exec', 'box', 'true').ok()


def test_processor_time_pressure_and_freezing(box):
    limit(box, cpu={'quota': 10000, 'period': 100000})
    box.started('box', 'sh', '-c', 'while :; do :; done')
    box.machine.wait_for(lambda: stats(box)['cpu']['throttling']['throttledPeriods'] > 5, 'not throttled')
    cpu = stats(box)['cpu']
    assert cpu['throttling']['periods'] >= cpu['throttling']['throttledPeriods']
    assert cpu['usage']['total'] > 0 and cpu['throttling']['throttledTime'] > 0
    for data in (cpu, stats(box)['memory'], stats(box)['blkio']):
        assert set(data['psi']) == {'some', 'full'} and set(data['psi']['full']) == {'avg10', 'avg60', 'avg300', 'total'}
    assert cpu['psi']['some']['total'] > 0
    box.run('pause', 'box').ok()
    used = stats(box)['cpu']['usage']['total']
    time.sleep(0.5)
    assert stats(box)['cpu']['usage']['total'] == used
    box.run('resume', 'box').ok()
    box.machine.wait_for(lambda: stats(box)['cpu']['usage']['total'] > used, 'it stands still')


def test_writing_to_a_disk_takes_its_time(box, disk):
    box.machine.run(['mkdir', f'{box.dir}/data']).ok()
    box.config['mounts'].append({'destination': '/mnt', 'type': 'bind', 'source': f'{box.dir}/data', 'options': ['bind']})
    limit(box, blockIO={'throttleWriteBpsDevice': [{'major': disk[0], 'minor': disk[1], 'rate': MB}]})
    box.started('box', 'sh', '-c', 'dd if=/dev/zero of=/mnt/x bs=256k count=8 oflag=direct 2>/dev/null; cut -d" " -f1 '
                '/proc/uptime; sleep 100')
    began = float(box.machine.read('/proc/uptime').split()[0])
    ended = float(box.machine.wait_for(lambda: box.read('out'), 'it does not end'))
    assert ended - began > 0.8
    blkio = stats(box)['blkio']
    where = {'major': disk[0], 'minor': disk[1], 'op': 'Write'}
    written, = [entry['value'] for entry in blkio['ioServiceBytesRecursive'] if entry == {**entry, **where}]
    times, = [entry['value'] for entry in blkio['ioServicedRecursive'] if entry == {**entry, **where}]
    assert 2 * MB <= written < 4 * MB and times >= 8


@pytest.mark.machines('vm-32')
def test_a_kernel_of_32_bits_is_not_asked_to_slow_a_disk_down(box, disk):
    """It would crash, in the first minutes after boot and on many days thereafter."""
    rate = f'{disk[0]}:{disk[1]} wbps={MB}'
    limit(box, blockIO={'throttleWriteBpsDevice': [{'major': disk[0], 'minor': disk[1], 'rate': MB}]})
    run(box, 'true').fails(1, f'cannot set io.max to "{rate}": kernels of 32 bits crash')
    limit(box, unified={'io.max': rate})
    run(box, 'true').fails(1, 'cannot set io.max')
    limit(box, blockIO={'weight': 300})
    run(box, 'true').ok()


def test_huge_pages(box, hugepages):
    box.config['mounts'].append({'destination': '/mnt', 'type': 'hugetlbfs', 'source': 'x', 'options': ['pagesize=2M']})
    limit(box, hugepageLimits=[{'pageSize': '2MB', 'limit': 4 * MB}])
    box.started('box', 'sh', '-c', 'fallocate -l 4M /mnt/x && echo four; fallocate -l 8M /mnt/y || echo eight; sleep 100')
    box.machine.wait_for(lambda: box.read('out') == 'four\neight\n', 'not all are taken')
    hugetlb = stats(box)['hugetlb']
    assert hugetlb['2MB']['usage'] == 4 * MB and hugetlb['2MB']['failcnt'] >= 1
    assert all(taken == {'usage': 0, 'failcnt': 0} for size, taken in hugetlb.items() if size != '2MB')


@pytest.mark.machines('vm-6.12', 'vm-32')
def test_devices_change_while_it_runs(box, disk):
    device = {'type': 'b', 'major': disk[0], 'minor': disk[1]}
    box.config['linux']['devices'] = [{'path': '/dev/disk', **device}]
    deny = {'allow': False, 'access': 'rwm'}
    limit(box, devices=[deny])
    box.started('box', 'sleep', '100')
    read = ['exec', 'box', 'sh', '-c', 'head -c 1 /dev/zero; head -c 1 /dev/disk']
    box.run(*read).fails(1, 'not permitted')
    update(box, devices=[deny, {'allow': True, **device, 'access': 'r'}]).ok()
    box.run(*read).ok()
    box.run('exec', 'box', 'sh', '-c', ': >>/dev/disk').fails(1, 'not permitted')
    update(box, devices=[deny]).ok()
    box.run(*read).fails(1, 'not permitted')


DIVIDE = 'cd /sys/fs/cgroup && mkdir init other && echo 0 >init/cgroup.procs && echo "+memory +pids" >cgroup.subtree_control ' \
         '&& echo divided; exec sleep 1000'


def test_a_container_that_divides_its_cgroup(box):
    """As systemd does: nothing can be in the cgroup itself any more, so what comes is beside init."""
    box.config['mounts'] += [{'destination': '/sys', 'type': 'sysfs', 'options': ['ro']},
                             {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'options': ['rw']}]
    box.started('box', 'sh', '-c', DIVIDE)
    box.machine.wait_for(lambda: box.read('out') == 'divided\n', lambda: box.read('out.err'))
    assert box.run('exec', 'box', 'cat', '/proc/self/cgroup').ok().out == '0::/init\n'
    assert box.run('exec', '--cgroup', 'other', 'box', 'cat', '/proc/self/cgroup').ok().out == '0::/other\n'
    box.run('update', '--pids-limit', '1', 'box').ok()
    box.run('exec', 'box', 'true').fails(255, 'clone3|Resource temporarily unavailable')
    assert stats(box)['pids'] == {'current': 1, 'limit': 1}
    assert len(json.loads(box.run('ps', '--format', 'json', 'box').ok().out)) == 1


def test_a_container_of_the_engine_that_divides_its_cgroup(engine):
    name = engine.run_detached('--privileged', '--memory', '32m', engine.busybox, 'sh', '-c', DIVIDE)
    engine.machine.wait_for(lambda: engine.wherry('logs', name).out == 'divided\n', 'not divided')
    assert engine.wherry('exec', name, 'cat', '/proc/self/cgroup').ok().out == '0::/init\n'
    engine.wherry('update', '--pids-limit', '20', name).ok()
    engine.wherry('stop', '-t', '0', name).ok()


@pytest.mark.parametrize('resources, says', [
    ({'memory': {'swappiness': 0}}, 'linux.resources.memory.swappiness is not supported'),
    ({'memory': {'swap': 64 * MB}}, 'swap needs a memory limit'),
    ({'cpu': {'cpus': '7'}}, 'cannot set cpuset.cpus to "7"'),
    ({'cpu': {'quota': 10}}, 'cannot set cpu.max to "10 100000": .*Invalid argument'),
    ({'hugepageLimits': [{'pageSize': '3MB', 'limit': 0}]}, 'cannot set hugetlb.3MB.max: .* does not have it'),
    ({'unified': {'memory.nonsense': '1'}}, 'cannot set memory.nonsense: .* does not have it'),
    ({'unified': {'zoo.max': '1'}}, 'controller .zoo. is not available: this kernel has no such controller')])
def test_limits_that_cannot_be(box, resources, says):
    limit(box, **resources)
    run(box, 'true').fails(1, says)
    box.assert_nothing_left()
