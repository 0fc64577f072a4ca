"""What a processor computes natively decides what weights are multiplied at, and what 16-bit, 8-bit and 4-bit mean.

`ONEDNN_MAX_CPU_ISA=AVX2` makes a processor with AVX-512 stand in for one without, for torch and for costlib alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_models import tiny_bert, tiny_llama

import costlib as cl
from costlib.devices import resolve
from costlib.environment import Gpu, describe, native
from costlib.errors import InputError
from costlib.models.load import load_model
from costlib.models.precision import compute_dtype, precision
from costlib.paths import data_dir
from costlib.study import load_study

pytestmark = pytest.mark.filterwarnings("ignore")
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


@pytest.fixture
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")


def costlib(*arguments: str) -> Any:
    command = [sys.executable, "-m", "costlib.cli.main", *arguments, "--json"]
    done = subprocess.run(command, env={**os.environ, **AVX2}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_doctor_says_what_is_native_and_what_the_widths_mean() -> None:
    found = costlib("doctor")["arithmetic"]
    assert (found["bf16"], found["fp16"]) == (False, False)
    meant = {width: one["name"] for width, one in found["precisions"].items()}
    assert meant == {"16-bit": "bf16", "8-bit": "int8", "4-bit": "nf4"}
    assert all("multiplied at fp32" in one["why"] for one in found["precisions"].values())


def test_torch_agrees_that_a_limited_processor_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = "import torch; print(torch.ops.mkldnn._is_mkldnn_bf16_supported())"
    done = subprocess.run([sys.executable, "-c", ask], env={**os.environ, **AVX2}, capture_output=True, text=True)
    for name, value in AVX2.items():
        monkeypatch.setenv(name, value)
    assert done.stdout.strip() == "False" and native("cpu").bf16 is False


@pytest.mark.parametrize(
    ("flags", "limit", "bf16", "fp16"),
    [
        ("avx2 fma", "", False, False), ("avx2 avx512f avx512bw", "", False, False),
        ("avx512f avx512_bf16", "", True, False), ("avx512f avx512_bf16 avx512_fp16 amx_bf16", "", True, True),
        ("avx512f avx512_bf16 avx512_fp16", "avx512_core", False, False),
        ("avx512f avx512_bf16 avx512_fp16", "AVX512_CORE_BF16", True, False),
        ("avx512f avx512_bf16 avx512_fp16", "DEFAULT", True, True), ("fphp asimdhp bf16", "", True, True),
        ("", "", False, False),
    ],
)  # fmt: skip
def test_native_follows_the_instructions(
    flags: str, limit: str, bf16: bool, fp16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVX-512 alone does not help: oneDNN's bfloat16 products are five times slower than its float32 ones there."""
    monkeypatch.setattr("costlib.environment._cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    found = native("cpu")
    assert (found.bf16, found.fp16) == (bf16, fp16)
    assert compute_dtype(precision("bf16"), "cpu") == compute_dtype(precision("nf4"), "cpu")
    assert compute_dtype(precision("bf16"), "cpu") == ("bf16" if bf16 else "fp32")
    assert compute_dtype(precision("fp16"), "cpu") == ("fp16" if fp16 else "fp32")
    assert compute_dtype(precision("fp32"), "cpu") == "fp32"


@pytest.mark.parametrize(("capability", "name"), [((7, 5), "fp16"), ((8, 0), "bf16"), (None, "bf16")])
def test_a_gpu_without_bfloat16_means_fp16_by_16_bit(
    capability: tuple[int, int] | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"capability": capability}
    monkeypatch.setattr("costlib.environment.look", lambda device="cuda": Gpu(facts, None, None))
    assert resolve("16-bit", "random:llama-3.1-8b", "cuda").name == name
    assert compute_dtype(precision("nf4"), "cuda") == name
    assert compute_dtype(precision("bf16"), "cuda") == "bf16"  # asked for by name


def test_a_checkpoint_that_is_quantized_keeps_its_precision_at_4_bit(tmp_path: Path) -> None:
    for method in ("gptq", "awq"):
        (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": method}}))
        assert resolve("4-bit", f"path:{tmp_path}", "cpu").name == f"{method}4"
    assert resolve("int8", "demo:gemma-3-270m", "cpu").name == "int8"
    with pytest.raises(InputError, match="16-bit, or the file's own type"):
        resolve("4-bit", "gguf:model.gguf", "cpu")


def test_runs_of_unlike_arithmetic_are_not_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costlib.environment._cpu_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    wide, mark = describe("cpu")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    narrow, other = describe("cpu")
    assert mark != other and narrow["native_16_bit"] == "none" and "native_16_bit" not in wide


@pytest.mark.usefixtures("avx2")
def test_a_study_gets_the_precisions_of_this_machine(tmp_path: Path) -> None:
    shutil.copytree(data_dir() / "studies", tmp_path / "studies")
    shutil.copytree(data_dir() / "tasks", tmp_path / "tasks")
    file = tmp_path / "studies" / "demo.yml"
    text = file.read_text().replace("[bf16, int8, nf4]", "[16-bit, 8-bit, 4-bit]").replace("[bf16, nf4]", "[16-bit]")
    file.write_text(text.replace("baseline: bf16", "baseline: 16-bit").replace("precision: nf4", "precision: 4-bit"))
    study = load_study(file)
    assert study.measure[0].precision == ("bf16", "int8", "nf4") and study.quality is not None
    assert study.quality.baseline == "bf16" and study.tasks[0].reference == "bf16"
    assert [(one.asked, one.name) for one in study.resolved] == [
        ("16-bit", "bf16"), ("8-bit", "int8"), ("4-bit", "nf4")
    ]  # fmt: skip
    assert "multiplied at fp32" in study.resolved[0].why


def folders(kind: str, folder: Path) -> str:
    import transformers

    if kind == "llama":
        return f"path:{tiny_llama(folder)}"
    if kind == "bert":
        return f"path:{tiny_bert(folder)}"
    if kind == "gpt2":  # its layers are no torch.nn.Linear
        config: Any = transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=64, bos_token_id=0)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    else:  # its experts are fused tensors, read by no layer of torch's
        config = transformers.MixtralConfig(
            hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            num_local_experts=4, vocab_size=64,
        )  # fmt: skip
        transformers.MixtralForCausalLM(config).save_pretrained(folder)
    return f"path:{folder}"


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize("kind", ["llama", "bert", "gpt2", "mixtral"])
def test_weights_held_at_16_bit_and_multiplied_at_fp32(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers as weights that were rounded to bfloat16 and held at fp32, from half of the bytes."""
    import torch

    monkeypatch.setattr("costlib.models.upcast._BLOCK", 1000)
    model = folders(kind, tmp_path / "m")
    held = load_model(model, "bf16", "cpu")
    assert held.proof.compute_dtype == "fp32" and held.proof.weight_bytes == held.proof.weight_bytes_expected
    assert held.proof.bytes_by_dtype["bfloat16"] > 0.95 * held.proof.weight_bytes
    plain = load_model(model, "fp32", "cpu")
    assert plain.proof.compute_dtype == "fp32" and 1.9 < plain.proof.weight_bytes / held.proof.weight_bytes < 2.0
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.inference_mode():
        for parameter in plain.model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
        found, wanted = (one.model(input_ids=ids)[0] for one in (held, plain))
        assert found.dtype == torch.float32 and torch.allclose(found, wanted, atol=1e-5, rtol=1e-4)
    assert all(p.dtype != torch.float32 for p in held.model.parameters() if p.dim() > 1)  # nothing stayed widened


def test_a_process_ends_in_its_budget_where_16_bit_is_slow_and_the_row_says_how_it_computed(tmp_path: Path) -> None:
    """2.3 MB of weights in a real child: 16 bit held, fp32 multiplied; every byte is accounted for."""
    given = ["--prompt-tokens", "64", "--output-tokens", "4", "--time-budget", "0.5", "--device", "cpu"]
    model = f"path:{tiny_llama(tmp_path / 'm')}"
    given += ["--store", str(tmp_path / "s")]
    rows = costlib("measure", model, "--precision", "16-bit,8-bit,4-bit", *given)["rows"]
    assert [row["precision"] for row in rows] == ["bf16", "int8", "nf4"]
    for row in rows:
        assert (row["status"], row["compute_dtype"]) == ("ok", "fp32"), row["reason"]
        assert row["weight_bytes"] == row["weight_bytes_expected"]
        assert row["kv_cache_bytes"] == row["kv_cache_bytes_expected"] == 2 * 2 * 2 * 16 * 4 * 67
        assert row["ceiling_reason"] is not None or row["ceiling_product"].startswith(("fp32, ", "int8, "))
    assert json.loads(rows[0]["bytes_by_dtype"])["bfloat16"] > 0.9 * rows[0]["weight_bytes"]
    assert cl.measurements(tmp_path / "s")["compute_dtype"].tolist() == ["fp32"] * 3
