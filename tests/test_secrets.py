"""A key goes to its server and nowhere else, whatever the server does with it, and however badly it was typed."""

from __future__ import annotations

import base64
import html
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from scripted_server import CUT, DONE, ROLE, ScriptedServer, always, chunk, event, usage

import costlib as cl
from costlib.cli.main import main
from costlib.tables import ANSWERS as ANSWERS_TABLE
from costlib.tables import LOAD_REQUESTS

KEY = 'sk-Qv"7/w\\9+Zr5&tX'
"""With what JSON, addresses, HTML and base64 escape."""
PIECE = 8
"""Of its letters in a row are a leak."""
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    made = ScriptedServer()
    yield made
    made.close()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command in this process: its exit code and all it printed."""
    monkeypatch.setenv("A_KEY", KEY)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["costlib", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out + err

    return run


def folded(text: str) -> str:
    """Small letters and digits only: escapes and borders between pieces hide nothing."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def leaks(text: str) -> list[str]:
    """Pieces of the key that a text holds: plain, in hexadecimal, or as base64 wherever it begins in a group."""
    spelt = [KEY, KEY.encode().hex(), *(f"{ord(letter):02x}" * 4 for letter in "Q")]
    spelt += [base64.b64encode(b"x" * shift + KEY.encode()).decode()[4:-4] for shift in range(3)]
    escaped = ["".join(form.format(ord(letter)) for letter in KEY) for form in ("u{:04x}", "{:02x}", "{}")]
    held = folded(text)
    pieces = {
        folded(whole)[start : start + PIECE]
        for whole in (*spelt[:2], *spelt[3:], *escaped)
        for start in range(len(folded(whole)) - PIECE + 1)
    }
    return sorted(piece for piece in pieces if piece in held)


def spilt(store: Path, printed: str) -> list[str]:
    """Where the key is in what a command stored (every file, decoded where it is a table) and printed."""
    import pyarrow.parquet as pq

    found = [("printed", leaks(printed))]
    for file in (file for file in store.rglob("*") if file.is_file()):
        text = str(pq.read_table(file).to_pydict()) if file.suffix == ".parquet" else file.read_text(errors="replace")
        found.append((file.name, leaks(text)))
        assert KEY.encode() not in file.read_bytes()
    return [f"{name}: {pieces}" for name, pieces in found if pieces]


ESCAPED = "".join(f"\\u{ord(letter):04X}" for letter in KEY)
SPELLINGS = {
    "plain": KEY,
    "in capitals": KEY.upper(),
    "quoted": json.dumps(KEY),
    "quoted twice": json.dumps(json.dumps(KEY)),
    "as Python shows it": repr(KEY),
    "slashes escaped": KEY.replace("/", "\\/"),
    "in an address": f"https://h/v1?key={quote(KEY, safe='')}&x=1",
    "in an address twice": quote(quote(KEY, safe=""), safe=""),
    "every letter percent": "".join(f"%{ord(letter):02x}" for letter in KEY),
    "HTML": html.escape(KEY),
    "HTML by number": "".join(f"&#{ord(letter)};" for letter in KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(f"k={KEY}!".encode()).decode(),
    "hexadecimal": KEY.encode().hex(),
    "in two lines": f"{KEY[:9]}\n{KEY[9:]}",
    "with blanks of no width": "\u200b".join(KEY),
    "behind 190 letters, where texts are cut": "x" * 190 + KEY,
}


SAID = {
    "an error event, key plain": "stream_error: no ***!",
    "an error event, key base64": "stream_error: no ***!",
    "a status, key in two lines": "refused: status 401, no ***!",
    "an error event, key behind 190 letters, where texts are cut": f"stream_error: no {'x' * 190}***!",
    "a status with \\uXXXX": "refused: status 403, no ***",
    "an event of two lines": "stream_error: ***",
}
"""What remains of some of them."""


def of_error(said: str) -> bytes:
    return json.dumps({"error": {"message": said}}).encode()


def raw_error(escaped: str) -> bytes:
    return f'{{"error": {{"message": "no {escaped}"}}}}'.encode()


HOSTILE: dict[str, Any] = {
    **{
        f"an error event, key {name}": [event({"error": {"message": f"no {said}!"}})]
        for name, said in SPELLINGS.items()
    },
    **{f"a status, key {name}": (401, {}, of_error(f"no {said}!")) for name, said in SPELLINGS.items()},
    "an error event with \\uXXXX": [b"data: " + raw_error(ESCAPED) + b"\n\n"],
    "a status with \\uXXXX": (403, {}, raw_error(ESCAPED)),
    "a status with \\uxxxx": (500, {}, raw_error(ESCAPED.lower())),
    "an error that is a text": [event({"error": f"bad key {KEY}"})],
    "an error after text": [ROLE, chunk("a"), event({"error": {"message": KEY, "code": KEY}})],
    "a detail": (422, {}, json.dumps({"detail": [{"msg": KEY, "input": {"authorization": KEY}}]}).encode()),
    "the reason why it ended": [chunk("a"), chunk(finish=KEY), DONE],
    "the answer": [chunk(KEY), chunk(KEY, finish="stop"), usage(3, 2), DONE],
    "the answer, a letter a chunk": [*(chunk(letter) for letter in KEY), chunk(finish="stop"), DONE],
    "an event in pieces": [event({"error": KEY})[:25], 0.01, event({"error": KEY})[25:]],
    "an event of two lines": [f'data: {{"error":\ndata: {json.dumps(KEY)}}}\n\n'.encode()],
    "thoughts": [event({"choices": [{"delta": {"reasoning_content": KEY}}]}), chunk(finish=KEY), DONE],
    "no JSON": [f"data: {KEY}\n\n".encode()],
    "no HTTP": KEY.encode() + b"\r\n\r\n",
    "a page": (502, {}, f"<html>{KEY}</html>".encode()),
    "the status line": f"HTTP/1.1 200 {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
    "headers": (401, {"X-Key": KEY, "Retry-After": KEY}, b"{}"),
    "a redirect": (307, {"Location": f"http://127.0.0.1:9/{quote(KEY)}"}, b""),
    "an encoding": (200, {"Content-Encoding": "gzip"}, KEY.encode()),
    "a field for a field": [event({KEY: KEY, "choices": [{KEY: KEY, "finish_reason": {"x": KEY}}]})],
    "the object": [event({"object": "error", "message": {"a": [KEY]}})],
    "cut": [event({"error": {"message": KEY}})[:30], CUT],
}


def test_load_keeps_and_shows_no_key(server: ScriptedServer, call: Call, tmp_path: Path) -> None:
    server.script = [always(how) for how in HOSTILE.values()]
    words = (server.url, "--model", "m", "--concurrency", 1, "--requests", len(HOSTILE) + 1, "--self-test", 0)
    words += ("--warmup", 0, "--api-key-env", "A_KEY", "--store", tmp_path / "store", "--json")
    code, printed = call("load", *words)
    row = json.loads(printed.splitlines()[0])["rows"][0]
    assert code == 0 and row["offered"] == len(HOSTILE) + 1 == len(server.heads)
    assert all(f"bearer {KEY}".lower() in head.lower() for head in server.heads)
    reasons = list(cl.Store(tmp_path / "store").read(LOAD_REQUESTS).frame["reason"])
    assert [reasons[list(HOSTILE).index(name)] for name in SAID] == list(SAID.values())
    assert spilt(tmp_path / "store", printed) == []


@pytest.mark.parametrize("name", ["an error event with \\uXXXX", "an error event, key quoted", "headers"])
@pytest.mark.parametrize("warmup", [0, 1])
def test_a_failed_load_shows_no_key(server: ScriptedServer, call: Call, tmp_path: Path, name: str, warmup: int) -> None:
    server.usual = always(HOSTILE[name])
    words = (server.url, "--model", "m", "--concurrency", 1, "--requests", 2, "--self-test", 0, "--warmup", warmup)
    code, printed = call("load", *words, "--api-key-env", "A_KEY", "--store", tmp_path / "store")
    assert code == 1 and ("***" in printed or name == "headers") and spilt(tmp_path / "store", printed) == []


def completed(text: str, ended: str = "stop") -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps({"choices": [{"message": {"content": text}, "finish_reason": ended}]}).encode()


ANSWERS: dict[str, Any] = {
    **{f"an answer, key {name}": completed(f"it is {said} ok") for name, said in SPELLINGS.items()},
    **{name: how for name, how in HOSTILE.items() if isinstance(how, (tuple, bytes))},
    "no text": completed("", KEY),
    "thoughts and text": (
        200, {}, json.dumps({"choices": [{"message": {"content": [{"type": "text", "text": KEY}]}}]}).encode()
    ),
}  # fmt: skip


def test_quality_keeps_and_shows_no_key(server: ScriptedServer, call: Call, tmp_path: Path) -> None:
    server.script = [always(how) for how in ANSWERS.values()]
    task = tmp_path / "sums.jsonl"
    rows = ({"input": f"{number} + 1 =", "expected": "2", "kind": "exact"} for number in range(len(ANSWERS)))
    task.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ("m", "--endpoint", server.url, "--task", task, "--attempts", 1, "--concurrency", 1)
    for shape in ((), ("--json",)):
        code, printed = call("quality", *words, "--api-key-env", "A_KEY", "--store", tmp_path / "store", *shape)
        assert code in (0, 1) and "Traceback" not in printed and spilt(tmp_path / "store", printed) == []
    answers = cl.Store(tmp_path / "store").read(ANSWERS_TABLE).frame.drop_duplicates("item")["answer"]
    assert next(iter(answers)) == "it is *** ok" and len(answers) == len(ANSWERS)


@pytest.mark.parametrize(
    "words",
    [
        ("http://h/v1", "--api-key-env", KEY),
        ("http://h/v1", "--api-key-env", KEY.replace('"', "").replace("\\", "")),
        ("http://h/v1", "--api-key-env", "Gk9xQv7w9Zr5tX"),
        (f"user:{KEY}@h/v1",),
        (f"https://user:{quote(KEY)}@h/v1",),
        (f"{quote(KEY)}@h/v1",),
        (f"h/v1?key={quote(KEY)}",),
        (f"http://h/v1#{KEY}",),
        ("http://127.0.0.1:9/v1", "--extra", KEY),
        ("http://127.0.0.1:9/v1", "--extra", f'{{"api_key": {json.dumps(KEY)}'),
        ("http://127.0.0.1:9/v1", "--extra", json.dumps({"api_key": KEY})),
        ("http://127.0.0.1:9/v1", "--extra", json.dumps({"extra_headers": {"Authorization": f"Bearer {KEY}"}})),
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    known = ("--model", "m", "--concurrency", 1, "--requests", 1, "--self-test", 0, "--store", tmp_path / "store")
    code, printed = call("load", *words, *known)
    assert code in (1, 2) and "Traceback" not in printed and spilt(tmp_path / "store", printed) == []
    assert "Gk9xQv7w" not in printed


def test_an_ordinary_name_of_a_variable_is_said(call: Call) -> None:
    words = ("http://127.0.0.1:9/v1", "--model", "m", "--concurrency", 1, "--api-key-env", "NO_SUCH_KEY")
    assert "api_key_env is 'NO_SUCH_KEY'" in call("load", *words)[1]


def test_a_word_as_a_key_blots_no_columns(server: ScriptedServer, call: Call, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("A_KEY", "empty")
    server.usual = always([chunk(finish="stop"), DONE])
    words = ("--model", "m", "--concurrency", 1, "--requests", 1, "--self-test", 0, "--warmup", 0)
    _, printed = call("load", server.url, *words, "--api-key-env", "A_KEY", "--store", tmp_path, "--json")
    assert json.loads(printed.splitlines()[0])["rows"][0]["empty"] == 1


def test_two_endpoints_on_one_host_are_two(server: ScriptedServer, call: Call, tmp_path: Path) -> None:
    task = tmp_path / "sums.jsonl"
    task.write_text(json.dumps({"input": "1 + 1 =", "expected": "2", "kind": "exact"}) + "\n", encoding="utf-8")
    root = server.url.removesuffix("/v1")
    host, seen = root.partition("//")[2], []
    for path, said in (("/a/v1", "2"), ("/b/v1", "3"), ("/a/v1/", "4"), ("/v1", "2"), ("", "5")):
        server.usual = always(completed(said))
        words = ("m", "--endpoint", root + path, "--task", task, "--store", tmp_path / "store", "--json")
        row = json.loads(call("quality", *words)[1].splitlines()[0])["tasks"][0]
        seen.append((row["model"].partition("@")[2].removeprefix(host), row["score"], len(server.heads)))
    assert seen == [("/a/v1", 1, 1), ("/b/v1", 0, 2), ("/a/v1", 1, 2), ("", 1, 3), ("/", 0, 4)]


@pytest.mark.parametrize("command", ["load", "quality"])
def test_the_time_limit_holds_for_headers_that_drip(
    server: ScriptedServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    import asyncio
    import time

    async def drip(writer: asyncio.StreamWriter, how: Any) -> bool:
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)
        return False

    monkeypatch.setattr(server, "_respond", drip)
    task = tmp_path / "sums.jsonl"
    task.write_text(json.dumps({"input": "1 + 1 =", "expected": "2", "kind": "exact"}) + "\n", encoding="utf-8")
    words: tuple[object, ...] = ("m", "--endpoint", server.url, "--task", task, "--attempts", 1)
    if command == "load":
        words = (server.url, "--model", "m", "--concurrency", 1, "--requests", 1, "--self-test", 0, "--warmup", 0)
    began = time.monotonic()
    code, printed = call(command, *words, "--timeout", 0.4, "--store", tmp_path / "store", "--json")
    assert code == 1 and "timeout: no whole answer within 0.4 s" in printed and time.monotonic() - began < 6
