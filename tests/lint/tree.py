"""The source files of the repository, as the lints see them."""

import pathlib
import re
import subprocess

REPO = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = ('core', 'store', 'net', 'board', 'ota', 'engine', 'cli')


def files(*suffixes):
    """Tracked and new files as paths relative to the repository, optionally only some suffixes."""
    listing = subprocess.run(['git', '-C', REPO, 'ls-files', '-co', '--exclude-standard'],
                             check=True, capture_output=True, text=True).stdout
    found = sorted({pathlib.PurePosixPath(line) for line in listing.splitlines()})
    return [path for path in found
            if (not suffixes or path.suffix in suffixes) and (REPO / path).is_file()]


def product_sources():
    """The C++ files that are linked into the binaries."""
    return [path for path in files('.h', '.cpp') if path.parts[0] in PRODUCT]


def read(path):
    return (REPO / path).read_text(encoding='utf-8')


_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                     re.DOTALL)
_DIGIT_SEPARATOR = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")


def code(text):
    """C++ text without comments and with empty literals; lines keep their numbers."""
    def blank(match):
        newlines = '\n' * match.group(0).count('\n')
        return newlines if match.group(0).startswith('/') else '""' + newlines

    return _TOKENS.sub(blank, _DIGIT_SEPARATOR.sub('', text))


def numbered(text):
    return enumerate(text.split('\n'), start=1)
