"""The one writer of files: whole or not at all, by any number of writers, with nothing left; and paths as given."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import checkpoint, cli, files, plot
from minadder.data.idx import write_idx
from minadder.files import as_path, open_file, read_file, shown, write_file
from minadder.preconditions import check_can_write

WRITERS = {
    "bytes": lambda path: write_file(path, b"new"),
    "arrays": lambda path: checkpoint.write_arrays(path, {"a": np.zeros(3)}),
    "idx": lambda path: write_idx(path, np.zeros(3, np.uint8)),
    "figure": lambda path: plot.save_figure(matplotlib.figure.Figure((1, 1)), path),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
no_root = pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write everywhere")

WRITE_FOR_EVER = """
import itertools, sys
from minadder.files import write_file
for number in itertools.count():
    write_file(sys.argv[1], bytes([number % 256]) * 100_000)
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def assert_whole(content: bytes) -> None:
    assert len(content) == 100_000
    assert len(set(content)) == 1


def test_threads_that_write_one_file_leave_it_whole_at_any_time(tmp_path: Path) -> None:
    path, stop = tmp_path / "file", threading.Event()
    write_file(path, bytes(100_000))
    failed: list[BaseException] = []

    def write(letter: bytes) -> None:
        try:
            while not stop.is_set():
                write_file(path, letter * 50_000, letter * 50_000)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    contents = read_often(path)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    for content in contents:
        assert_whole(content)
    assert names(tmp_path) == ["file"]


def read_often(path: Path) -> list[bytes]:
    """Return what a file holds at 300 moments and more, until it has been seen to change."""
    contents = [path.read_bytes() for _ in range(300)]
    end = time.monotonic() + 60
    while len(set(contents)) < 2:
        assert time.monotonic() < end, "nobody wrote"
        contents.append(path.read_bytes())
    return contents


def test_processes_that_write_one_file_and_are_killed_leave_it_whole_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    processes = [subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)]) for _ in range(2)]
    while not path.exists():
        time.sleep(0.01)
    contents = read_often(path)
    for process in processes:
        process.kill()
        process.wait()
    for content in contents:
        assert_whole(content)
    assert len(names(tmp_path)) <= 3, "each leaves one file at the most"
    write_file(path, b"the last")
    assert names(tmp_path) == ["file"]


def test_what_dead_writers_left_is_deleted_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead = [".file.part", f".file.{'0' * 16}.part"]
    others = [".other.part", f".file.{'0' * 15}.part", "file.part", f".file.txt.{'0' * 16}.part"]
    for name in (*dead, *others):
        (tmp_path / name).write_bytes(b"half")
    living = tmp_path / f".file.{'1' * 16}.part"
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_file(tmp_path / "file", b"new")
        assert names(tmp_path) == sorted([*others, living.name, "file"])
    write_file(tmp_path / "file", b"new")
    assert names(tmp_path) == sorted([*others, "file"])


def test_a_writer_whose_part_is_taken_for_a_dead_ones_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = 0

    def deleted_just_before(descriptor: int, *, blocking: bool = True) -> bool:
        nonlocal locked
        locked += 1
        if locked == 1:
            files.delete_unlocked(next(tmp_path.glob(".file.*")))
        return lock(descriptor, blocking=blocking)

    lock = files.lock_descriptor
    monkeypatch.setattr(files, "lock_descriptor", deleted_just_before)
    write_file(tmp_path / "file", b"new")
    assert locked >= 2
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_writer_whose_part_is_deleted_before_it_is_renamed_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []

    def deleted_just_before(part: Path, target: Path) -> None:
        moved.append(part)
        if len(moved) < 3:
            files.delete_unlocked(part)
        move(part, target)

    move = files.move
    monkeypatch.setattr(files, "move", deleted_just_before)
    write_file(tmp_path / "file", b"new")
    assert len(moved) == 3
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_is_deleted_while_a_file_is_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_folder(part: Path, target: Path) -> None:
        part.unlink()
        target.parent.rmdir()
        move(part, target)

    (tmp_path / "folder").mkdir()
    move = files.move
    monkeypatch.setattr(files, "move", without_folder)
    with pytest.raises(FileNotFoundError, match="cannot write"):
        write_file(tmp_path / "folder" / "file", b"new")


class InUseError(PermissionError):
    """What Windows says where a file that is open should be replaced."""

    def __init__(self, number: int = 5) -> None:
        super().__init__(errno.EACCES, "Access is denied")
        self.winerror = number


@pytest.mark.parametrize("number", [5, 32])
def test_a_file_that_another_program_has_open_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tried = []

    def open_at_first(part: Path, target: Path) -> Path:
        tried.append(part)
        if len(tried) < 4:
            raise InUseError(number)
        return moved(part, target)

    (tmp_path / "file").write_bytes(b"old")
    moved = Path.replace
    monkeypatch.setattr(Path, "replace", open_at_first)
    write_file(tmp_path / "file", b"new")
    assert len(tried) == 4
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@every_writer
def test_a_file_that_stays_open_is_left_and_the_reason_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    def in_use(part: Path, target: Path) -> Path:
        raise InUseError

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", in_use)
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    with pytest.raises(PermissionError, match="Access is denied: another program may have it open") as caught:
        write(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_that_must_not_be_replaced_is_not_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def forbidden(part: Path, target: Path) -> Path:
        tried.append(part)
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as where only a file's owner may

    monkeypatch.setattr(Path, "replace", forbidden)
    with pytest.raises(PermissionError, match="not permitted"):
        write_file(tmp_path / "file", b"new")
    assert len(tried) == 1


@every_writer
def test_where_a_read_only_file_cannot_be_replaced_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError, match="it is read-only"):
        write(tmp_path / "file")
    with pytest.raises(PermissionError, match="it is read-only"):
        check_can_write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_the_system_refuses_to_open_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(place))  # as Windows does

    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        open_file(tmp_path)
    with pytest.raises(PermissionError, match="Permission denied"):
        open_file(tmp_path / "file")


@every_writer
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077, 0o027])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, write: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o666 & ~umask


@every_writer
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o666, 0o755, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, write: Any, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert path.read_bytes() != b"old"
    assert path.stat().st_mode & 0o7777 == mode


@every_writer
def test_links_are_kept_and_what_they_lead_to_is_written(tmp_path: Path, write: Any) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there/file")
    (tmp_path / "link to the link").symlink_to(tmp_path / "link")
    write(tmp_path / "link to the link")
    assert (tmp_path / "link to the link").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() != b"old"
    assert names(tmp_path) == ["link", "link to the link", "there"]
    assert names(tmp_path / "there") == ["file"]


def test_a_link_to_nothing_gets_its_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "there" / "file").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


@every_writer
def test_what_cannot_be_replaced_is_left_alone(tmp_path: Path, write: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    (tmp_path / "null").symlink_to("/dev/null")
    before = names(tmp_path)
    for name in before:
        with pytest.raises(OSError, match="cannot write") as caught:
            write(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    server.close()
    assert names(tmp_path) == before
    assert Path("/dev/null").is_char_device()


def test_the_file_in_which_the_output_lies_is_not_replaced(tmp_path: Path) -> None:
    code = """
import sys
from minadder.files import write_file
print("before", flush=True)
for path in ("/dev/stdout", sys.argv[1]):
    try:
        write_file(path, b"new")
    except OSError as error:
        print(error.strerror)
"""
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], stdout=log, check=True)
    refusal = "cannot write (what the program prints goes there)"
    assert (tmp_path / "log").read_text().splitlines() == ["before", refusal, refusal]
    assert names(tmp_path) == ["log"]


def test_a_missing_folder_and_a_file_in_its_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot write") as caught:
        write_file(tmp_path / "absent" / "file", b"new")
    assert caught.value.filename == str(tmp_path / "absent" / "file")
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="cannot write"):
        write_file(tmp_path / "taken" / "file", b"new")


@no_root
def test_a_folder_that_cannot_be_written_is_named_and_one_that_cannot_be_listed_is_no_hindrance(tmp_path: Path) -> None:
    try:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError, match="cannot write"):
            write_file(tmp_path / "file", b"new")
        tmp_path.chmod(0o300)
        write_file(tmp_path / "file", b"new")
    finally:
        tmp_path.chmod(0o700)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("letter", ["a", "é", "中", "\udcff"])
def test_names_may_be_as_long_as_the_system_takes(tmp_path: Path, letter: str) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    name = letter * (longest // len(os.fsencode(letter)))
    left = tmp_path / f".{files.short_name(tmp_path / name)}.{'0' * 16}.part"
    left.write_bytes(b"half")
    write_file(tmp_path / name, b"new")
    assert names(tmp_path) == [name]
    with pytest.raises(OSError, match="File name too long"):
        write_file(tmp_path / (name + letter), b"new")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a[b]", "*", "a\nb", "a.*", "(", "%s{}", " ", "-"])
def test_names_are_no_patterns(tmp_path: Path, name: str) -> None:
    (tmp_path / f".{name}.{'0' * 16}.part").write_bytes(b"half")
    write_file(tmp_path / name, b"new")
    assert names(tmp_path) == [name]


@every_writer
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError("no number"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, error: BaseException, where: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[where], fail)
    with pytest.raises(type(error)) as caught:
        write(tmp_path / "file")
    if isinstance(error, OSError):
        assert f"cannot write ({error.strerror or error})" in str(caught.value)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(files, "flush_folder", refuse)
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_system_without_locks_keeps_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *, blocking: bool = True) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    left = tmp_path / f".file.{'0' * 16}.part"
    left.write_bytes(b"half")
    monkeypatch.setattr(files, "lock_descriptor", refuse)
    write_file(tmp_path / "file", b"new")
    assert names(tmp_path) == [left.name, "file"]


def test_a_file_that_is_too_large_for_the_disk_leaves_the_old_one(tmp_path: Path) -> None:
    code = """
import resource, sys
from minadder.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_file(sys.argv[1], bytes(100_000))
"""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "cannot write (File too large)" in result.stderr
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_a_writer_that_is_stopped_by_the_keyboard_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], stderr=subprocess.DEVNULL)
    while not path.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait()
    assert_whole(path.read_bytes())
    write_file(path, b"new")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("path", [None, 3, 2.5, True, b"bytes", ["a"], object()])
def test_what_is_no_path_is_a_type_error_that_names_the_argument(path: Any) -> None:
    with pytest.raises(TypeError, match=f"--out must be a str or a Path, not .* of type {type(path).__name__}"):
        as_path(path, "--out")


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", "~nobody-of-this-name/x"])
def test_what_can_be_no_path_is_a_value_error_that_names_the_argument(path: str) -> None:
    with pytest.raises(ValueError, match=r"--out (must|is)"):
        as_path(path, "--out")


def test_the_home_folder_stands_for_its_sign_and_only_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~") == tmp_path
    assert as_path(Path("~/a/~")) == tmp_path / "a" / "~"
    assert as_path("a/~") == Path("a/~")
    assert as_path(as_path("./~")) == Path.cwd() / "~"
    write_file("~/file", b"new")
    assert names(tmp_path) == ["file"]
    assert read_file("~/file", 3) == b"new"


def test_without_a_home_folder_its_sign_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(ValueError, match="nobody knows the home folder that ~ stands for"):
        as_path("~/file")
    assert as_path("file") == Path("file")


COMMANDS = {
    "train": ["mlp"],
    "toy": ["ball"],
    "analyse": ["variance"],
    "theory": ["propositions"],
    "sweep": ["eta"],
    "bench": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_folders_of_commands_are_paths_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = [command, *COMMANDS[command]]
    assert cli.parser().parse_args([*words, "--out=~/run"]).out == tmp_path / "run"
    for path in ("", "~nobody-of-this-name/run"):
        with pytest.raises(SystemExit):
            cli.parser().parse_args([*words, f"--out={path}"])
        assert "argument --out: the path " in capsys.readouterr().err


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0~"), min_size=1))
def test_any_other_text_is_taken_as_it_is(text: str) -> None:
    assert as_path(text) == Path(text)


@given(st.text())
def test_what_is_shown_is_printable_and_plain_names_are_as_they_are(text: str) -> None:
    assert shown(text).isprintable()
    assert shown("cat 中") == "cat 中"


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"absent: there is no such file"):
        open_file(tmp_path / "absent")
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        open_file(tmp_path)
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not an ordinary file") as caught:
            open_file(place)
        assert caught.value.filename == str(place)


def test_a_file_is_read_no_further_than_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 36)  # sparse: it takes no room on the disk, and must take none in memory
    with pytest.raises(ValueError, match=f"file has {1 << 36} bytes, expected are at most 100"):
        read_file(path, 100)
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(ValueError, match="has 5 bytes, expected are at most 4"):
        read_file(path, 4)
