"""Making GPTQ and AWQ checkpoints: what gptqmodel is asked for, what is refused, and that a folder appears whole.

gptqmodel itself is a stand-in here, with the calls and the files of version 7.7; `benchmarks/gptq_check.py` runs it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_models import tokenizer

from costlib.errors import InputError
from costlib.isolate import Invalid
from costlib.models import quantize as module
from costlib.models.quantize import quantize, quantize_once


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the stand-in was asked; `asked["fails"]` makes it save nothing."""
    found: dict[str, Any] = {}

    class Config:
        def __init__(self, **settings: Any) -> None:
            found["config"] = settings

    class Model:
        @classmethod
        def load(cls, place: str, config: Config, *, device: str) -> Model:
            found.update(place=place, device=device)
            return cls()

        def quantize(self, calibration: list[dict[str, list[int]]], *, batch_size: int) -> None:
            found["calibration"] = calibration

        def save(self, folder: str) -> None:
            Path(folder).mkdir()
            if not found.get("fails"):
                (Path(folder) / "config.json").write_text("{}")

    fake = ModuleType("gptqmodel")
    fake.GPTQModel, fake.QuantizeConfig = Model, Config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gptqmodel", fake)
    monkeypatch.setattr(module, "check_device", lambda held, device: None)
    return found


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """The small Llama with a tokenizer beside it."""
    from transformers import PreTrainedTokenizerFast

    shutil.copytree(tiny_model, tmp_path / "model")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="[UNK]").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_checkpoint_is_made_of_the_folder_in_groups_of_128(
    asked: dict[str, Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("GPTQMODEL_CPU_WORKERS", raising=False)
    out = tmp_path / "made"
    quantize_once(f"path:{model}", "gptq4", "cpu", [[1, 2, 3], [4, 5, 6]], str(out))
    assert asked["config"] == {"bits": 4, "group_size": 128, "method": "gptq", "format": "gptq"}
    assert (asked["place"], asked["device"]) == (str(model), "cpu")
    assert [one["input_ids"] for one in asked["calibration"]] == [[1, 2, 3], [4, 5, 6]]
    assert {file.name for file in out.iterdir()} >= {"config.json", "tokenizer.json"}
    assert not list(tmp_path.glob(".*"))
    assert os.environ["GPTQMODEL_CPU_WORKERS"] == "2"
    quantize_once(f"path:{model}", "awq4", "cpu", [[1, 2, 3]], str(tmp_path / "awq"))
    assert asked["config"]["method"] == "awq" and asked["config"]["format"] == "gemm"


def test_nothing_appears_where_nothing_was_saved(asked: dict[str, Any], model: Path, tmp_path: Path) -> None:
    asked["fails"] = True
    with pytest.raises(Invalid, match="saved no checkpoint"):
        quantize_once(f"path:{model}", "gptq4", "cpu", [[1, 2, 3]], str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision_name": "nf4"}, "precision is 'nf4'; allowed: one of awq4, gptq4"),
        ({"model": "random:llama-3.1-8b"}, "allowed: a model with 16-bit weights and a tokenizer"),
        ({"samples": 0}, "samples is 0; allowed: at least 1"),
        ({"text": "one two"}, "text is '2 tokens'; allowed: at least 16"),
        ({"out": "full"}, "allowed: a folder that is empty or not there yet"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(
    asked: dict[str, Any], model: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    settings: dict[str, Any] = {"model": f"path:{model}", "precision_name": "gptq4", "out": "made"}
    settings |= {"text": "one two three four " * 20, "samples": 2, "window": 8, "device": "cpu", **given}
    settings["out"] = tmp_path / settings["out"]
    with pytest.raises(InputError, match=message):
        quantize(**settings)
    assert "config" not in asked


def test_without_the_package_the_sentence_says_what_to_install(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip install gptqmodel, in an environment of its own"):
        quantize(f"path:{model}", "gptq4", tmp_path / "made", "text", device="cpu")
