"""What processes of a machine take in memory."""

import dataclasses

# The processes of these names that see the same mounts: those of the tests beside are in other namespaces.
SCRIPT = r'''
own=$(readlink /proc/self/ns/mnt)
for process in /proc/[0-9]*; do
    read -r name <"$process/comm" || continue
    case " $* " in *" $name "*) ;; *) continue ;; esac
    [ "$(readlink "$process/ns/mnt")" = "$own" ] || continue
    echo "$name $(grep -E '^(Rss|Pss|Private_Clean|Private_Dirty|Anonymous):' "$process/smaps_rollup" | tr -s ' \n' ' ')"
done 2>/dev/null
true
'''


@dataclasses.dataclass
class Memory:
    """Of one process, in kB."""
    name: str
    rss: int
    pss: int
    private: int
    anonymous: int  # the part that does not depend on who else runs the program


def of_processes(machine, names):
    """A Memory for each process with one of these names (15 characters at most, as the kernel keeps them)."""
    found = []
    for line in machine.run(['sh', '-c', SCRIPT, 'sh', *names]).ok().out.splitlines():
        name, *words = line.split()
        values = {key.rstrip(':'): int(value) for key, value in zip(words[::3], words[1::3])}
        if values:
            found.append(Memory(name, values['Rss'], values['Pss'], values['Private_Clean'] + values['Private_Dirty'],
                                values['Anonymous']))
    return found
