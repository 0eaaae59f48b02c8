"""Power cuts in short: ./dev crash does this with thousands of cuts and kills. And proof that the judge can fail."""

import dataclasses
import random
import shutil
import struct

import pytest

from crash import campaign, judge, machine, scenario, store_check, writelog


@pytest.fixture(scope='module')
def crash_server():
    server = machine.Server()
    yield server
    server.close()


def record_and_judge(setting, server, cuts, kills=0):
    """A campaign; returns its tally."""
    tally = campaign.Tally()
    randomness = random.Random(7)
    recording = machine.Recording(setting, server)
    try:
        with judge.for_setting(server, setting) as where:
            known = campaign.replay_recording(recording, where, tally, cuts, randomness)
            campaign.kill_machine(setting, server, where, tally, kills, randomness, recording.seconds, known)
    finally:
        recording.close()
    return tally


@pytest.mark.vm
@pytest.mark.parametrize('setting', [
    pytest.param(machine.Setting('6.12', tier='A1'), id='vm-6.12'),
    pytest.param(machine.Setting('6.1', tier='B'), id='vm-6.1')])
def test_every_cut_leaves_what_was_committed(crash_server, setting):
    tally = record_and_judge(setting, crash_server, cuts=15, kills=1)
    assert (tally.cuts, tally.failures) == (20, [])


@pytest.mark.vm
@pytest.mark.parametrize('setting', [pytest.param(machine.Setting('6.12', verity=True), id='vm-6.12')])
def test_the_same_with_sealed_objects(crash_server, setting):
    tally = record_and_judge(setting, crash_server, cuts=5)
    assert (tally.cuts, tally.failures) == (5, [])


@pytest.mark.vm
@pytest.mark.parametrize('setting', [pytest.param(machine.Setting('6.12', nosync=True), id='vm-6.12')])
def test_without_syncs_losses_are_found(crash_server, setting):
    """The control: the same with a daemon whose syncs do nothing."""
    tally = record_and_judge(setting, crash_server, cuts=30)
    problems = [problem for _, found in tally.failures for problem in found]
    assert any(problem.endswith('is lost') for problem in problems), problems


# The judge itself, without a virtual machine

@pytest.fixture(scope='module')
def whole_store(crash_server, tmp_path_factory):
    """A copy of a store with all images."""
    place = tmp_path_factory.mktemp('crash')
    machine.make_disk(place / 'disk', 'ext4')
    with judge.on_host(crash_server, machine.Setting()) as where:
        problems, _ = where.inspect((place / 'disk').read_bytes(), '', again=True, copy_to=place / 'store')
    assert problems == []
    return place / 'store'


@pytest.fixture
def store(whole_store, tmp_path):
    shutil.copytree(whole_store, tmp_path / 'store', symlinks=True)
    return tmp_path / 'store'


def first(store, pattern):
    return min(store.glob(pattern))


def largest_object(store):
    return max(store.glob('obj/*/*'), key=lambda path: path.stat().st_size)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def truncate(path):
    path.chmod(0o600)
    path.write_bytes(b'')


DAMAGES = {
    'object of other content': lambda store: flip(largest_object(store)),
    'object of no length': lambda store: truncate(largest_object(store)),
    'no object': lambda store: largest_object(store).unlink(),
    'index': lambda store: flip(first(store, 'layer/*.idx')),
    'headers': lambda store: truncate(first(store, 'layer/*.tar')),
    'no headers': lambda store: first(store, 'layer/*.tar').unlink(),
    'metadata image': lambda store: flip(first(store, 'layer/*.erofs')),
    'record': lambda store: flip(first(store, 'img/*')),
    'names': lambda store: flip(store / 'refs'),
    'name of nothing': lambda store: first(store, 'img/*').unlink(),
    'garbage in txn': lambda store: (store / 'txn/9').mkdir(),
    'garbage in layer': lambda store: (store / f'layer/{"0" * 64}.idx').write_bytes(b''),
    'garbage in tree': lambda store: (store / f'tree/{"0" * 64}').mkdir(),
    'garbage in obj': lambda store: (largest_object(store).parent / 'x').write_bytes(b''),
    'quarantine': lambda store: [(store / 'quarantine').mkdir(), (store / 'quarantine/x').write_bytes(b'')],
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_judge_finds(store, damage):
    whole = store_check.check(store)
    assert whole.problems == [] and len(whole.images) == 3
    DAMAGES[damage](store)
    assert store_check.check(store, whole.prints).problems


def test_states_after_steps(whole_store, crash_server):
    """What is right after one step is wrong after another."""
    state = store_check.check(whole_store)
    digests = {key: image.digest.removeprefix('sha256:') for key, image in scenario.images().items()}

    def wrong(mark, names, images=None):
        refs = {f'{crash_server.name}/{name}': digests[key] for name, key in names.items()}
        kept = {digests[key]: [] for key in images or names.values()}
        return scenario.wrong(mark, dataclasses.replace(state, refs=refs, images=kept), crash_server.name)

    steps = scenario.steps()
    assert wrong('', {}) == [] and wrong('done 0', {}) == []
    for number, step in list(enumerate(steps))[1:]:
        before = steps[number - 1].names
        assert wrong(f'begin {number}', before) == [] == wrong(f'begin {number}', step.names)
        assert wrong(f'done {number}', step.names) == []
        assert wrong(f'done {number}', before), step.command
    assert wrong('begin 1', {}, [scenario.steps()[1].names['app:1']]) == [], 'a record without its name'
    assert wrong('done 1', steps[3].names), 'an image from the future'


def entry_of(log, offset, data, flags=0):
    log += struct.pack('<QQQQ', offset // 512, len(data) // 512, flags, 0).ljust(512, b'\0') + data


def test_replay_of_a_log(tmp_path):
    log = bytearray(struct.pack('<QQQI', writelog.MAGIC, 1, 4, 512).ljust(512, b'\0'))
    entry_of(log, 0, b'a' * 8192)
    entry_of(log, 0, b'', writelog.FLUSH)
    entry_of(log, 4096, b'b' * 8192)
    entry_of(log, 16384, b'c' * 4096)
    log += b'\1' * 100  # cut short
    (tmp_path / 'log').write_bytes(log)
    read = writelog.Log(tmp_path / 'log')
    assert [(entry.offset, entry.size) for entry in read.entries] == [(0, 8192), (0, 0), (4096, 8192), (16384, 4096)]
    assert read.flushes() == [2]

    def pages(cut, seed=0):
        disk = writelog.Replay(bytes(20480), read).disk(cut, random.Random(seed))
        assert len(disk) == 20480 and all(len(set(disk[at:at + 4096])) == 1 for at in range(0, 20480, 4096))
        return bytes(disk[::4096]).replace(b'\0', b'.').decode()

    assert pages(writelog.Cut(0)) == '.....'
    assert pages(writelog.Cut(1)) == pages(writelog.Cut(2)) == 'aa...'
    assert pages(writelog.Cut(4)) == 'abb.c'
    before = {pages(writelog.Cut(1, seed), seed) for seed in range(200)}
    assert before == {'.....', 'a....', '.a...', 'aa...'}
    after = {pages(writelog.Cut(4, seed), seed) for seed in range(200)}
    assert after == {f'a{b}{c}.{d}' for b in 'ab' for c in '.b' for d in '.c'}, 'what was flushed stays'
    lies = {pages(writelog.Cut(4, seed, window=4), seed)[0] for seed in range(200)}
    assert lies == {'a', '.'}, 'a disk that lies loses what was flushed too'
    with pytest.raises(ValueError):
        (tmp_path / 'none').write_bytes(bytes(4096))
        writelog.Log(tmp_path / 'none')
