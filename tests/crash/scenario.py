"""What the machine does until its power is cut, and which states of the store are right after which step."""

import dataclasses
import functools
import random

from harness import oci

DAEMON, APP, OTHER = 'daemon', 'app', 'other'
REGISTRY = 'registry.test'


def _files(directory, seed, count, largest):
    """Entries with contents that depend on `seed` alone; a third of them compress well."""
    source = random.Random(seed)
    entries = [oci.entry(directory, oci.tarfile.DIRTYPE)]
    for number in range(count):
        size = int(largest ** source.random())
        data = source.randbytes(size) if number % 3 else (b'line %d of %s\n' % (number, seed.encode())) * (size // 16)
        entries.append(oci.entry(f'{directory}/{number}', data=data, mode=0o755 if number % 5 == 0 else 0o644))
    entries.append(oci.entry(f'{directory}/link', oci.tarfile.SYMTYPE, linkname='1'))
    entries.append(oci.entry(f'{directory}/hard', oci.tarfile.LNKTYPE, linkname=f'{directory}/2'))
    return entries


def _image(*layers):
    return oci.image([oci.layer(oci.tar(entries)) for entries in layers], 'arm64', Cmd=['/none'])


@functools.cache
def images():
    """(repository, tag) -> image. The second version shares its base and most files with the first."""
    base = _files('base', 'base', 50, 200_000)
    shared = _files('shared', 'shared', 40, 100_000)
    return {(APP, '1'): _image(base, shared + _files('one', 'one', 25, 300_000)),
            (APP, '2'): _image(base, shared + _files('two', 'two', 25, 300_000),
                               [oci.entry('shared/.wh.3'), *_files('more', 'more', 5, 5000)]),
            (OTHER, '1'): _image(base, _files('big', 'big', 3, 1_500_000))}


@dataclasses.dataclass(frozen=True)
class Step:
    """A command, and the names that lead to images after it."""
    command: tuple
    names: dict


def steps():
    """Names are short: repository:tag; values the key of the image."""
    one, two, other = (APP, '1'), (APP, '2'), (OTHER, '1')
    return [
        Step((), {}),  # the daemon starts on an empty disk
        Step(('pull', '-q', 'app:1'), {'app:1': one}),
        Step(('tag', 'app:1', 'app:current'), {'app:1': one, 'app:current': one}),
        Step(('pull', '-q', 'app:2'), {'app:1': one, 'app:current': one, 'app:2': two}),
        Step(('tag', 'app:2', 'app:current'), {'app:1': one, 'app:current': two, 'app:2': two}),
        Step(('rmi', 'app:1'), {'app:current': two, 'app:2': two}),
        Step(('pull', '-q', 'other:1'), {'app:current': two, 'app:2': two, 'other:1': other}),
        Step(('rmi', 'app:2'), {'app:current': two, 'other:1': other}),
        Step(('pull', '-q', 'app:1'), {'app:1': one, 'app:current': two, 'other:1': other}),
        Step(('rmi', 'app:1', 'app:current', 'other:1'), {}),
        Step(('pull', '-q', 'app:2'), {'app:2': two}),
    ]


def script(server, device, offset, prefix='', kind='ext4', options='noatime'):
    """The shell script that runs in the machine. Marks on the disk tell how far it has come."""
    lines = [f'mark() {{ crash-guest mark {device} {offset} "$*"; }}',
             f'mount -t {kind} -o {options} {device} /var/lib/wherry || exit 1',
             'export WHERRY_SOCKET=/run/w.sock',
             'mark begin 0',
             f'{prefix} wherry daemon --config /etc/wherry.conf --root /var/lib/wherry/data --run /run/w '
             '--socket /run/w.sock >/run/daemon.log 2>&1 &',
             'for i in $(seq 600); do wherry ps -q >/dev/null 2>&1 && break; sleep 0.05; done',
             'mark done 0']
    for number, step in list(enumerate(steps()))[1:]:
        words = [f'{server}/{word}' if ':' in word else word for word in step.command]
        lines += [f'mark begin {number}',
                  f'wherry {" ".join(words)} >/run/out 2>&1 || {{ cat /run/out /run/daemon.log; exit 1; }}',
                  f'mark done {number}']
    return '\n'.join(lines)


def wrong(mark, found, server):
    """What a state of the store contradicts, given the last mark before the cut ('' for none)."""
    script_steps = steps()
    digests = {key: image.digest.removeprefix('sha256:') for key, image in images().items()}
    kind, number = mark.split() if mark else ('begin', 0)
    number = int(number)
    before = script_steps[number if kind == 'done' else max(number - 1, 0)].names
    # after a done step the next may have begun, which has no mark yet only if it has done nothing
    after = script_steps[number].names
    problems = []
    had, will = ({digests[key] for key in names.values()} for names in (before, after))
    present = set(found.images)
    problems += [f'image {digest} is lost' for digest in sorted((had & will) - present)]
    problems += [f'image {digest} is there' for digest in sorted(present - (had | will))]
    tags = {name.removeprefix(f'{server}/'): digest for name, digest in found.refs.items() if '@' not in name}
    for name in sorted(set(before) | set(after) | set(tags)):
        allowed = {digests.get(names.get(name)) for names in (before, after)}
        if tags.get(name) not in allowed:
            problems.append(f'the name {name} leads to {tags.get(name)}, not to {allowed}')
    return problems
