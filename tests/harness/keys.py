"""A key in the session keyring of this process and of whatever it starts, which no container may find."""

import ctypes
import os

SECRET = 'wherry-test-secret'

_CALLS = {'x86_64': (248, 250), 'aarch64': (217, 219), 'armv7l': (309, 311)}  # add_key, keyctl
_JOIN_SESSION_KEYRING = 1
_SESSION_KEYRING = -3


def plant():
    """Gives this thread a session keyring of its own that holds the key."""
    add_key, keyctl = _CALLS[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(keyctl, _JOIN_SESSION_KEYRING, None) < 0 or \
            libc.syscall(add_key, b'user', SECRET.encode(), b'x', ctypes.c_size_t(1), _SESSION_KEYRING) < 0:
        raise OSError(ctypes.get_errno(), 'no key can be made: ' + os.strerror(ctypes.get_errno()))
