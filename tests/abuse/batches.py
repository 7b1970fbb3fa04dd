"""Record batches, good and bad, and bombs for every codec, without any library that would refuse to make them."""

import gzip
import struct
import time
import zlib

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE.append(_crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(index, value=b"v", key=None, headers=0):
    inner = b"\0" + zigzag(0) + zigzag(index)
    inner += zigzag(-1) if key is None else zigzag(len(key)) + key
    inner += zigzag(len(value)) + value + zigzag(headers) + (zigzag(1) + b"h" + zigzag(0)) * headers
    return zigzag(len(inner)) + inner


def batch(payload=None, count=1, codec=NONE, magic=2, crc=None, last_delta=None, length=None, base=0, producer=-1,
          epoch=-1, sequence=-1, timestamp=None, values=None, attributes=0, max_timestamp=None):
    """A batch v2. Everything can be made wrong; what is not given is right."""
    if values is not None:
        payload, count = b"".join(record(i, v, key=b"k") for i, v in enumerate(values)), len(values)
    if payload is None:
        payload = b"".join(record(i, key=b"k") for i in range(count))
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    max_timestamp = timestamp if max_timestamp is None else max_timestamp
    last_delta = count - 1 if last_delta is None else last_delta
    tail = struct.pack(">hiqqqhii", codec | attributes, last_delta, timestamp, max_timestamp, producer, epoch, sequence,
                       count) + payload
    crc = crc32c(tail) if crc is None else crc
    length = 9 + len(tail) if length is None else length
    return struct.pack(">qiibI", base, length, 0, magic, crc & 0xFFFFFFFF) + tail


def legacy(magic=1):
    """A message of the format before batches."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", 0) if magic else b"") + struct.pack(">i", -1)
    body += struct.pack(">i", 1) + b"v"
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message


def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def bomb(codec, size, head=b""):
    """`head`, then zeros up to `size` bytes, packed as tightly as the codec allows."""
    if codec == GZIP:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        out, left = packer.compress(head), size - len(head)
        zeros = bytes(1 << 20)
        while left > 0:
            out += packer.compress(zeros[:min(left, len(zeros))])
            left -= len(zeros)
        return out + packer.flush()
    if codec == SNAPPY:
        # One literal, then copies of 64 bytes from one byte back (raw snappy, claimed length in front).
        head = head + b"\0"
        out = uvarint(size) + bytes([(len(head) - 1) << 2]) + head
        return out + struct.pack("<BH", 63 << 2 | 2, 1) * ((size - len(head)) // 64)
    if codec == LZ4:
        # Frame 1.5, 64 KiB to 4 MiB blocks, each a literal and one enormous match.
        descriptor = b"\x60\x70"
        out = b"\x04\x22\x4d\x18" + descriptor + bytes([_xxh32(descriptor) >> 8 & 0xFF])
        left = size
        while left > 0:
            block = min(left, 4 << 20)
            start = (head + b"\0")[:15]
            match = block - len(start) - 5 - 19
            inner = bytes([len(start) << 4 | 15]) + start + b"\1\0" + b"\xff" * (match // 255) + bytes([match % 255])
            inner += b"\x50" + bytes(5)
            out += struct.pack("<I", len(inner)) + inner
            left -= block
            head = b""
        return out + bytes(4)
    # zstd: single frame with blocks of one repeated byte, 128 KiB each, window of 128 KiB.
    out = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([7 << 3])
    if head:
        out += (len(head) << 3 | 0).to_bytes(3, "little") + head
    for _ in range(max(size // (128 << 10), 1)):
        out += (((128 << 10) << 3) | 1 << 1).to_bytes(3, "little") + b"\0"
    return out + (1).to_bytes(3, "little")


def zstd_with_window(exponent):
    """A zstd frame that announces a window of 2 to the power of `exponent` and holds one repeated byte."""
    return b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(exponent - 10) << 3]) + (100 << 3 | 3).to_bytes(3, "little") + b"\0"


def _xxh32(data):
    """xxHash32 for fewer than 16 bytes, seed 0: what a frame descriptor needs."""
    mask, acc = 0xFFFFFFFF, (374761393 + len(data)) & 0xFFFFFFFF
    while len(data) >= 4:
        acc = acc + struct.unpack("<I", data[:4])[0] * 3266489917 & mask
        acc = (acc << 17 | acc >> 15) & mask
        acc, data = acc * 668265263 & mask, data[4:]
    for byte in data:
        acc = acc + byte * 374761393 & mask
        acc = (acc << 11 | acc >> 21) & mask
        acc = acc * 2654435761 & mask
    acc = (acc ^ acc >> 15) * 2246822519 & mask
    acc = (acc ^ acc >> 13) * 3266489917 & mask
    return acc ^ acc >> 16


def compressed(codec, values):
    """A right batch in this codec, to show that the rig's own packing is understood."""
    payload = b"".join(record(i, v, key=b"k") for i, v in enumerate(values))
    if codec == GZIP:
        packed = gzip.compress(payload)
    elif codec == SNAPPY:
        packed = uvarint(len(payload)) + bytes([61 << 2]) + struct.pack("<H", len(payload) - 1) + payload
    elif codec == LZ4:
        descriptor = b"\x60\x70"
        packed = b"\x04\x22\x4d\x18" + descriptor + bytes([_xxh32(descriptor) >> 8 & 0xFF])
        packed += struct.pack("<I", len(payload) | 1 << 31) + payload + bytes(4)
    elif codec == ZSTD:
        packed = b"\x28\xb5\x2f\xfd\x00" + bytes([7 << 3]) + (len(payload) << 3 | 1).to_bytes(3, "little") + payload
    else:
        packed = payload
    return batch(packed, len(values), codec)
