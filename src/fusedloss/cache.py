"""Compiled kernels on disk: one immutable file per key, written atomically, checked before it is trusted.

A cache is correct or absent. A key is the digest of everything its kernel was made of (see compile.py), so a file is
never stale and never rewritten with other contents; there is no index to race for. Whatever goes wrong here (read-only
disk, full disk, flipped bit) costs a compilation and is counted, and never raises.

`FUSEDLOSS_CACHE_DIR` names the directory; an empty value switches the cache off. The default is the user's cache
directory. Because a cached kernel is code, a directory that somebody else could write to is not used. Kernels in the
package's own `_prebuilt/` are read as well and never written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

MAX_BYTES = 64 << 20
MAX_AGE_SECONDS = 90 * 86400

stats = Counter()
"""What happened in this process: hits, misses, saved, corrupt, errors."""

_PREBUILT = Path(__file__).parent / "_prebuilt"


def directory() -> Path | None:
    """Where kernels are kept, or None where the cache is switched off. It may not exist yet."""
    named = os.environ.get("FUSEDLOSS_CACHE_DIR")
    if named is not None:
        return Path(named) if named else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "fusedloss" if base else None
    except RuntimeError:  # no home directory
        return None


def refusal(path: Path) -> str | None:
    """Why `path` is not used as the cache directory, or None where nothing speaks against it."""
    try:
        info = os.lstat(path)
    except OSError as error:
        return str(error)
    if not stat.S_ISDIR(info.st_mode):
        return f"{path} is not a directory"
    if hasattr(os, "getuid") and (info.st_uid != os.getuid() or info.st_mode & 0o022):
        return f"{path} belongs to, or is writable by, somebody else: a planted kernel would run (chmod 700 it)"
    return None


def load(key: str) -> bytes | None:
    """The kernel stored under `key`, or None."""
    own = directory()
    places = [_PREBUILT] if own is None or refusal(own) else [own, _PREBUILT]
    for place in places:
        path = place / f"{key}.kernel"
        try:
            content = path.read_bytes()
        except OSError:
            continue
        digest, payload = content[:32], content[32:]
        if hashlib.sha256(payload).digest() == digest:
            return payload
        stats["corrupt"] += 1
        _remove(path)
    return None


def save(key: str, payload: bytes, place: Path | None = None) -> None:
    """Store `payload` under `key`, whole or not at all."""
    place = place or directory()
    if place is None:
        return
    temporary = None
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if refusal(place):
            raise PermissionError(refusal(place))
        handle, temporary = tempfile.mkstemp(dir=place, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, place / f"{key}.kernel")
        stats["saved"] += 1
        sweep(place)
    except OSError:
        stats["errors"] += 1
        if temporary is not None:
            _remove(temporary)


def sweep(place: Path, max_bytes: int = MAX_BYTES, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
    """Drop the oldest files above `max_bytes` in all, and any older than `max_age_seconds`."""
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.endswith((".kernel", ".part")):
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total, oldest = 0, time.time() - max_age_seconds
    for modified, size, path in sorted(found, reverse=True):
        total += size
        if total > max_bytes or modified < oldest:
            _remove(path)


def clear() -> int:
    """Delete every stored kernel; how many there were."""
    place = directory()
    found = list(place.glob("*.kernel")) if place and place.is_dir() else []
    for path in found:
        _remove(path)
    return len(found)


def _remove(path) -> None:
    try:
        os.unlink(path)
    except OSError:
        stats["errors"] += 1
