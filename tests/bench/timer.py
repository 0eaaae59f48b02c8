"""Runs a command some times, one after the other, and prints how long each took, in ns."""

import os
import sys
import time


def main():
    count, command = int(sys.argv[1]), sys.argv[2:]
    null = os.open('/dev/null', os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
    for number in range(count):
        words = [word.replace('%', f'b{os.getpid()}x{number}') for word in command]
        began = time.monotonic_ns()
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
        status = os.waitpid(pid, 0)[1]
        taken = time.monotonic_ns() - began
        if status != 0:
            print(f'{words} ended with status {status}', file=sys.stderr)
            return 1
        print(taken)
    return 0


if __name__ == '__main__':
    sys.exit(main())
