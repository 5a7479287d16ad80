"""Detection of damaged image files, by the end markers of the formats and the checksums of a PNG.

A PNG has a checksum for each of its parts and one for its pixels. JPEG, BMP, TIFF and WEBP have none: a changed byte
that leaves them decodable cannot be detected. Needs no TensorFlow.
"""

import re
import zlib

# PNG (Third Edition), section 5: signature, then chunks of length, type, data and checksum.
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_EXTRA = 12
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples per pixel, by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 2**20

# JPEG (ITU T.81), section B.1: a marker is FF and a byte that is neither 00 (a stuffed FF) nor a restart (D0 to D7).
_JPEG_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SCAN, _END, _WITHOUT_LENGTH = 0xDA, 0xD9, (0x01, 0xD8)


def damage(data: bytes) -> str | None:
    """Returns the evidence that an image file is damaged, or None if there is none.

    Bytes after the end of the image (the video of a motion photo, for example) are not checked.

    Args:
      data: contents of a file of any format; only those of PNG and JPEG are checked.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _png_damage(data)
    if data.startswith(_JPEG_START) and not _has_jpeg_end(data):
        return "it is damaged or cut off"
    return None


def _has_jpeg_end(data: bytes) -> bool:
    """Returns whether the end marker follows at least one scan; the segments are read one by one."""
    position, has_scan = len(_JPEG_START) - 1, False
    while match := _MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _END:
            return has_scan
        has_scan |= marker == _SCAN
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2])
    return False


def _png_damage(data: bytes) -> str | None:
    header, pixels = b"", []
    start = len(_PNG_SIGNATURE)
    while (end := start + _CHUNK_EXTRA + int.from_bytes(data[start : start + 4])) <= len(data):
        kind, content = data[start + 4 : start + 8], data[start + 8 : end - 4]
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return "it is damaged: a part does not agree with its checksum"
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            pixels.append(content)
        elif kind == b"IEND":
            return _pixels_damage(header, pixels)
        start = end
    return "it is damaged or cut off"


def _pixels_damage(header: bytes, pixels: list[bytes]) -> str | None:
    """Returns the damage of the pixels, which are inflated up to the number in the header, but not kept; or None."""
    expected = _inflated_bytes(header)
    inflater = zlib.decompressobj()
    inflated = 0
    try:
        for part in pixels:
            rest = part
            while rest and not inflater.eof and inflated <= expected:
                inflated += len(inflater.decompress(rest, _INFLATED_AT_ONCE))
                rest = inflater.unconsumed_tail
    except zlib.error:
        return "it is damaged: its pixels do not agree with their checksum"
    return None if inflated >= expected and (inflater.eof or inflated > expected) else "it is damaged or cut off"


def _inflated_bytes(header: bytes) -> int:
    """Returns the number of bytes of the filtered rows of all passes."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, color_type, interlaced = header[8], header[9], header[12]
    bits = depth * _SAMPLES.get(color_type, 1)
    total = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -(-(width - left) // across)), max(0, -(-(height - top) // down))
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total
