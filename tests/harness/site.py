"""A network that machines with network namespaces of their own are joined by, as by the switch of a site."""

import subprocess


class Site:
    """A bridge in a namespace of its own. The first machine that joins is 192.0.2.11, the next 192.0.2.12."""

    def __init__(self):
        script = 'ip link add site type bridge && ip link set site up && ip link set lo up && echo ready && ' \
                 'exec sleep infinity'
        self._holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', script], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b'ready\n':
            raise RuntimeError('no network namespace: the tests need root')
        self._ports = {}

    def shell(self, script):
        """Runs a script where the switch is."""
        subprocess.run(['nsenter', f'--net=/proc/{self._holder.pid}/ns/net', 'sh', '-ec', script], check=True)

    def join(self, machine):
        """Gives a machine the device `lan`; returns its address."""
        number = 11 + len(self._ports)
        self._ports[machine] = f'port{number}'
        address = f'192.0.2.{number}'
        self.shell(f'ip link add port{number} type veth peer name lan netns {machine.pid_inside()}; '
                   f'ip link set port{number} master site up')
        machine.shell(f'ip address add {address}/24 dev lan && ip link set lan up').ok()
        return address

    def plug(self, machine, there=True):
        """Pulls a machine's cable, or plugs it in again."""
        self.shell(f'ip link set {self._ports[machine]} {"up" if there else "down"}')

    def close(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
