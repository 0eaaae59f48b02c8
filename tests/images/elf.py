"""The smallest useful program: an ELF file that prints a text and ends with status 0."""

import struct

BASE = 0x400000


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


def _armhf(text):
    words = [0xe3a07004,                        # mov r7, #4 (write)
             0xe3a00001,                        # mov r0, #1
             0xe28f1010,                        # add r1, pc, #16: text, 6 instructions further
             0xe3a02000 | len(text),            # mov r2, length
             0xef000000,                        # svc #0
             0xe3a07001,                        # mov r7, #1 (exit)
             0xe3a00000,                        # mov r0, #0
             0xef000000]                        # svc #0
    return struct.pack('<8I', *words)


# Bits, machine and flags of the header, and the code.
MACHINES = {'amd64': (64, 62, 0, _amd64), 'arm64': (64, 183, 0, _arm64), 'armhf': (32, 40, 0x05000400, _armhf)}


def program(arch, text):
    """The file for an architecture."""
    bits, machine, flags, code_of = MACHINES[arch]
    text = text.encode()
    code = code_of(text)
    header_size, segment_size, wide = (64, 56, 'Q') if bits == 64 else (52, 32, 'I')
    headers = header_size + segment_size
    size = headers + len(code) + len(text)
    header = (b'\x7fELF' + bytes([bits // 32, 1, 1]) + b'\0' * 9 +
              struct.pack(f'<HHI3{wide}I6H', 2, machine, 1, BASE + headers, header_size, 0, flags, header_size,
                          segment_size, 1, header_size, 0, 0))
    where = struct.pack(f'<6{wide}', 0, BASE, BASE, size, size, 0x10000)
    load, access = struct.pack('<I', 1), struct.pack('<I', 5)
    # With 32 bits, the flags are the last but one.
    segment = load + access + where if bits == 64 else load + where[:-4] + access + where[-4:]
    return header + segment + code + text
