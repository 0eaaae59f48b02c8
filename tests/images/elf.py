"""The smallest useful program: an ELF file that prints a text and ends with status 0."""

import struct

BASE = 0x400000
HEADERS = 64 + 56


def _amd64(text):
    message = struct.pack('<i', 27)  # from the end of lea to the text behind the code
    return (b'\xb8\x01\0\0\0'              # mov eax, 1 (write)
            b'\xbf\x01\0\0\0'              # mov edi, 1
            b'\x48\x8d\x35' + message[:4] +  # lea rsi, [rip + text]
            b'\xba' + struct.pack('<I', len(text)) +  # mov edx, length
            b'\x0f\x05'                    # syscall
            b'\xb8\x3c\0\0\0'              # mov eax, 60 (exit)
            b'\x31\xff'                    # xor edi, edi
            b'\x0f\x05' + b'\x90' * 11)    # syscall


def _arm64(text):
    words = [0xd2800808,                        # mov x8, #64 (write)
             0xd2800020,                        # mov x0, #1
             0x100000c1,                        # adr x1, text: 6 instructions further
             0xd2800002 | len(text) << 5,       # mov x2, length
             0xd4000001,                        # svc #0
             0xd2800ba8,                        # mov x8, #93 (exit)
             0xd2800000,                        # mov x0, #0
             0xd4000001]                        # svc #0
    return struct.pack('<8I', *words)


MACHINES = {'amd64': (62, _amd64), 'arm64': (183, _arm64)}


def program(arch, text):
    """The file for an architecture."""
    machine, code_of = MACHINES[arch]
    text = text.encode()
    code = code_of(text)
    size = HEADERS + len(code) + len(text)
    header = (b'\x7fELF\x02\x01\x01' + b'\0' * 9 +
              struct.pack('<HHIQQQIHHHHHH', 2, machine, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1,
                          64, 0, 0))
    segment = struct.pack('<IIQQQQQQ', 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return header + segment + code + text
