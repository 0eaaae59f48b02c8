"""Include edges between directories run downward only."""

import pathlib
import re

import tree

CORE = ('core/base', 'core/sys', 'core/oci', 'core/runtime', 'core/shim')
# Directory: what it may include besides itself. A file belongs to the longest directory that fits.
ALLOWED = {
    'core/base': (),
    'core/sys': ('core/base',),
    'core/oci': ('core/base',),
    'core/runtime': ('core/base', 'core/sys', 'core/oci'),
    'core/oci_runtime': ('core/base', 'core/sys', 'core/oci', 'core/runtime'),
    'core/shim': ('core/base', 'core/sys', 'core/oci', 'core/runtime'),
    'store': CORE[:3],
    'net/dns': CORE[:1],
    'net/http': (*CORE[:2], 'net/tls'),
    'net/link': CORE[:2],
    'net/mqtt': (*CORE[:1], 'net/tls'),
    'net/registry': (*CORE[:3], 'net/http', 'net/tls'),
    'net/tls': CORE[:1],
    'net': (*CORE[:2], 'net/http'),
    'board': CORE[:2],
    'ota': (*CORE[:3], 'store', 'net', 'net/http', 'net/link', 'net/mqtt', 'net/registry', 'net/tls', 'board'),
    'engine/build': ('core/base', 'core/oci'),
    'engine/compose': ('core/base', 'core/oci'),
    'engine/network': (*CORE[:2], 'net/dns', 'net/link'),
    'engine': (*CORE, 'store', 'net', 'net/http', 'net/link', 'net/mqtt', 'net/registry', 'net/tls', 'board', 'ota',
               'engine/build', 'engine/compose', 'engine/network'),
}
ALLOWED['cli'] = tuple(ALLOWED)

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def layer_of(path):
    fitting = [layer for layer in ALLOWED if str(path).startswith(layer + '/')]
    return max(fitting, key=len, default=None)


def check():
    problems = []
    for path in tree.product_sources():
        layer = layer_of(path)
        if layer is None:
            problems.append(f'{path}: its directory is in no row of tests/lint/layers.py')
            continue
        for number, line in tree.numbered(tree.read(path)):
            match = _INCLUDE.match(line)
            if not match:
                continue
            included = pathlib.PurePosixPath(match.group(1))
            if not (tree.REPO / included).is_file():
                problems.append(f'{path}:{number}: "{included}" is not a path from the repository root')
            elif layer_of(included) not in (layer, *ALLOWED[layer]):
                problems.append(f'{path}:{number}: {layer} may not include {included}')
    return problems
