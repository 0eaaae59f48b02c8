"""Sizes of the stripped binaries against their budgets, and what each library contributes.

size.py prints the table; budgets() is what the test checks.
"""

import collections
import pathlib
import re
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]

# (target, program): bytes. Targets without a row are shown, not judged.
BUDGETS = {
    ('aarch64', 'wherry'): 3_300_000,
    ('armhf', 'wherry'): 2_400_000,
    ('aarch64', 'wherry-shim'): 40_000,
    ('armhf', 'wherry-shim'): 40_000,
    ('aarch64', 'wherry-runtime'): 440_000,
}
TARGETS = ('aarch64', 'armhf', 'armel')
PROGRAMS = ('wherry', 'wherry-shim', 'wherry-runtime')

# An input section of the linker's map: its name, then address, size and file, maybe on the next line.
_SECTION = re.compile(r'^ (\.[\w.$*-]+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)', re.MULTILINE)
_LLD_SECTION = re.compile(r'^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ +(\S+):\((\.[^)]+)\)$', re.MULTILINE)
_NOT_LOADED = ('.bss', '.tbss', '.debug', '.comment', '.note.GNU', '.ARM.attributes', '.gnu.warning')


def binary(target, program):
    return REPO / 'build' / target / program


def libraries(target, program):
    """Bytes in the file by library, largest first, from the linker's map."""
    text = binary(target, program + '.map').read_text(encoding='utf-8', errors='replace')
    total = collections.Counter()
    for name, address, size, origin in sections(text):
        if int(address, 16) and not name.startswith(_NOT_LOADED):
            total[library_of(origin)] += int(size, 16)
    return total.most_common()


def sections(text):
    """Name, address, size and origin of each section that went into the program, as GNU ld or lld tell."""
    gnu = text.split('Linker script and memory map', 1)
    if len(gnu) == 2:
        return _SECTION.findall(re.sub(r'^( \.[^\s]+)\n', r'\1', gnu[1], flags=re.MULTILINE))
    return [(name, address, size, origin) for address, size, origin, name in _LLD_SECTION.findall(text)]


def library_of(origin):
    archive = re.match(r'.*?([^/]+)\.a\(', origin)
    if archive:
        return archive.group(1).removeprefix('lib')
    return 'start files' if re.search(r'crt\w*\.o$', origin) else 'main'


def budgets():
    """(target, program, size, budget) for each budget whose binary exists; size None if it does not."""
    rows = []
    for (target, program), budget in BUDGETS.items():
        path = binary(target, program)
        rows.append((target, program, path.stat().st_size if path.exists() else None, budget))
    return rows


def main():
    for program in PROGRAMS:
        for target in TARGETS:
            path = binary(target, program)
            if not path.exists():
                continue
            size, budget = path.stat().st_size, BUDGETS.get((target, program))
            judged = f'{size / budget:.0%} of {budget:,}' if budget else ''
            print(f'{size:12,}  {program} {target}  {judged}')
            for library, share in libraries(target, program):
                print(f'{share:12,}    {library}')
    return 1 if any(size is not None and size > budget for *_, size, budget in budgets()) else 0


if __name__ == '__main__':
    sys.exit(main())
