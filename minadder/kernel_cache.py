"""Compiled kernels on disk: each is compiled once for a machine and loaded afterwards.

Numba's own cache forgets that a helper in another file changed and that a compile option changed, fails on a damaged
file, and may lose what one of two processes compiled. Here the folder's name is a digest of all kernel sources,
versions and options, so that no stale code can be loaded. In it each kernel has a file for every signature and CPU,
with a checksum; it appears at once or not at all, so that any number of processes may share the folder. What cannot be
read is compiled anew, and what cannot be written is not kept. The folder lies in the user's cache, never beside the
sources, so that a read-only installation works.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from minadder.environment import cache_root
from minadder.files import as_path

PACKAGE = Path(__file__).parent

SUFFIX = ".kernel"
FOLDER_NAME = re.compile(r"minadder-[0-9a-f]{16}")
CHECKSUM_BYTES = 32
SECONDS_A_DAY = 86_400
UNUSED_DAYS = 30
"""How long the kernels of another version are kept after their last use."""


def source_digest() -> str:
    """Return a digest of all that the machine code depends on, but the CPU and the kernel's own file and signature."""
    facts = {
        "python": sys.implementation.cache_tag,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "boundscheck": config.BOUNDSCHECK,
        "optimisation": int(config.OPT),
        "vectors": os.environ.get("MINADDER_VECTOR_BITS"),  # see kernels/simd.py
    }
    digest = hashlib.sha256(repr(facts).encode())
    compiler = (Path(__file__).with_name("jit.py"), Path(__file__))
    for path in (*compiler, *sorted((PACKAGE / "kernels").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_parent() -> Path | None:
    """Return where the kernels of all versions lie: `$NUMBA_CACHE_DIR`, or a folder under `cache_root()`, if any."""
    if config.CACHE_DIR:
        return as_path(config.CACHE_DIR, "NUMBA_CACHE_DIR")
    root = cache_root()
    return None if root is None else root / "kernels"


@cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled kernels, made if need be; None when there is none and none can be made.

    Where the folder is there but cannot be written, as one that an administrator filled for all users, kernels are
    loaded from it.
    """
    parent = cache_parent()
    if parent is None:
        return None
    try:
        folder = parent / f"minadder-{source_digest()}"
        new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if new:
        delete_unused(parent)
    elif days_since_use(folder) > 1:
        with contextlib.suppress(OSError):  # another user's folder: let them keep count
            os.utime(folder)
    return folder


@cache
def can_keep() -> bool:
    """Return whether compiled kernels can be written to the cache folder."""
    folder = cache_folder()
    return folder is not None and is_writable(folder)


def is_writable(folder: Path) -> bool:
    """Return whether a file can be written in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError:
        return False
    return True


def days_since_use(folder: Path) -> float:
    """Return for how long no process has started with a folder of kernels, or put one into it."""
    return (time.time() - folder.stat().st_mtime) / SECONDS_A_DAY


def kernel_folders(parent: Path) -> list[Path]:
    """Return the folders of kernels of all versions."""
    return sorted(folder for folder in parent.glob("minadder-*") if FOLDER_NAME.fullmatch(folder.name))


def delete_unused(parent: Path) -> None:
    """Delete the kernels of other versions that nobody has used for long.

    Should a process use one of them after all, it compiles what it misses and makes the folder again.
    """
    for folder in kernel_folders(parent):
        with contextlib.suppress(OSError):  # deleted by another process, or another user's
            if days_since_use(folder) > UNUSED_DAYS:
                shutil.rmtree(folder)


@cache
def file_digest(path: str) -> bytes:
    """Return a digest of a source file."""
    return hashlib.sha256(Path(path).read_bytes()).digest()


class KernelCache(NullCache):
    """One kernel's machine code on disk, as Numba's dispatcher asks for it.

    Parameters
    ----------
    function
        The kernel's Python function.
    folder
        The folder for the files.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self.folder = folder
        self.name = f"{function.__module__.removeprefix('minadder.').removeprefix('kernels.')}.{function.__name__}"
        made_with = [cell.cell_contents for cell in function.__closure__ or ()]
        numbers = repr([value for value in made_with if isinstance(value, int)])  # kernels of one name differ in these
        self.own = file_digest(function.__code__.co_filename) + numbers.encode()  # not all kernels lie in kernels/

    @property
    def cache_path(self) -> str:
        """The folder, under the name that Numba has for it."""
        return str(self.folder)

    def file(self, signature: Any, codegen: Any) -> Path:
        """Return the file for a signature and the CPU that `codegen` compiles for."""
        key = hashlib.sha256(self.own + repr((str(signature), codegen.magic_tuple())).encode())
        return self.folder / f"{self.name}-{key.hexdigest()[:16]}{SUFFIX}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel compiled for a signature, None where there is none or the file is damaged."""
        target_context.refresh()
        try:
            content = self.file(sig, target_context.codegen()).read_bytes()
        except OSError:
            return None
        code = content[CHECKSUM_BYTES:]
        if hashlib.sha256(code).digest() != content[:CHECKSUM_BYTES]:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(code))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled kernel; where that fails it is not kept."""
        if data.library.has_dynamic_globals:  # addresses of this process
            return
        code = dumps(data._reduce())
        target = self.file(sig, data.codegen)
        part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
