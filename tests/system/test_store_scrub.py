"""The background check of the store."""

import time

import pytest

pytestmark = pytest.mark.machines('host')

WHILE_OTHERS_PRESS = 90  # seconds


@pytest.fixture
def scrubbed(new_engine, registry):
    def make(rate):
        engine = new_engine(new_engine.trust(registry.name) +
                            f'[store]\nscrub-interval = 1s\nscrub-rate = {rate}\n')
        engine.login(registry.name)
        engine.image = f'{registry.name}/busybox'
        engine.wherry('pull', '-q', engine.image).ok()
        return engine
    return make


def largest_object(engine):
    script = f'find {engine.root}/store/obj -type f -printf "%s %p\\n" | sort -n | tail -1'
    return engine.machine.shell(script).ok().out.split()[1]


def test_damage_is_found_and_healed(scrubbed):
    engine = scrubbed('100m')
    path = largest_object(engine)
    engine.machine.shell(f'chmod u+w {path} && printf x | dd of={path} bs=1 seek=1000 conv=notrunc').ok()
    engine.machine.wait_for(lambda: 'has other content' in engine.log(), 'the damage is not found',
                            WHILE_OTHERS_PRESS)
    assert path.split('/store/')[1] in engine.log() and engine.image in engine.log()
    engine.machine.wait_for(
        lambda: engine.wherry('run', '--rm', '--network', 'none', engine.image, 'true').code == 125,
        'the image is still used')
    engine.wherry('store', 'check', '--repair').ok()
    engine.wherry('run', '--rm', '--network', 'none', engine.image, 'true').ok()


def test_it_keeps_to_its_rate_and_ends_at_once(scrubbed):
    engine = scrubbed('64k')

    def bytes_read():
        return int(engine.machine.shell(f'sed -n "s/^rchar: //p" /proc/{engine.pid}/io').out)

    begin, before = time.monotonic(), bytes_read()
    time.sleep(6)
    # It waits while others press on the disk.
    engine.machine.wait_for(lambda: bytes_read() - before > 50_000, 'nothing is read', WHILE_OTHERS_PRESS)
    passed, read = time.monotonic() - begin, bytes_read() - before
    assert read < 64 * 1024 * passed + 400_000, read  # a file may be read in large pieces
    begin = time.monotonic()
    engine.stop()
    assert time.monotonic() - begin < 3 * engine.machine.slow


def test_the_time_of_the_last_check_is_kept(scrubbed):
    engine = scrubbed('100m')
    stamp = f'{engine.root}/store-scrubbed'
    engine.machine.wait_for(lambda: engine.machine.exists(stamp), 'no stamp')
    engine.machine.write(stamp, '1000\n')
    engine.machine.wait_for(lambda: int(engine.machine.read(stamp)) > 10 ** 9, 'no new stamp')
