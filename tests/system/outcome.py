"""What a failed operation leaves and says."""

import re


def assert_clean(engine):
    """No image, no layer, no object, no transaction; the daemon still serves."""
    assert engine.images() == []
    left = [path for path in engine.store_files()
            if re.search('/(tree|layer|obj/.|img|txn|quarantine)/', path)]
    assert left == []


def one_clear_error(result, pattern):
    """Failed with code 1 and one line that matches; no trace of internals."""
    result.fails(1, pattern)
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1, f'one error expected\n{result}'
    assert len(lines[0]) < 700, str(result)
