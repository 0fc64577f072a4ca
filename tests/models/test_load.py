from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from costlib.errors import InputError
from costlib.isolate import Invalid
from costlib.models.architectures import from_folder
from costlib.models.load import check, check_device, load_model, prove
from costlib.models.memory import predict
from costlib.models.precision import PRECISIONS, precision

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("name", sorted(PRECISIONS))
def test_every_precision_is_applied_and_predicted_to_the_byte(tiny_model: Path, name: str) -> None:
    """Counted tensors against arithmetic; rotary frequencies (a buffer) are the only thing arithmetic leaves out."""
    loaded = load_model(f"path:{tiny_model}", name, "cpu")
    proof = loaded.proof
    assert proof.modules_converted == (14 if PRECISIONS[name].quantizes else 0)
    assert proof.modules_total == 14
    predicted = predict(from_folder(tiny_model, "tiny"), name).weight_bytes
    buffers = sum(buffer.numel() * buffer.element_size() for _, buffer in loaded.model.named_buffers())
    assert proof.weight_bytes - buffers == predicted
    assert proof.weight_bytes == proof.weight_bytes_expected == sum(proof.bytes_by_dtype.values())


def _dense(tiny_model: Path) -> Any:
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)


def test_a_misspelt_quantization_key_is_caught(tiny_model: Path) -> None:
    """A public benchmark measures FP16 under a 4-bit label when the key is misspelt: the model is simply dense."""
    held = precision("nf4")
    with pytest.raises(Invalid, match="nf4 was requested, but only 0 of 14 linear layers are quantized"):
        check(prove(_dense(tiny_model), held), held)


def test_a_quantized_label_on_an_unquantized_model_is_caught_both_ways(tiny_model: Path) -> None:
    quantized = load_model(f"path:{tiny_model}", "int8", "cpu").model
    held = precision("bf16")
    with pytest.raises(Invalid, match="bf16 was requested, but the checkpoint holds quantized layers"):
        check(prove(quantized, held), held)


def test_wrong_bytes_are_caught(tiny_model: Path) -> None:
    held = precision("bf16")
    proof = prove(_dense(tiny_model), held)
    check(proof, held)
    with pytest.raises(Invalid, match="bf16 should hold"):
        check(dataclasses.replace(proof, weight_bytes=int(proof.weight_bytes * 1.04)), held)


def test_weights_that_were_not_in_the_checkpoint_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "torn"
    folder.mkdir()
    (folder / "config.json").write_text((tiny_model / "config.json").read_text())
    tensors = load_file(tiny_model / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Invalid, match=r"1 weights were not in the checkpoint .*up_proj"):
        load_model(f"path:{folder}", "bf16", "cpu")


def test_a_folder_without_weights_is_bad_input(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(json.loads((tiny_model / "config.json").read_text())))
    with pytest.raises(InputError, match="a model transformers can load"):
        load_model(f"path:{tmp_path}", "bf16", "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "mps"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=r"device is .*; allowed: cpu, cuda or cuda:NUMBER"):
        check_device(precision("bf16"), device)


def test_a_precision_the_gpu_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"name": "Tesla V100", "capability": [7, 0]}
    monkeypatch.setattr("costlib.models.load.gpu_facts", lambda index: facts)
    check_device(precision("nf4"), "cuda")
    with pytest.raises(InputError, match=r"precision is 'int8'; allowed: precisions that Tesla V100 can run .*7\.5"):
        check_device(precision("int8"), "cuda:0")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costlib.models.load.gpu_facts", lambda index: None)
    with pytest.raises(InputError, match="device is 'cuda'; allowed: cpu"):
        check_device(precision("bf16"), "cuda")


def test_a_missing_package_names_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"precision is 'nf4', .*pip install bitsandbytes"):
        check_device(precision("nf4"), "cpu")
