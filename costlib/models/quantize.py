"""Makes a GPTQ or AWQ checkpoint of a model: a folder that `path:FOLDER` at gptq4 or awq4 then measures.

Both methods choose 4-bit weights so that the layers' outputs on a text change least (Frantar et al. 2023, GPTQ; Lin et
al. 2024, AWQ); gptqmodel does that work. It brings a CUDA torch, so it lives in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from costlib.environment import default_device
from costlib.errors import RunError, bad
from costlib.isolate import Invalid, run_isolated, step
from costlib.models.load import check_device, load_tokenizer, place_of, workers
from costlib.models.precision import precision
from costlib.models.reference import parse
from costlib.output import scratch

METHODS = {"gptq4": ("gptq", "gptq"), "awq4": ("awq", "gemm")}
"""Precision -> method and layout of its packed weights."""
GROUP = 128
"""Weights that share a scale, as published 4-bit checkpoints have it."""


def quantize(
    model: str,
    precision_name: str,
    out: str | Path,
    text: str,
    *,
    samples: int = 128,
    window: int = 512,
    device: str | None = None,
    timeout_s: float = 7200.0,
    on_progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a 4-bit checkpoint of `model`, calibrated on the first `samples` windows of `window` tokens of `text`.

    Runs in a child process; returns the folder. Raises `InputError` before anything is computed where the precision,
    device, folder or text does not do or gptqmodel is missing, `RunError` where quantizing failed.
    """
    if precision_name not in METHODS:
        raise bad("precision", precision_name, METHODS)
    where, folder = device or default_device(), Path(out)
    check_device(precision(precision_name), where)
    reference = parse(model)
    if reference.kind in ("random", "gguf"):
        raise bad("model", model, "a model with 16-bit weights and a tokenizer: demo:, hub: or path:")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise bad("out", str(folder), "a folder that is empty or not there yet")
    for field, value in (("samples", samples), ("window", window)):
        if value < 1:
            raise bad(field, value, "at least 1")
    ids = load_tokenizer(model)(text[: samples * window * 12], add_special_tokens=False)["input_ids"]
    if len(ids) < samples * window:
        raise bad("text", f"{len(ids)} tokens", f"at least {samples * window}, samples x window")
    windows = [ids[start : start + window] for start in range(0, samples * window, window)]
    arguments: dict[str, Any] = {"model": model, "precision_name": precision_name, "device": where}
    arguments |= {"windows": windows, "out": str(folder)}
    outcome = run_isolated(
        "costlib.models.quantize:quantize_once", arguments, timeout_s=timeout_s, on_progress=on_progress
    )
    if outcome.status != "ok":
        raise RunError(f"quantizing {model} to {precision_name} ended as {outcome.status}: {outcome.reason}")
    return folder


def quantize_once(model: str, precision_name: str, device: str, windows: list[list[int]], out: str) -> dict[str, Any]:
    """In a child process: quantize and save; the folder appears whole or not at all."""
    workers()
    from gptqmodel import GPTQModel, QuantizeConfig

    method, layout = METHODS[precision_name]
    step(f"quantizing {model} to {precision_name}")
    made = GPTQModel.load(
        place_of(model), QuantizeConfig(bits=4, group_size=GROUP, method=method, format=layout), device=device
    )
    made.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows], batch_size=1)
    step("saving")
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch(target.parent, ".quantizing-") as place:
        folder = place / "checkpoint"
        made.save(str(folder))
        if not (folder / "config.json").is_file():
            raise Invalid("gptqmodel saved no checkpoint")
        load_tokenizer(model).save_pretrained(folder)
        folder.replace(target)  # an empty folder there gives way
    return {"windows": len(windows)}
