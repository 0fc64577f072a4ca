from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from costlib import isolate
from costlib.errors import InputError
from costlib.isolate import run_isolated

CHILD = """
import os, signal, time
from costlib import isolate
from costlib.errors import InputError
from costlib.isolate import Invalid, Unsupported, step

def add(a, b):
    print("noise that is not a result")
    step("adding")
    return {"sum": a + b}

def crash():
    os.abort()

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def full():
    raise MemoryError

def raises():
    raise KeyError("boom")

def unsupported():
    raise Unsupported("not on this device")

def invalid():
    raise Invalid("not applied")

def bad():
    raise InputError("batch is 0; allowed: 1 or more")

def says(text):
    raise RuntimeError(text)

def wraps(text):
    try:
        says(text)
    except RuntimeError as error:
        raise ValueError("backend='inductor' raised:") from error

def aborts(text):
    print(text, "\\nlast line", flush=True)
    os.abort()

def hang():
    time.sleep(60)

def overrun():
    step("ready")
    step("reading the prompt")
    time.sleep(60)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child_work.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("says", "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.56 GiB"),
        ("says", "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        ("says", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("says", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ("says", "Triton Error [CUDA]: out of memory"),
        ("wraps", "Triton Error [CUDA]: out of memory"),
        ("aborts", "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB on device 0: cudaMalloc failed: "
         "out of memory"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("child")
def test_out_of_memory_in_all_its_forms_is_a_status(function: str, text: str) -> None:
    outcome = run_isolated(f"child_work:{function}", {"text": text}, timeout_s=30)
    assert outcome.status == "oom" and outcome.reason


@pytest.mark.usefixtures("child")
def test_a_gpu_that_nothing_was_compiled_for_is_unsupported() -> None:
    text = "CUDA error: no kernel image is available for execution on the device"
    outcome = run_isolated("child_work:says", {"text": text}, timeout_s=30)
    assert (outcome.status, outcome.reason) == (
        "unsupported", f"this build of torch has no kernels for this GPU: {text}"
    )  # fmt: skip
    assert run_isolated("child_work:says", {"text": "out of resource: shared memory"}, timeout_s=30).status == "error"


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        ("crash", "error", "ended with code -6"),
        ("full", "oom", "ran out of memory"),
        ("raises", "error", "KeyError: 'boom'"),
        ("unsupported", "unsupported", "not on this device"),
        ("invalid", "invalid", "not applied"),
    ],
)
def test_every_end_becomes_a_status_with_a_reason(function: str, status: str, reason: str) -> None:
    outcome = run_isolated(f"child_work:{function}", {}, timeout_s=30)
    assert outcome.status == status
    assert outcome.value is None and outcome.reason is not None and reason in outcome.reason


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize(
    ("counts", "status", "reason"),
    [
        ([3, 3], "error", "killed from outside (signal 9), not by the kernel for memory"),
        ([3, 4], "oom", "killed by the operating system, which does so when memory runs out"),
        ([None, None], "oom", "killed by the operating system, which does so when memory runs out"),
    ],
)
def test_a_killed_child_ran_out_of_memory_only_if_the_kernel_counted_it(
    monkeypatch: pytest.MonkeyPatch, counts: list[int | None], status: str, reason: str
) -> None:
    """What did not fit stays so in the store; what a person or a scheduler killed is tried again."""
    answers = iter(counts)
    monkeypatch.setattr(isolate, "_oom_kills", lambda: next(answers))
    outcome = run_isolated("child_work:killed", {}, timeout_s=30)
    assert (outcome.status, outcome.reason) == (status, reason)


@pytest.mark.skipif(sys.platform != "linux", reason="the count is Linux's")
def test_this_kernel_counts_whom_it_killed_for_memory() -> None:
    found = isolate._oom_kills()
    assert found is not None and found >= 0


@pytest.mark.usefixtures("child")
def test_a_result_and_its_steps_come_back() -> None:
    steps: list[str] = []
    outcome = run_isolated("child_work:add", {"a": 2, "b": 3}, timeout_s=30, on_progress=steps.append)
    assert (outcome.status, outcome.value, steps) == ("ok", {"sum": 5}, ["adding"])


@pytest.mark.usefixtures("child")
def test_a_hanging_child_is_stopped_at_its_limit() -> None:
    started = time.monotonic()
    outcome = run_isolated("child_work:hang", {}, timeout_s=1.0)
    assert outcome.status == "error" and outcome.reason == "stopped after the time limit of 1 s"
    assert time.monotonic() - started < 20


@pytest.mark.usefixtures("child")
def test_bad_input_found_in_the_child_is_bad_input_for_the_caller() -> None:
    with pytest.raises(InputError, match="batch is 0"):
        run_isolated("child_work:bad", {}, timeout_s=30)


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_parent_that_is_stopped_takes_its_child_along(how: str) -> None:
    import os
    import signal
    import subprocess

    if how != "SIGINT" and sys.platform != "linux":
        pytest.skip("only Linux ends the children of a killed process")

    script = "import costlib.isolate as i\ni.run_isolated('child_work:hang', {}, timeout_s=60)\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    deadline = time.monotonic() + 20
    children: list[str] = []
    while time.monotonic() < deadline and not children:
        time.sleep(0.2)
        found = subprocess.run(["pgrep", "-P", str(parent.pid)], capture_output=True, text=True, check=False)
        children = found.stdout.split()
    assert children
    time.sleep(1.0)  # the child has to be past its own start
    os.kill(parent.pid, getattr(signal, how))
    assert parent.wait(timeout=20) != 0
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(children[0]):
        time.sleep(0.1)
    assert not _alive(children[0])


def _alive(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


@pytest.mark.usefixtures("child")
def test_a_child_that_overruns_its_budget_is_stopped_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget runs from the step at which the work begins, not from the start of the process."""
    monkeypatch.setattr(isolate, "GRACE_S", (0.2, 0.2))
    outcome = run_isolated("child_work:overrun", {}, timeout_s=50, budget_s=0.3, starts="ready")
    why = "stopped after the time budget of 0.3 s, in the step: reading the prompt"
    assert (outcome.status, outcome.reason) == ("error", why) and outcome.seconds < 30
    assert run_isolated("child_work:add", {"a": 1, "b": 2}, timeout_s=30, budget_s=0.1, starts="").status == "ok"
