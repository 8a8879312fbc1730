"""A process in which minadder finds what Windows gives it, as far as another system can pretend: `minadder`'s words.

    python tests/as_windows.py train lenet5-bn --data digits --out runs/a

The packages that minadder stands on are imported first, and do as on this system. Then all that only POSIX has is taken
out of `os` and `signal` and hidden from importing, and files get Windows' rules: one that is open can be neither
replaced nor deleted, no folder can be opened, some signs cannot stand in names, no mode can be set by a descriptor.
Text that is read or written without an encoding is an error, since Windows' own is another.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = "_posixshmem _posixsubprocess crypt fcntl grp nis posix pty pwd readline resource spwd syslog termios tty"
"""Python's modules that Windows has not."""

FUNCTIONS = """
WCOREDUMP WEXITSTATUS WIFCONTINUED WIFEXITED WIFSIGNALED WIFSTOPPED WSTOPSIG WTERMSIG chflags chown chroot confstr
ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs getegid geteuid getgid getgrouplist
getgroups getloadavg getpgid getpgrp getpriority getresgid getresuid getsid getuid getxattr initgroups killpg lchown
listxattr lockf login_tty major makedev memfd_create minor mkfifo mknod nice openpty pathconf pipe2 posix_fadvise
posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv register_at_fork removexattr
sched_get_priority_max sched_getaffinity sched_getparam sched_getscheduler sched_setaffinity sched_yield sendfile
set_blocking setegid seteuid setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid setsid setuid
setxattr splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid writev
O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_FSYNC O_LARGEFILE O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW
O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE
"""
"""What `os` has on POSIX alone."""

SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
"""Those that Windows has too."""

SIGNAL_FUNCTIONS = """
alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo
"""

PACKAGES = """
concurrent.futures multiprocessing subprocess numpy.testing numba numba.np.ufunc.parallel sklearn.datasets
matplotlib.figure matplotlib.backends.backend_agg PIL.Image tqdm safetensors.numpy joblib filelock threadpoolctl
"""
"""What minadder imports, with what these import late; on Windows they have ways of their own."""

FORBIDDEN = set('<>:"|?*\\') | {chr(number) for number in range(32)}
"""What no name may hold."""


class WindowsError(PermissionError):
    """Access is denied, as Windows says it."""

    winerror = 5

    def __init__(self, path: Any) -> None:
        super().__init__(errno.EACCES, "Access is denied", str(path))


def take_away() -> None:
    """Take out of Python's modules what Windows has not."""
    for name in PACKAGES.split():
        importlib.import_module(name)
    for name in FUNCTIONS.split():
        if hasattr(os, name):
            delattr(os, name)
    for name in [one for one in dir(signal) if one.startswith("SIG")] + SIGNAL_FUNCTIONS.split():
        if name not in SIGNALS and hasattr(signal, name):
            delattr(signal, name)
    os.supports_fd.discard(os.chmod)
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[assignment,misc]
    for name in MODULES.split():
        sys.modules[name] = None  # type: ignore[assignment]  # importing it is an ImportError now


def is_open(path: Any) -> bool:
    """Return whether this process has a file open."""
    try:
        status = Path(path).stat()
    except OSError:
        return False
    for number in Path("/proc/self/fd").iterdir():
        try:
            if os.path.samestat(os.fstat(int(number.name)), status):
                return True
        except OSError:  # the one that listed them
            continue
    return False


def check_name(path: Any) -> None:
    """Raise OSError for a name that Windows does not take."""
    name = Path(path).name
    if FORBIDDEN & set(name) or name.endswith((" ", ".")):
        raise OSError(errno.EINVAL, "Invalid argument", str(path))


def change_rules() -> None:
    """Have files obey Windows' rules in this process."""
    originals = {
        name: getattr(os, name) for name in ("open", "mkdir", "chmod", "replace", "rename", "remove", "unlink")
    }

    def open_file(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        if flags & os.O_CREAT:
            check_name(path)
        return originals["open"](path, flags, mode, **more)

    def mkdir(path: Any, *rest: Any, **more: Any) -> None:
        check_name(path)
        originals["mkdir"](path, *rest, **more)

    def chmod(path: Any, mode: int, **more: Any) -> None:
        if isinstance(path, int):
            raise TypeError("chmod: path should be string, bytes or os.PathLike, not int")
        originals["chmod"](path, mode, **more)

    def moving(name: str) -> Callable[..., None]:
        def move(source: Any, target: Any, **more: Any) -> None:
            check_name(target)
            for path in (source, target):
                if is_open(path):
                    raise WindowsError(path)
            originals[name](source, target, **more)

        return move

    def deleting(name: str) -> Callable[..., None]:
        def delete(path: Any, **more: Any) -> None:
            if is_open(path):
                raise WindowsError(path)
            originals[name](path, **more)

        return delete

    os.open, os.mkdir, os.chmod = open_file, mkdir, chmod  # type: ignore[assignment]
    os.replace, os.rename = moving("replace"), moving("rename")
    os.remove, os.unlink = deleting("remove"), deleting("unlink")


def pretend() -> None:
    """Make this process one of Windows, for what is imported from now on."""
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"minadder\b")
    take_away()
    change_rules()
    from minadder import files

    files.WINDOWS = True


def main() -> int:
    """Run the command line and return its exit code."""
    sys.argv[0] = str(Path(sys.executable).with_name("minadder.exe"))
    pretend()
    from minadder import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
