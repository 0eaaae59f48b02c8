"""A rollout to many simulated devices on one broker: does it end right, how long does it take, what does it send."""

import json
import time

from harness.simulated import Campaign

WAVES = '10,200,1000'


def bench_fleet(options):
    """500 devices, 2 % of them bad and 10 % away; the controller is killed in each wave."""
    campaign = Campaign(options.devices)
    try:
        campaign.prepare()
        before = len(campaign.client.messages)
        began = time.monotonic()
        status = campaign.rollout(WAVES, kills=('wave 1 of 3', 'wave 2 of 3', 'wave 3 of 3'))
        seconds = time.monotonic() - began
        assert status == 0, campaign.fleet.log()
        campaign.check_during()
        campaign.bring_back()
        campaign.check_told()
        messages, size = campaign.traffic(before)
        last = [line for line in campaign.fleet.log().splitlines() if 'done' in line][-1]
    finally:
        campaign.close()
    if options.json:
        print(json.dumps({'fleet': {'devices': options.devices, 'seconds': round(seconds, 1),
                                    'messages_per_device': round(messages, 1), 'bytes_per_device': round(size)}}))
        return 0
    print(f'{options.devices} devices, waves {WAVES}, {campaign.bad} bad, {campaign.away} away, controller killed 3 times')
    print(last)
    print(f'rollout {seconds:.1f} s; those that were away have converged; each device has told its end once')
    print(f'from each device {messages:.1f} messages with {size:.0f} bytes')
    return 0
