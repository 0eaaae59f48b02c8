"""The lints as tests: a new one is a row here and a function that returns a list of problems."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
import clang
import layers
import rules

LINTS = {
    'layers': layers.check,
    'headers': rules.headers,
    'calls': rules.calls,
    'build lists': rules.build_lists,
    'TRY': rules.try_macros,
    'text': rules.text,
    'documents': rules.documents,
    'named tests': rules.named_tests,
    'format': clang.formatting,
    'shell': clang.shell,
    'clang-tidy': clang.tidy,
}


@pytest.mark.parametrize('name', LINTS)
def test_lint(name):
    problems = LINTS[name]()
    if problems:
        pytest.fail('\n'.join([*problems[:100], f'{len(problems)} problems']), pytrace=False)
