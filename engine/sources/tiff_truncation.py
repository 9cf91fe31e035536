"""Truncation of TIFFs: the end of the last tile, from a few bytes of the directory, shows whether a file is whole.

tifffile, which reads local files here, reads the places and sizes of all tiles when it opens a file: of 2.4 million
tiles 24 MB, where 310 bytes tell where the last one ends. Behind an address that is too much to ask of every file.
"""

import struct
from typing import BinaryIO

_OFFSETS, _SIZES = (324, 273), (325, 279)
"""Tags that hold the places and the sizes of all tiles, or of all strips."""
_FORMS = {3: "H", 4: "I", 16: "Q"}


def end_of_last_tile(file: BinaryIO) -> int:
    """Return the first byte after the last tile (or strip) of the first image; 0 if that was never written.

    Only the directory and two numbers are read: the places of all tiles of a large image are megabytes.

    Raises
    ------
    ValueError
        If it is no TIFF, or its directory is cut off.
    """
    try:
        head = _read(file, 0, 16)
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        (magic,) = struct.unpack(order + "H", head[2:4])
        big = {42: False, 43: True}[magic]
        (start,) = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
        tags = _directory(file, start, order, big)
        offset, size = (
            next(_last(file, tags[t], order, big) for t in pair if t in tags) for pair in (_OFFSETS, _SIZES)
        )
    except (KeyError, StopIteration, struct.error) as error:
        raise ValueError(f"no TIFF directory that can be read ({error})") from error
    return offset + size if offset else 0


def _directory(file: BinaryIO, start: int, order: str, big: bool) -> dict[int, tuple[int, int, int]]:
    """Tag → type, number of values, and where the field of its value is."""
    width, form = (20, "HHQ") if big else (12, "HHI")
    first = start + (8 if big else 2)
    (count,) = struct.unpack(order + ("Q" if big else "H"), _read(file, start, first - start))
    entries = _read(file, first, count * width)
    tags = {}
    for i in range(count):
        code, kind, number = struct.unpack_from(order + form, entries, i * width)
        tags[code] = (kind, number, first + i * width + struct.calcsize("<" + form))
    return tags


def _last(file: BinaryIO, tag: tuple[int, int, int], order: str, big: bool) -> int:
    """Return the last of a tag's values; few enough stand in the field itself, more stand where it points."""
    kind, number, field = tag
    form = order + _FORMS[kind]
    size, pointer = struct.calcsize(form), order + ("Q" if big else "I")
    if number * size > struct.calcsize(pointer):
        (field,) = struct.unpack(pointer, _read(file, field, struct.calcsize(pointer)))
    return int(struct.unpack(form, _read(file, field + (number - 1) * size, size))[0])


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
