"""IDX, the file format of MNIST: four magic bytes, the dimensions, then the values.

The magic bytes are 0, 0, the type code and the number of dimensions; each dimension is a big-endian unsigned
32-bit number. Only type code 8 (unsigned bytes) is read and written: it is the one MNIST uses.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from minadder.files import as_path, open_file, shown, write_file

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 8
_MAX_DEFLATE_RATIO = 1032  # deflate spends at least 2 bits on a run of at most 258 bytes
_PIECE = 1 << 20


def read_idx(path: str | os.PathLike[str], *, expected_ndim: int, most: int | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip (told by its content, not by its name).

    Returns a uint8 array that owns its memory, with the shape the header states. Raises FileNotFoundError if
    there is no such file and ValueError, naming the file and the fault, for anything but a whole IDX file with
    ``expected_ndim`` dimensions: wrong magic bytes, type code or number of dimensions, an empty dimension, too
    few or too many bytes, damaged gzip. A header that promises more than the file can hold, or more values than
    ``most``, is refused before memory is taken for it, and a compressed file is never unpacked further than its header
    promises.

    >>> import numpy as np, pathlib, tempfile
    >>> from minadder.data.idx import read_idx, write_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "labels-idx1-ubyte"
    ...     write_idx(file, np.array([5, 0, 4], np.uint8))
    ...     read_idx(file, expected_ndim=1)
    array([5, 0, 4], dtype=uint8)
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no IDX file at {shown(path)}: put it there, or let minadder.data.mnist() find or fetch the files of MNIST"
        )
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        try:
            if most is not None and size > most + _PIECE:
                raise ValueError(f"is another file than expected: it has {size} bytes, for at most {most} values")
            if not packed:
                return _read_stream(file, expected_ndim, size, most)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read_stream(cast(BinaryIO, unzipped), expected_ndim, size * _MAX_DEFLATE_RATIO, most)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{shown(path)} is damaged gzip data: {error}") from error
        except ValueError as error:
            raise ValueError(f"{shown(path)} {error}") from None


def _read_stream(stream: BinaryIO, expected_ndim: int, at_most: int, most: int | None) -> NDArray[np.uint8]:
    """Parse one IDX stream that can hold ``at_most`` bytes; messages of errors begin after the file's name."""
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00":
        raise ValueError(f"is not an IDX file: it begins with {bytes(magic)!r}, expected 0, 0, 8, {expected_ndim}")
    if magic[2] != _UNSIGNED_BYTE:
        raise ValueError(f"has IDX type code {magic[2]}, expected {_UNSIGNED_BYTE} (unsigned bytes)")
    if magic[3] != expected_ndim:
        raise ValueError(f"has {magic[3]} dimensions, expected {expected_ndim}")

    header = _read_up_to(stream, 4 * expected_ndim)
    if len(header) < 4 * expected_ndim:
        raise ValueError(f"is truncated: its header ends after {4 + len(header)} bytes")
    shape = struct.unpack(f">{expected_ndim}I", header)
    if 0 in shape:
        raise ValueError(f"holds no values: its header states the shape {shape}")
    promised = math.prod(shape)
    if most is not None and promised > most:
        raise ValueError(
            f"is another file than expected: its header states the shape {shape}, which takes {promised} bytes, and at "
            f"most {most} are expected"
        )
    if 4 + len(header) + promised > at_most:
        raise ValueError(
            f"is truncated: its header states the shape {shape}, which takes {promised} bytes, "
            f"but the file can hold no more than {max(at_most - 4 - len(header), 0)}"
        )

    # One byte more than promised is asked for: it shows trailing bytes, and makes gzip check its CRC.
    values = _read_up_to(stream, promised + 1)
    if len(values) < promised:
        raise ValueError(f"is truncated: shape {shape} takes {promised} bytes, found {len(values)}")
    if len(values) > promised:
        raise ValueError(f"has trailing bytes after the {promised} that its shape {shape} takes")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_up_to(stream: BinaryIO, count: int) -> bytearray:
    """Up to ``count`` bytes, fewer at the end of the stream. Memory grows with what arrives, not with count."""
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(_PIECE, count - len(content)))
        if not piece:
            break
        content += piece
    return content


def _header(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)


def idx_digest(array: NDArray[np.uint8]) -> str:
    """SHA-256, in hexadecimal, of the uncompressed IDX file that holds ``array``.

    ``read_idx`` accepts no stray byte, so the digest of what it returns is the digest of the file it read.

    >>> import numpy as np
    >>> from minadder.data.idx import idx_digest
    >>> idx_digest(np.array([5, 0, 4], np.uint8))[:8]
    'd229e0bc'
    """
    digest = hashlib.sha256(_header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write_idx(path: str | os.PathLike[str], array: NDArray[np.uint8]) -> None:
    """Write ``array`` as a plain IDX file, whole or not at all; missing folders are made.

    Raises TypeError unless the array holds uint8, and OSError when the file cannot be written.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"an IDX file here holds uint8 values, got an array of {array.dtype}")

    path = as_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _header(array), np.ascontiguousarray(array).data)
