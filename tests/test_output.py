"""Every file is whole or not there: no room, no right to write, eight writers at once, links, runs that were killed."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_server import ScriptedServer

import costlib as cl
from costlib.cli.main import main
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.output import scratch, write_whole
from costlib.tables import LOADS, RUNS

Call = Callable[..., tuple[int, str, str]]
OUTPUTS = ["usage", "focus", "focus parquet", "prices", "route"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["costlib", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capfd.readouterr()

    return run


def command(name: str, folder: Path, out: Path | None = None) -> tuple[list[str], Path]:
    """A command that writes a file, and the file."""
    folder.mkdir(exist_ok=True)
    log = folder / "log.csv"
    rows = "".join(f"2026-10-{day:02}T10:00:00Z,gpt-4o,openai,desk,100,10\n" for day in range(1, 20))
    log.write_text(f"time,model,provider,workload,input_tokens,output_tokens\n{rows}", encoding="utf-8")
    if name == "usage":
        out = out or folder / "workloads.csv"
        return ["usage", str(log), "--out", str(out)], out
    if name.startswith("focus"):
        out = out or folder / ("bill.parquet" if "parquet" in name else "bill.csv")
        return ["focus", "--usage", str(log), "--out", str(out)], out
    if name == "prices":
        out = out or folder / "book.json"
        return ["prices", "save", str(out)], out
    scores = folder / "scores.csv"
    hard = [number % 7 < 3 for number in range(300)]
    lines = [f"{'why ' * (60 if h else 3)}question {i},{int(not h)},1" for i, h in enumerate(hard)]
    scores.write_text("\n".join(["prompt,small_correct,large_correct", *lines]) + "\n", encoding="utf-8")
    out = out or folder / "policy.json"
    words = ["route", str(scores), "--cost", "small=0.0003", "--cost", "large=0.01", "--miss-usd", "0.5"]
    return [*words, "--out", str(out)], out


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*"))


@pytest.mark.parametrize(("name", "code"), [*((name, errno.ENOSPC) for name in OUTPUTS), ("prices", errno.EDQUOT)])
def test_a_disk_without_room_leaves_the_older_file_and_one_sentence(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    words, out = command(name, tmp_path / "a")
    out.write_text("older")
    before = names(tmp_path)

    def no_room(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", no_room)
    ended, printed, said = call(*words)
    assert ended == 1 and printed == "" and said.count("\n") == 1
    assert said.startswith(f"costlib: out '{out}' could not be written ({os.strerror(code)}); an older {out.name} is")
    assert out.read_text() == "older" and names(tmp_path) == before


@pytest.mark.parametrize("name", ["usage", "focus parquet", "prices"])
def test_a_limit_on_the_size_of_files(tmp_path: Path, name: str) -> None:
    """As a quota or a full disk stops it in the middle, whatever library writes (DuckDB, Arrow, Python)."""
    words, out = command(name, tmp_path / "a")
    out.write_text("older")
    before = names(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "costlib.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("costlib: ") and done.stderr.count("\n") == 1, done.stderr
    assert out.read_text() == "older" and names(tmp_path) == before


@pytest.mark.parametrize("name", ["usage", "focus parquet", "prices", "route"])
@pytest.mark.parametrize("place", ["link", "dangling link", "folder", "no folder", "fifo", "long"])
def test_a_place_that_is_no_file_is_refused_and_left_alone(call: Call, tmp_path: Path, name: str, place: str) -> None:
    suffix = ".json" if name in ("prices", "route") else ".parquet" if "parquet" in name else ".csv"
    out = tmp_path / f"out{suffix}"
    (tmp_path / "target").write_text("theirs")
    if "link" in place:
        out.symlink_to(tmp_path / ("target" if place == "link" else "nothing"))
    elif place == "folder":
        out.mkdir()
    elif place == "fifo":
        os.mkfifo(out)
    else:
        out = tmp_path / "none" / "out" if place == "no folder" else tmp_path / ("x" * 300)
        out = out.with_name(out.name + suffix)
    words, _ = command(name, tmp_path / "a", out)
    before = names(tmp_path)
    ended, printed, said = call(*words)
    assert (ended, printed) == (2, "") and said.count("\n") == 1
    assert "allowed: " in said and str(out) in said
    assert (tmp_path / "target").read_text() == "theirs" and names(tmp_path) == before
    assert os.path.islink(out) == ("link" in place)  # noqa: PTH114 - which knows no name that is too long


def test_the_tests_of_the_load_that_are_done_are_not_lost_where_the_store_is(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first test is in the store; the second, which it took no more, is printed; a third is not begun."""
    server = ScriptedServer()
    synced: list[int] = []
    really = os.fsync

    def no_room_later(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 6:  # the table and its folder, of two traces and of the first row
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(handle)

    monkeypatch.setattr(os, "fsync", no_room_later)
    words = (server.url, "--model", "m", "--rate", "50,60,70", "--requests", 3, "--self-test", 0, "--warmup", 0)
    try:
        code, out, err = call("load", *words, "--output-tokens", 2, "--store", tmp_path / "store", "--json")
    finally:
        server.close()
    found = json.loads(out)
    assert code == 1 and out.count("\n") == 1 and len(server.bodies) == 6
    assert [row["rate_per_s"] for row in found["rows"]] == [50, 60] and len(found["requests"]) == 6
    assert "No space left on device" in found["unstored"] and "No space left on device" in err.splitlines()[-1]
    kept = cl.Store(tmp_path / "store").read(LOADS).frame
    assert list(kept["rate_per_s"]) == [50] and len(list((tmp_path / "store").rglob("*.parquet"))) == 2
    assert not [n for n in names(tmp_path) if n.startswith(".")]


def _room_for(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    """The disk is full after so many files were written."""
    really, synced = os.fsync, list[int]()

    def no_room_later(handle: int) -> None:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            synced.append(handle)
        if len(synced) > files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(handle)

    monkeypatch.setattr(os, "fsync", no_room_later)


def test_a_process_that_the_store_did_not_take_is_told(
    call: Call, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process is stored, the second is in the answer only, a third is not begun; the next call goes on."""
    begun: list[str] = []

    def child(_: str, arguments: dict[str, Any], **__: Any) -> Outcome:
        begun.append(arguments["precision"])
        environment, fingerprint = campaign.describe("cpu")
        raw = {"ttft_s": [0.1], "decode_s": [1.0], "flags": [""], "fingerprint": fingerprint}
        return Outcome("ok", raw | {"environment": environment}, None, 1.0)

    monkeypatch.setattr(campaign, "run_isolated", child)
    words = ("measure", f"path:{tiny_model}", "--precision", "bf16", "--device", "cpu", "--store", tmp_path, "--json")
    with monkeypatch.context() as patched:
        _room_for(patched, 1)
        code, out, err = call(*words)
    found = json.loads(out)
    assert code == 1 and found["rows"][0]["processes"] == len(begun) == 2
    assert "No space left on device" in found["unstored"] and found["unstored"] in err.splitlines()[-1]
    assert len(cl.Store(tmp_path).read(RUNS).frame) == 1
    code, out, _ = call(*words)
    assert code == 0 and json.loads(out)["rows"][0]["processes"] == 5 and len(begun) == 6


def test_a_quality_that_the_store_did_not_take_is_told(
    call: Call, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "sums.jsonl"
    rows = ({"input": f"{number} + 1 =", "expected": "2", "kind": "exact"} for number in range(3))
    task.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def child(_: str, arguments: dict[str, Any], **__: Any) -> Outcome:
        environment, fingerprint = campaign.describe("cpu")
        value = {"answers": [{"text": "2", "detail": {}}] * 3, "environment": environment, "fingerprint": fingerprint}
        return Outcome("ok", value, None, 1.0)

    monkeypatch.setattr(campaign, "run_isolated", child)
    _room_for(monkeypatch, 0)
    words = ("quality", f"path:{tiny_model}", "--precision", "fp32", "--task", task, "--device", "cpu")
    code, out, err = call(*words, "--store", tmp_path / "s", "--json")
    found = json.loads(out)
    assert code == 1 and found["tasks"][0]["success"] == 1 and found["tasks"][0]["n"] == 3
    assert "No space left on device" in found["unstored"] and found["unstored"] in err.splitlines()[-1]


def test_an_answer_that_cannot_be_kept_ends_in_a_sentence_and_spoils_no_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ScriptedServer()
    body = {"choices": [{"message": {"content": "2"}, "finish_reason": "stop"}]}
    server.usual = lambda _: (200, {}, json.dumps(body).encode())
    task = tmp_path / "sums.jsonl"
    rows = ({"input": f"{number} + 1 =", "expected": "2", "kind": "exact"} for number in range(4))
    task.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ("quality", "m", "--endpoint", server.url, "--task", task, "--concurrency", 1, "--store", tmp_path / "s")
    really, synced = os.fsync, []

    def no_room_later(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(handle)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", no_room_later)
            code, out, err = call(*words, "--json")
        assert code == 1 and json.loads(out)["error"] == err.splitlines()[-1].removeprefix("costlib: ")
        assert "sums.jsonl" in err and "No space left on device" in err and "Traceback" not in err
        kept = (tmp_path / "s" / "paid" / "sums.jsonl").read_text().splitlines()
        assert len([json.loads(line) for line in kept]) == 2
        asked = len(server.bodies)
        code, out, _ = call(*words, "--json")
    finally:
        server.close()
    assert code == 0 and json.loads(out)["tasks"][0]["n"] == 4 and len(server.bodies) - asked == 2


def test_a_full_stdout_is_one_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "costlib.cli.main", "rates", "--json"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("costlib: ") and done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("name", ["prices", "usage"])
def test_eight_writers_of_one_file_do_not_meet(tmp_path: Path, name: str) -> None:
    words, out = command(name, tmp_path / "a")
    script = (
        "import os, sys\n"
        "from costlib.cli.main import main\n"
        "import costlib.prices.book, costlib.portfolio.logs\n"
        "sys.stdout = open(os.devnull, 'w')\n"
        "children = []\n"
        "for _ in range(8):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        sys.argv = ['costlib', *sys.argv[1:]]\n"
        "        main()\n"
        "    children.append(child)\n"
        "sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stderr == ""
    whole = out.read_text()
    assert json.loads(whole) if name == "prices" else whole.splitlines()[2].startswith("desk,")
    assert [file for file in names(tmp_path) if file.startswith(".")] == []


def test_eight_threads_write_one_file_whole(tmp_path: Path) -> None:
    texts = [str(number) * 100_000 for number in range(8)]
    seen: list[Any] = []

    def write(text: str) -> None:
        for _ in range(10):
            seen.append(write_whole(tmp_path / "x", text))

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(seen) == 80 and (tmp_path / "x").read_text() in texts and names(tmp_path) == ["x"]


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom costlib.output import scratch, write_whole\n"
        "def slow(file):\n    file.write(b'half')\n    file.flush()\n"
        "    print('here', flush=True)\n    time.sleep(60)\n"
        "with scratch(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'inside').write_text('x')\n    write_whole(Path(sys.argv[1]) / 'out', slow)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    dead, alive = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        assert [one.stdout.readline() for one in (dead, alive) if one.stdout] == ["here\n"] * 2
        assert len(list(tmp_path.iterdir())) == 4
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        (tmp_path / ".costlib-ABCDEFGH.part").write_text("another's")
        (tmp_path / "costlib-run-01234567").symlink_to("/usr")
        with scratch(tmp_path):
            write_whole(tmp_path / "new", "text")
        left = sorted(file.name for file in tmp_path.iterdir())
        assert len(left) == 5 and {"new", ".costlib-ABCDEFGH.part", "costlib-run-01234567"} < set(left)
        assert all((file / "inside").exists() for file in tmp_path.glob("costlib-run-*") if not file.is_symlink())
    finally:
        for one in (dead, alive):
            one.kill()
            one.wait()
            if one.stdout:
                one.stdout.close()


def test_the_scratch_of_a_killed_command_is_swept_by_the_next(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    words, out = command("usage", tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "slow.csv")
    full = [sys.executable, "-m", "costlib.cli.main"]
    hangs = subprocess.Popen([*full, "usage", str(tmp_path / "a" / "slow.csv")], env=environment)
    for _ in range(600):
        if list((tmp_path / "tmp").glob("costlib-run-*/*")):
            break
        time.sleep(0.1)
    hangs.kill()
    hangs.wait()
    assert len(list((tmp_path / "tmp").glob("costlib-run-*"))) == 1
    assert subprocess.run([*full, *words], env=environment, capture_output=True, timeout=120).returncode == 0
    assert out.exists() and list((tmp_path / "tmp").iterdir()) == []
