"""Campaigns: many cuts of many runs, judged one by one."""

import pathlib
import random
import shutil
import tempfile
import time

from . import machine as machines
from . import writelog

AGAIN_EVERY = 25  # one cut in so many is followed by pulling everything again
STOPS = 4  # disks taken from a machine before it is killed


class Tally:
    """Counts cuts and failures, tells how it goes and keeps what failed."""

    def __init__(self, keep=None, out=print, deadline=None):
        self._deadline = deadline
        self._keep = pathlib.Path(keep) if keep else None
        self._out = out
        self.cuts = 0
        self.failures = []  # (where, what is wrong)
        self._told = time.monotonic()

    def late(self):
        """Whether the time for the campaign is over."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def say(self, text):
        self._out(text)

    def add(self, where, problems, save=None):
        """`save(directory)`: copies what is needed to study a failure."""
        self.cuts += 1
        if problems:
            self.failures.append((where, problems))
            self._out(f'FAILED {where}')
            for problem in problems[:10]:
                self._out(f'  {problem}')
            if self._keep and save and len(self.failures) <= 10:
                target = self._keep / str(len(self.failures))
                target.mkdir(parents=True, exist_ok=True)
                (target / 'about.txt').write_text('\n'.join([where, *problems]) + '\n', encoding='utf-8')
                save(target)
                self._out(f'  kept in {target}')
        if time.monotonic() - self._told > 20:
            self._told = time.monotonic()
            self._out(f'... {self.cuts} cuts, {len(self.failures)} failures')

    def summary(self):
        return f'{self.cuts} cuts, {len(self.failures)} failures'


def marks(log, kind):
    """(position after the mark, its text) of all marks in a log."""
    at = machines.FILE_SYSTEM[kind]
    return [(i + 1, log.data(entry).rstrip(b'\0').decode()) for i, entry in enumerate(log.entries)
            if entry.offset == at and entry.at >= 0]


def mark_at(found, position):
    return next((text for place, text in reversed(found) if place <= position), '')


def choose_cuts(log, first, count, randomness, window=0):
    """`count` cuts: up to half of them right before and after flushes, the others random with random losses."""
    flushes = [position for position in log.flushes() if position > first]
    limit = len(log.entries)
    cuts = {writelog.Cut(place, None, window) for position in flushes for place in (position - 1, position)
            if place >= first}
    if len(cuts) > count // 2:
        cuts = set(randomness.sample(sorted(cuts, key=str), count // 2))
    while len(cuts) < count:
        cuts.add(writelog.Cut(randomness.randint(first, limit), randomness.randrange(1 << 30), window))
    return sorted(cuts, key=lambda cut: (cut.position, cut.seed or -1))


def prints_of(recording, log, found, judge):
    """What derived files contain right after they were committed, from disks without any loss."""
    known, problems = {}, []
    replay = writelog.Replay(recording.base.read_bytes(), log)
    for position, text in found:
        if text.startswith('done'):
            wrong, state = judge.inspect(replay.disk(writelog.Cut(position), None), text)
            problems += [f'{text}: {problem}' for problem in wrong]
            for name, content in (state.prints if state else {}).items():
                if known.setdefault(name, content) != content:
                    problems.append(f'{text}: {name} is not always the same')
    return known, problems


def replay_recording(recording, judge, tally, count, randomness, window=0):
    """Judges `count` cuts of a recorded run; returns what derived files contain (prints_of)."""
    log = writelog.Log(recording.log)
    setting = recording.setting
    found = marks(log, setting.fs)
    known, problems = prints_of(recording, log, found, judge)
    tally.say(f'{setting}: {len(log.entries)} writes, {len(log.flushes())} flushes, '
              f'{sum(1 for _, text in found if text.startswith("done"))} steps in {recording.seconds:.0f} s')
    if problems and not setting.nosync:
        tally.add(f'{setting}, disks without loss', problems, recording.keep)
    replay = writelog.Replay(recording.base.read_bytes(), log)
    for number, cut in enumerate(choose_cuts(log, found[0][0], count, randomness, window)):
        if tally.late():
            break
        content = replay.disk(cut, random.Random(cut.seed))
        mark = mark_at(found, cut.position)
        wrong, _ = judge.inspect(content, mark, known, number % AGAIN_EVERY == AGAIN_EVERY - 1)

        def save(target, content=content):
            (target / 'disk').write_bytes(content)
            recording.keep(target)

        tally.add(f'{setting}, {cut}, after "{mark}"', wrong, save)
    return known


def kill_machine(setting, server, judge, tally, count, randomness, seconds, known=None):
    """Judges what is left of `count` machines that were killed, each within `seconds` of its script, and what
    would have been left at some moments before."""
    with tempfile.TemporaryDirectory(prefix='wherry-crash.') as scratch:
        base, disk = pathlib.Path(scratch, 'base'), pathlib.Path(scratch, 'disk')
        machines.make_disk(base, setting.fs, setting.verity)
        for number in range(count):
            if tally.late():
                return
            shutil.copyfile(base, disk)
            moments = sorted(randomness.uniform(0, seconds) for _ in range(STOPS + 1))
            for what, content in machines.kill_at(setting, server, disk, moments):
                mark = machines.read_mark(content, setting.fs)
                again = number % AGAIN_EVERY == AGAIN_EVERY - 1
                wrong, _ = judge.inspect(content, mark, known, again)

                def save(target, content=content):
                    (target / 'disk').write_bytes(content)

                tally.add(f'{setting}, machine {what} and "{mark}"', wrong, save)
