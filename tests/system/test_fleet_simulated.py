"""The fleet tool with many devices: the product's agent, outbox and updater with simulated containers."""

import pytest

from harness.simulated import GROUP, Campaign, place, wait_for

DEVICES = 50


@pytest.fixture
def campaign():
    running = Campaign(DEVICES)
    yield running
    running.close()


def test_waves_with_bad_and_absent_devices(campaign):
    campaign.prepare()
    status = campaign.rollout('100,500,1000', kills=('wave 2 of 3', 'wave 3 of 3'))
    assert status == 0, campaign.fleet.log()
    campaign.check_during()
    assert 'failed: E_HEALTH sensor exited with 3' in campaign.fleet.log()
    campaign.bring_back()
    campaign.check_told()


def test_broker_restarts_and_lost_links(campaign):
    campaign.prepare()
    broker, fleet = campaign.broker, campaign.fleet

    def trouble():
        for wave in (1, 2):
            wait_for(lambda wave=wave: f'wave {wave} of 3' in fleet.log(), 'the wave', 60)
            broker.stop()
            broker.start()
            fleet.say('disconnect', 10, 20)
            fleet.say('connect', 10, 20)

    assert campaign.rollout('100,500,1000', during=trouble) == 0, fleet.log()
    client, campaign.client = campaign.client, broker.client('control')
    client.close()
    campaign.check_during()
    campaign.bring_back()
    states = fleet.states()
    assert sum(state == ('CONFIRMED', 'gateway-2', 2) for state in states.values()) == DEVICES - campaign.bad


def test_too_many_failures_abort(campaign):
    campaign.prepare()
    fleet = campaign.fleet
    release = fleet.release(2, 'web', 'sensor')
    # The one bad device is one of few in the first wave that has it.
    gate = 1 + max(place('gateway-2', device) for device in campaign.failing)
    output = fleet.fleet('rollout', release, '--group', GROUP, '--waves', f'{gate},{gate + 1}', '--min', '1',
                         '--abort-rate', '0', code=1)
    assert 'aborted' in output and 'allowed are 0 %' in output
    wait_for(lambda: all(state[0] in ('CONFIRMED', 'REVERTED', 'CANCELED') for state in fleet.states().values()),
             'the devices do not come to rest')
    assert 'is aborted already' in fleet.fleet('resume', '--group', GROUP, code=1)
    assert 'is aborted' in fleet.fleet('rollout', release, '--group', GROUP, '--waves', f'{gate},{gate + 1}',
                                       '--min', '1', '--abort-rate', '0', code=1)


def test_pause_resume_and_another_controller(campaign):
    campaign.prepare()
    fleet = campaign.fleet
    arguments = ['rollout', fleet.release(2, 'web', 'sensor'), '--group', GROUP, '--waves', '100,1000',
                 '--soak', '3', '--min', '20']
    controller = fleet.start(*arguments)
    wait_for(lambda: 'wave 1 of 2' in fleet.log(), 'the first wave')
    fleet.fleet('pause', '--group', GROUP)
    assert controller.wait(20) == 1
    assert 'another controller has taken the rollout over' in fleet.log()
    assert 'is paused: `wherry fleet resume` lets it go on' in fleet.fleet(*arguments, code=1)
    assert 'is paused: abort it first' in fleet.fleet('assign', fleet.release(3, 'web'), '--group', GROUP, code=1)
    states = fleet.states()
    fleet.fleet('resume', '--group', GROUP)
    assert 'gateway-2 done' in fleet.fleet('watch', '--group', GROUP)
    campaign.check_during()
    assert sum(state[2] == 2 for state in states.values()) < DEVICES // 2
