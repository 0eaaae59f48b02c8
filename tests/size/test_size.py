"""The binaries fit their budgets and are what they say: static, for their architecture, without symbols."""

import pathlib
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
import size

MACHINES = {'aarch64': 183, 'armhf': 40, 'armel': 40}
PT_INTERP = 3


@pytest.mark.parametrize('target,program,actual,budget', size.budgets(),
                         ids=lambda value: value if isinstance(value, str) else '')
def test_budget(target, program, actual, budget):
    assert actual is not None, f'build/{target}/{program} is missing: ./dev build {target}'
    largest = ', '.join(f'{name} {share:,}' for name, share in size.libraries(target, program)[:6])
    assert actual <= budget, f'{program} for {target}: {actual:,} bytes of {budget:,}; {largest}'


@pytest.mark.parametrize('target', [target for target in size.TARGETS
                                    if (size.REPO / 'build' / target).exists()])
@pytest.mark.parametrize('program', size.PROGRAMS)
def test_static(target, program):
    data = size.binary(target, program).read_bytes()
    wide = data[4] == 2
    machine, = struct.unpack_from('<H', data, 18)
    assert machine == MACHINES[target]
    offset, = struct.unpack_from('<Q' if wide else '<I', data, 32 if wide else 28)
    entry, count = struct.unpack_from('<HH', data, 54 if wide else 42)
    kinds = [struct.unpack_from('<I', data, offset + index * entry)[0] for index in range(count)]
    assert PT_INTERP not in kinds, f'{program} for {target} is not static'
    assert b'.symtab' not in data, f'{program} for {target} has symbols'
