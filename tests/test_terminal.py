"""What steers a terminal is never printed, whether it stands in a name, a file or an answer."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, always, event

from costlib.cli.main import main

EVIL = "a\x1b]0;owned\x07\x9b31mb\r\x08c\u202ed\u2066e\x7ff\u2028g"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["costlib", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capfd.readouterr()

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of calls that belong to a workload with an evil name."""
    file = tmp_path / "log.csv"
    row = f'2026-10-01T10:00:00Z,gpt-4o,openai,"{EVIL}",100,10\n'
    file.write_text(f"time,model,provider,workload,input_tokens,output_tokens\n{row * 2}", encoding="utf-8", newline="")
    return file


def test_names_of_a_file(call: Call, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    code, out, err = call("usage", log)
    assert code == 0 and not STEERING.search(out + err) and "\\u001b]0;owned\\u0007" in "".join(out.split())


def test_a_document_holds_the_name_itself(call: Call, log: Path) -> None:
    code, out, err = call("usage", log, "--json")
    assert code == 0 and not STEERING.search(out + err)
    assert json.loads(out)["workloads"][0]["workload"] == EVIL


@pytest.mark.parametrize("words", [("price", EVIL, "--input", "1", "--output", "1"), ("memory", EVIL), (f"x{EVIL}",)])
@pytest.mark.parametrize("shape", [(), ("--json",)])
def test_words_of_the_command_line(call: Call, words: tuple[str, ...], shape: tuple[str, ...]) -> None:
    code, out, err = call(*words, *shape)
    assert code == 2 and err.startswith("costlib: ") and not STEERING.search(out + err)


def test_what_a_server_says(call: Call, tmp_path: Path) -> None:
    server = ScriptedServer()
    server.usual = always([event({"error": f"no {EVIL.replace(chr(0x2028), '')}"})])
    words = ("load", server.url, "--model", "m", "--concurrency", 1, "--requests", 1, "--store", tmp_path)
    try:
        code, out, err = call(*words)
    finally:
        server.close()
    assert code == 1 and not STEERING.search(out + err) and "\\u001b]0;owned\\u0007" in out


def test_half_a_character_and_an_output_that_is_not_unicode(log: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    command = [
        sys.executable,
        "-m",
        "costlib.cli.main",
        "price",
        b"gpt-\xff\xe2\x82\xac",
        "--input",
        "1",
        "--output",
        "1",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and done.stderr.startswith(b"costlib: ")


def test_tables_and_progress_on_a_terminal(log: Path) -> None:
    """rich draws with escapes of its own there; those of the name are shown, not obeyed."""
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "costlib.cli.main", "usage", str(log)]
    done = subprocess.Popen(command, env=environment, stdout=there, stderr=there)
    os.close(there)
    seen = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(here)
    text = seen.decode()
    assert done.wait(60) == 0
    assert "\x1b]0;owned" not in text and "\x07" not in text and "\x9b" not in text and "\u202e" not in text
