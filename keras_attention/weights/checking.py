"""What every weight file must be, whatever its format."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

MAX_BYTES = 8 << 30
# NumPy's own limit on an array's dimensions.
MAX_DIMENSIONS = 64
# The one integer among the state of networks of convolutions: batch norms of
# PyTorch count their batches.
COUNTER = "num_batches_tracked"
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
# In most file systems. What cannot be unpacked is left there half.
_LONGEST_NAME = 255


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell which weight file is wrong, whatever a decoder says about it.

    Raises:
        ValueError: in place of every error in the block, and naming the file.
            Decoders raise many kinds of errors at damaged input. What says that
            a file or a package is not there, or that memory ran out, stays.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, ImportError, MemoryError):
        raise
    except Exception as error:
        said = str(error) or "damaged"
        if type(error) is not ValueError:
            said = f"{type(error).__name__}: {said}"
        raise ValueError(f"The weight file {path} cannot be used: {said}") from error


def check_file(path: Path) -> None:
    """Raise unless there is a file.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is a folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no weight file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is no file. A weight file is wanted")


def check_total(sizes: Iterable[int], max_bytes: int) -> None:
    """Raise ValueError if declared sizes, in bytes, are above a limit together."""
    total = sum(sizes)
    if total > max_bytes:
        raise ValueError(
            f"it declares {total:,} bytes, more than the {max_bytes:,} that "
            "`max_bytes` or `max_ratio` allows. Give more if the file is to be trusted"
        )


def byte_size(shape: Iterable[int], item_size: int) -> int:
    """Bytes of an array that is not made yet.

    Raises:
        ValueError: no array can have this shape.
    """
    shape = tuple(shape)
    if len(shape) > MAX_DIMENSIONS or any(side < 0 for side in shape):
        raise ValueError(f"no array has the shape {shape}")
    # Without its zeros, so that an empty array cannot have sides beyond NumPy's.
    size = math.prod(side or 1 for side in shape) * item_size
    if size > np.iinfo(np.intp).max:
        raise ValueError(f"no array has the shape {shape}")
    return 0 if 0 in shape else size


def checked_tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a file as the rest of the package wants them.

    Returns:
        {name: array}: 16-bit numbers as float32, counters as int64.

    Raises:
        ValueError: there is none, or one is neither of numbers nor a counter, or
            holds a number that is not finite.
    """
    if not tensors:
        raise ValueError("it holds no tensors")
    return {name: _checked(name, array) for name, array in tensors.items()}


def check_kind(name: str, kind: str) -> None:
    """Raise ValueError unless a tensor may have the dtype of this name.

    Floating dtypes may always be, int64 where it counts batches.
    """
    floating = kind in ("float16", "bfloat16", "float32", "float64")
    counter = kind == "int64" and name.rpartition(".")[2] == COUNTER
    if not floating and not counter:
        raise ValueError(
            f"the tensor {name!r} is of {kind}. Weights are float16, bfloat16, "
            f"float32 or float64, and int64 where they are called {COUNTER!r}"
        )


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    check_kind(name, array.dtype.name)
    if array.dtype.kind == "i":
        return array
    if array.dtype.itemsize == 2:
        array = array.astype("float32")
    check_finite(name, array)
    return array


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise ValueError if an array holds NaN or infinity, in little memory."""
    flat = array.reshape(-1)
    # A mask as large as a tensor is not wanted beside it.
    for start in range(0, flat.size, _CHUNK):
        finite = np.isfinite(flat[start : start + _CHUNK])
        if not finite.all():
            place = start + int(np.argmin(finite))
            raise ValueError(
                f"the tensor {name!r} holds {flat[place]} at "
                f"{tuple(map(int, np.unravel_index(place, array.shape)))}"
            )


def check_zip(path: Path, max_bytes: int, *, stored: bool) -> dict[str, int]:
    """Raise unless a zip file is whole and unpacks to what it declares.

    Args:
        path: the zip file.
        max_bytes: limit of what its members declare together.
        stored: whether only members that are not compressed are allowed.

    Returns:
        {member: bytes}.

    Raises:
        ValueError: a name twice or outside the folder, a member that is encrypted
            or damaged, or sizes above the limit or beyond the file's.
        zipfile.BadZipFile, OSError, zlib.error…: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        sizes = {member.filename: member.file_size for member in members}
        if len(sizes) < len(members):
            raise ValueError("two members of the zip file have one name")
        check_total(sizes.values(), max_bytes)
        for member in members:
            _check_member(member, stored)
        if stored and sum(sizes.values()) > path.stat().st_size:
            raise ValueError("the members of the zip file are larger than the file")
        for member in members:
            _check_sum(archive, member)
    return sizes


def _check_member(member: zipfile.ZipInfo, stored: bool) -> None:
    name = member.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise ValueError(f"the member {name!r} of the zip file leaves its folder")
    if max(len(part.encode(errors="replace")) for part in parts) > _LONGEST_NAME:
        raise ValueError(
            f"the member {name[:40]!r}… of the zip file has too long a name"
        )
    if member.flag_bits & _ENCRYPTED:
        raise ValueError(f"the member {name!r} of the zip file is encrypted")
    if stored and member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"the member {name!r} of the zip file is compressed, which the writer "
            "of such files does not do. Unpack it and store it as it is"
        )


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    # Read to the end, in pieces, for the check sum; more than the declared size
    # is never unpacked.
    left = member.file_size
    with archive.open(member) as content:
        while piece := content.read(_CHUNK):
            left -= len(piece)
    if left:
        raise ValueError(f"the member {member.filename!r} of the zip file is cut off")
