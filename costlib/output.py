"""Every file costlib writes is there whole or not at all, and what a killed run left is swept by the next one.

A file is written under a name of its own beside its place, synced, and moved there. Whoever writes holds a lock on what
is unfinished for as long as the process lives; what lies there unlocked was left by one that died. The same holds for
folders of scratch work. A link is never written through: `--out` names the place itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from costlib.errors import CostlibError, RunError, invalid_input

Content = str | bytes | Callable[[IO[bytes]], object]
"""What is written: a text in UTF-8, bytes, or a function that writes into an open file."""

PART = re.compile(r"\.costlib-[a-z0-9_]{8}\.part")
"""Names of unfinished files."""
_SCRATCH = "costlib-run-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_swept: set[tuple[str, str]] = set()


class NoRoomError(RunError):
    """A disk or a quota had no room left; `error` says how."""

    error: OSError


class UnstoredWarning(UserWarning):
    """What was measured is told and stored nowhere; the commands print it and end with exit code 1."""


def cannot_write(field: str, path: Path | str, error: OSError, kept: str = "what was there before") -> CostlibError:
    """The sentence for a place that cannot be written (bad input), or that ran out of room (a failed run)."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        full = NoRoomError(f"{field} {str(path)!r} could not be written ({why}); {kept} is unchanged")
        full.error = error
        return full
    return invalid_input(field, str(path), f"a place that can be written ({why})")


def check_file(path: Path | str, field: str = "out") -> Path:
    """The path, if a file can be made or replaced there; else `InputError`. Call it before the work."""
    file = Path(path)
    try:
        try:
            kind = os.lstat(file).st_mode
        except FileNotFoundError:
            kind = stat.S_IFREG
        if stat.S_ISLNK(kind):
            raise invalid_input(field, str(path), "the file itself, not a link to it")
        if not stat.S_ISREG(kind) or not file.name:
            raise invalid_input(field, str(path), "a file, not a folder or a device")
        if not file.parent.is_dir():
            raise invalid_input(field, str(path), "a file in a folder that exists")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise invalid_input(field, str(path), "a file in a folder that can be written")
    except (OSError, ValueError) as error:  # too long a name, a NUL in it
        raise invalid_input(field, str(path), f"the name of a file ({error})") from None
    return file


def check_folder(folder: Path | str, field: str = "out") -> Path:
    """The folder, if it can be made or written; else `InputError`. Nothing is made yet."""
    place = Path(folder)
    try:
        if place.is_symlink():
            raise invalid_input(field, str(folder), "the folder itself, not a link to it")
        if place.exists() and not place.is_dir():
            raise invalid_input(field, str(folder), "a folder")
        near = next(one for one in (place, *place.absolute().parents) if one.exists())
        with tempfile.TemporaryFile(dir=near):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise invalid_input(field, str(folder), f"a folder that can be written ({why})") from None
    return place


def write_whole(path: Path | str, content: Content, *, field: str = "out", new: bool = False) -> Path:
    """Write one file; see `write_all`. With `new`, `FileExistsError` where there is one of this name already."""
    file = check_file(path, field)
    write_all({file: content}, field=field, new=new)
    return file


def write_all(contents: Mapping[Path, Content], *, field: str = "out", new: bool = False) -> None:
    """Write files that belong together: none is replaced before all are written and synced.

    Raises `InputError` where one cannot be written, `RunError` where there is no room; older files are then unchanged.
    """
    path = Path()
    try:
        with ExitStack() as stack:
            parts = []
            for path, content in contents.items():
                part, file = stack.enter_context(_unfinished(check_file(path, field)))
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
                parts.append((part, path))
            for part, path in parts:
                part.chmod(stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644)
                os.link(part, path) if new else part.replace(path)
            _sync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(field, path, error, "what was stored before" if new else f"an older {path.name}") from None


@contextmanager
def scratch(parent: Path | None = None, prefix: str = _SCRATCH) -> Iterator[Path]:
    """A folder for work in progress, gone at the end; those that killed runs left beside it go, too."""
    place = Path(tempfile.gettempdir() if parent is None else parent)
    sweep(place, re.compile(re.escape(prefix) + "[a-z0-9_]{8}"))
    while True:
        folder = Path(tempfile.mkdtemp(dir=place, prefix=prefix))
        with held(folder) as ours:
            if not ours or not folder.exists():  # swept before it was held
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder for as long as this process lives; False where another process holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def sweep(place: Path, names: re.Pattern[str]) -> None:
    """Remove what dead processes of this user left in a folder under such names; once for each process."""
    if (key := (str(place.absolute()), names.pattern)) in _swept or not place.is_dir():
        return
    _swept.add(key)
    with suppress(OSError):
        for left in list(os.scandir(place)):
            if not names.fullmatch(left.name) or left.is_symlink():
                continue
            with suppress(OSError):
                if left.stat(follow_symlinks=False).st_uid == os.geteuid():
                    _remove_dead(left)


def _remove_dead(left: os.DirEntry[str]) -> None:
    handle = os.open(left.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(handle, sure=True):
            shutil.rmtree(left.path, ignore_errors=True) if left.is_dir() else Path(left.path).unlink()
    finally:
        os.close(handle)


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A locked file beside `path` that is gone at the end, if it was not moved."""
    sweep(path.parent, PART)
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".costlib-", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            if not _lock(handle) or not os.path.exists(name):  # noqa: PTH110 - swept before it was locked
                continue
            try:
                yield Path(name), file
            finally:
                Path(name).unlink(missing_ok=True)
            return


def _lock(handle: int, *, sure: bool = False) -> bool:
    """Whether this process now holds what is open; where a file system knows no locks, all but a sweeper may go on."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not sure
    return True


def _sync(folder: Path) -> None:
    """Make a move last through a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
