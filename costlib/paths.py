"""Where costlib finds its data, notebooks, cache and store, from whatever folder it is started."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    """A folder of the repository, or its copy inside an installed wheel."""
    beside = _PACKAGE.parent / name
    return beside if (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / "_shipped" / name


def data_dir() -> Path:
    """Shapes, rates, speeds, price overrides, studies. `COSTLIB_DATA` moves it."""
    override = os.environ.get("COSTLIB_DATA")
    return Path(override) if override else _shipped("data")


def measurements_dir() -> Path:
    """Committed reference measurements: a store that benchmarks/gpu.py fills and nobody edits."""
    return data_dir() / "measurements"


def notebooks_dir() -> Path:
    """The notebooks papermill executes; never written to."""
    return _shipped("notebooks")


def store_dir() -> Path:
    """Where runs are kept. `COSTLIB_STORE` or `--store` moves it."""
    override = os.environ.get("COSTLIB_STORE")
    if override:
        return Path(override)
    inside_repository = (_PACKAGE.parent / "pyproject.toml").exists()
    return data_dir() / "store" if inside_repository else Path.home() / ".local" / "share" / "costlib" / "store"


def cache_dir() -> Path:
    """Converted demo weights and other things that can be made again. `COSTLIB_CACHE` moves it."""
    override = os.environ.get("COSTLIB_CACHE")
    if override:
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "costlib"
