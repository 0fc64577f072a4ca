"""Runs one piece of work in a child process of its own, and turns every way it can end into a value.

A model that crashes the interpreter, is killed for memory or never returns must not take the other configurations
with it. The child is `python -m costlib.isolate module:function FOLDER`; it reads FOLDER/input.json and writes
FOLDER/output.json, so that whatever libraries print cannot be mistaken for a result. Lines of FOLDER/progress are
steps for a progress bar.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costlib.errors import InputError
from costlib.output import scratch

_POLL_S = 0.1
GRACE_S = (5.0, 30.0)
"""Seconds above its budget in which a child may still end by itself: as long as it took to start, within these."""
_TAIL = 2000
_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""GPUs are counted as the driver counts them: CUDA would call the fastest one number 0."""
_NO_MEMORY = re.compile(
    r"out of memory|cannot allocate memory|can't allocate memory|not enough memory|std::bad_alloc|_ALLOC_FAILED|"
    r"cudaErrorMemoryAllocation|failed to allocate|NOT_INITIALIZED when calling .cublasCreate|NVML_SUCCESS == r",
    re.IGNORECASE,
)
"""How errors say that memory ran out where they have no class for it: torch's of the host, CUDA's (`AcceleratorError`),
Triton's, those of cuBLAS and cuDNN, which allocate by themselves, and ggml's."""
_NO_KERNELS = "no kernel image is available"
"""How CUDA says that nothing was compiled for the GPU at hand."""


class Unsupported(Exception):  # noqa: N818 - an outcome of a run, not a defect
    """Raised inside a child: this device or model cannot do what was asked."""


class Invalid(Exception):  # noqa: N818 - an outcome of a run, not a defect
    """Raised inside a child: it ran, but not as asked (a quantization silently not applied)."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended: `status` as in `tables.STATUSES`, its value when ok, else the reason."""

    status: str
    value: dict[str, Any] | None
    reason: str | None
    seconds: float


def run_isolated(
    target: str,
    arguments: dict[str, Any],
    *,
    timeout_s: float,
    budget_s: float | None = None,
    starts: str = "",
    on_progress: Callable[[str], None] | None = None,
    environment: dict[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Call `target` ("module:function") with keyword `arguments` (JSON types) in a child process.

    `timeout_s` bounds the whole child, `budget_s` what follows its step `starts` (see `step`); it is given `GRACE_S`
    more to end by itself. Never raises for what happens in the child. Interrupting the parent kills the child and
    re-raises; setting `stop` from another thread kills it, too.
    `InputError` raised in the child is raised here, because the caller can mend it.
    """
    started, out_of_memory = time.monotonic(), _oom_kills()
    with scratch() as folder:
        (folder / "input.json").write_text(json.dumps(arguments), encoding="utf-8")
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "costlib.isolate", target, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ORDER, **(environment or {})},
                start_new_session=True,
            )
            seen, begun, doing = 0, math.inf, "starting"
            ended: str | None = None

            def hear() -> None:
                nonlocal seen, begun, doing
                said = folder / "progress"
                lines = said.read_text(encoding="utf-8", errors="replace").splitlines() if said.exists() else []
                for doing in lines[seen:]:
                    begun = time.monotonic() if doing == starts else begun
                    if on_progress is not None:
                        on_progress(doing)
                seen = len(lines)

            try:
                while child.poll() is None and not ended:
                    hear()
                    now, grace_s = time.monotonic(), min(max(GRACE_S[0], begun - started), GRACE_S[1])
                    if budget_s is not None and now - begun > budget_s + grace_s:
                        ended = f"stopped after the time budget of {budget_s:g} s, in the step: {doing}"
                    elif now - started > timeout_s:
                        ended = f"stopped after the time limit of {timeout_s:g} s"
                    elif stop is not None and stop.is_set():
                        ended = "stopped"
                    else:
                        time.sleep(_POLL_S)
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        hear()
        seconds = time.monotonic() - started
        if ended:
            return Outcome("error", None, ended, seconds)
        return Outcome(*_ending(folder, child.returncode, out_of_memory), seconds)


def _oom_kills() -> int | None:
    """How many processes this kernel has killed because memory ran out; None where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _ending(folder: Path, returncode: int, kills_before: int | None) -> tuple[str, dict[str, Any] | None, str | None]:
    """Status, value and reason of a child that ended by itself, or was killed by others."""
    output = folder / "output.json"
    if output.exists():
        answer = json.loads(output.read_text(encoding="utf-8"))
        if answer["status"] == "input":
            raise InputError(answer["reason"])
        return answer["status"], answer.get("value"), answer.get("reason")
    if returncode == -signal.SIGKILL:
        # Anyone can send this signal; only the kernel's own count says that it was for memory.
        if kills_before is not None and _oom_kills() == kills_before:
            return "error", None, "killed from outside (signal 9), not by the kernel for memory"
        return "oom", None, "killed by the operating system, which does so when memory runs out"
    tail = (folder / "log").read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip().splitlines()
    if full := full_memory(tail):  # a library that aborts says why first
        return "oom", None, full.strip()
    return "error", None, f"the process ended with code {returncode}: {tail[-1] if tail else 'no output'}"


def step(text: str) -> None:
    """Called inside a child: report one step to the parent's progress bar; does nothing elsewhere."""
    folder = os.environ.get("COSTLIB_CHILD_FOLDER")
    if folder:
        with (Path(folder) / "progress").open("a", encoding="utf-8") as progress:
            progress.write(text.replace("\n", " ") + "\n")


def full_memory(lines: Iterable[str]) -> str | None:
    """The first of what libraries said, in their words, that means that memory ran out; None without any."""
    return next(filter(_NO_MEMORY.search, lines), None)


def no_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from or for, says that memory ran out, of the host or of a GPU."""
    if error is None:
        return False
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or full_memory([str(error)]) is not None or no_memory(error.__cause__ or error.__context__)


def _answer(function: Callable[..., dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"status": "ok", "value": function(**arguments)}
    except (InputError, Unsupported, Invalid) as error:
        kinds = {InputError: "input", Unsupported: "unsupported", Invalid: "invalid"}
        return {"status": next(kinds[kind] for kind in kinds if isinstance(error, kind)), "reason": str(error)}
    except Exception as error:  # the boundary of the process: whatever happened becomes a row with its reason
        status, why = "error", f"{type(error).__name__}: {error}"
        if no_memory(error):
            status, why = "oom", str(error) or "the host ran out of memory"
        elif _NO_KERNELS in str(error):
            status, why = "unsupported", f"this build of torch has no kernels for this GPU: {error}"
        else:
            traceback.print_exc()
        return {"status": status, "reason": why.splitlines()[0]}


def _die_with_parent() -> None:
    """A parent that is killed outright cannot end its child; Linux can (prctl's PR_SET_PDEATHSIG is 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(target: str, folder: str) -> None:
    """The child's side."""
    _die_with_parent()
    os.environ["COSTLIB_CHILD_FOLDER"] = folder
    module, _, name = target.partition(":")
    arguments = json.loads((Path(folder) / "input.json").read_text(encoding="utf-8"))
    answer = _answer(getattr(importlib.import_module(module), name), arguments)
    part = Path(folder) / "output.part"
    part.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    part.replace(Path(folder) / "output.json")


if __name__ == "__main__":
    # Run as a module, this file would exist twice (as __main__ and as costlib.isolate) with two sets of exceptions.
    from costlib.isolate import main as run

    run(sys.argv[1], sys.argv[2])
