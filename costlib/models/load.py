"""Loads a model at a precision, wherever its weights come from, and proves that the precision was applied."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costlib.environment import look
from costlib.errors import InputError, invalid_input
from costlib.isolate import Invalid, Unsupported, step
from costlib.models import demo, gguf, random_weights
from costlib.models.architectures import ENCODERS
from costlib.models.checkpoint import check_checkpoint, checkpoint_note
from costlib.models.precision import Precision, compute_dtype, dense_dtype, precision, torch_dtype
from costlib.models.proof import Proof, check, prove
from costlib.models.reference import Reference, is_static, parse, shape
from costlib.models.upcast import multiply_at_fp32
from costlib.read import read_json


@dataclass(frozen=True)
class Loaded:
    """A model ready to run."""

    model: Any
    tokenizer: Any
    proof: Proof
    load_s: float
    weights_note: str | None


def load_model(
    reference_text: str, precision_name: str, device: str, *, tokenizer: bool = False, embeds: bool = False
) -> Loaded:
    """Load a model; call it in a child process. `embeds` asks for its hidden states, without a language-model head.

    Raises `InputError` for a bad reference, precision or device, `Unsupported` when this device or library cannot hold
    it, `Invalid` when the precision was not applied or weights were re-initialised.
    """
    reference, held = parse(reference_text), precision(precision_name)
    check_device(held, device)
    if held.method == "gguf":
        raise InputError(f"precision is {held.name!r}, which llama.cpp runs; allowed: engine llamacpp, or bf16 here")
    import torch

    if device.startswith("cuda"):
        try:
            torch.cuda.init()
        except (AssertionError, RuntimeError) as error:
            raise Unsupported(f"torch cannot use the GPU: {str(error).strip().splitlines()[0]}") from error
    _quiet()
    if held.needs == "gptqmodel" and (os.cpu_count() or 1) < 3:  # it takes half of the cores, and refuses to take one
        os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
    step(f"loading {reference} at {held.name}")
    started = time.perf_counter()
    text, notes = None, list[str | None]()
    if reference.kind == "random":
        if tokenizer:
            raise _no_tokenizer(reference)
        known = shape(reference)
        model = random_weights.build(known, held, device)
        notes.append("random weights of the true shape: speed and memory are real, the answers are not")
        if known.expert_shapes and held.quantizes:
            notes.append("its experts are fused tensors that stay at 16 bit")
        if held.name == "int8":  # LLM.int8 (Dettmers et al. 2022) looks for activations above its threshold
            notes.append("trained weights make outliers, which int8 multiplies apart at 16 bit: they may be slower")
    else:
        source, note = _source(reference)
        model, more = _from_checkpoint(reference, held, source, device, embeds)
        notes += [note, more]
    model.eval()
    if compute_dtype(held, device) != dense_dtype(held, device):
        multiply_at_fp32(model)
    load_s = time.perf_counter() - started
    proof = prove(model, held)
    check(proof, held)
    if tokenizer:
        text = load_tokenizer(reference_text)
    return Loaded(model, text, proof, load_s, "; ".join(filter(None, notes)) or None)


def load_tokenizer(reference_text: str) -> Any:
    """The tokenizer of a model alone, without its weights; raises `InputError` for a model that has none."""
    import transformers

    reference = parse(reference_text)
    if reference.kind == "random":
        raise _no_tokenizer(reference)
    source, files = _source(reference)[0], {}
    if reference.kind == "gguf":
        source, files = str(Path(source).parent), {"gguf_file": Path(source).name}
    try:
        return transformers.AutoTokenizer.from_pretrained(source, **files)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(": ")
        raise invalid_input(
            "model", str(reference), f"a model with a tokenizer transformers can load ({reason})"
        ) from error


def _no_tokenizer(reference: Reference) -> InputError:
    return invalid_input("model", str(reference), "trained weights: random ones have no tokenizer")


def _from_checkpoint(
    reference: Reference, held: Precision, source: str, device: str, embeds: bool
) -> tuple[Any, str | None]:
    """The model of a folder, a hub name or a GGUF file, refused where a weight was not in it; what to know of it."""
    import torch
    import transformers

    arguments: dict[str, Any] = {
        "dtype": torch_dtype(dense_dtype(held, device)), "device_map": device, "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # so that the sentence below names the tensor, where transformers names none
    }  # fmt: skip
    place: str | Path = source
    if reference.kind == "gguf":
        if held.quantizes:
            raise InputError(f"precision is {held.name!r}; allowed for a GGUF file: fp32, bf16, fp16, or its own type")
        place = Path(source).parent
        arguments |= {"gguf_file": Path(source).name, "quantization_config": transformers.GgufConfig(dequantize=True)}
    elif held.method == "bitsandbytes":
        settings = dict(held.settings)
        if "load_in_4bit" in settings:
            settings["bnb_4bit_compute_dtype"] = torch_dtype(compute_dtype(held, device))
        arguments["quantization_config"] = transformers.BitsAndBytesConfig(**settings)
    kind = transformers.AutoModel if embeds or is_encoder(reference) else transformers.AutoModelForCausalLM
    try:
        if reference.kind != "gguf":
            check_checkpoint(place, held)
        model, info = kind.from_pretrained(place, **arguments)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise invalid_input("model", str(reference), f"a model transformers can load ({reason})") from error
    except ImportError as error:
        raise Unsupported(f"transformers lacks a package for this checkpoint: {str(error).splitlines()[0]}") from error
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise Invalid(f"{len(missing)} weights were not in the checkpoint and were re-initialised, first {missing[0]}")
    unlike = sorted((name, *map(tuple, sizes)) for name, *sizes in info.get("mismatched_keys", ()))
    if unlike:
        name, has, wanted = unlike[0]
        said = f"{len(unlike)} weights of the checkpoint do not fit and were re-initialised, first {name}: "
        raise Invalid(said + f"{has} in the checkpoint, {wanted} in the model")
    if reference.kind == "gguf":
        note = gguf.unused(Path(source), model)
    else:
        note = checkpoint_note(place, held, model, info.get("unexpected_keys", ()))
    if held.method == "torchao":
        head = model.get_output_embeddings()
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module is not head:
                random_weights.quantize_linear(module, held, torch_dtype(compute_dtype(held, device)))
    return model, note


def is_encoder(reference: Reference) -> bool:
    """Whether a referenced model makes vectors and not text; asks its configuration, not its weights."""
    if is_static(reference) or reference == Reference("demo", "minilm"):
        return True
    if reference.kind != "path":
        return False
    config = read_json(Path(reference.name) / "config.json", "model")
    names = config.get("architectures")
    text = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    return config.get("model_type") in ENCODERS or (
        isinstance(names, list) and bool(names) and not str(names[0]).endswith(text)
    )


def context_of(reference: Reference) -> int | None:
    """Longest sequence a model's configuration allows, prompt and answer together; None where it does not say."""
    import transformers

    if reference.kind == "gguf":
        return None
    _quiet()
    try:
        if reference.kind == "random":
            config = random_weights.config_of(shape(reference))
        else:
            config = transformers.AutoConfig.from_pretrained(_source(reference)[0])
    except (OSError, ValueError):  # loading says better what is wrong with it
        return None
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return None if longest is None else int(longest)


def _source(reference: Reference) -> tuple[str, str | None]:
    if reference.kind == "hub":
        return reference.name, None
    os.environ["HF_HUB_OFFLINE"] = "1"
    if reference.kind == "gguf":
        return reference.name, gguf.read(Path(reference.name)).note
    if reference.kind == "demo":
        return str(demo.ensure(reference.name)), demo.NOTE if reference.name == "gemma-3-270m" else None
    return reference.name, None


def check_device(held: Precision, device: str) -> None:
    """Raise `InputError` for a missing package, an unknown device, or one that cannot hold weights at a precision.

    Asks the driver, not torch, so that a command can refuse before anything heavy starts.
    """
    from importlib.util import find_spec

    if held.needs and find_spec(held.needs) is None:
        how = f"pip install {held.needs}" + (", in an environment of its own" if held.needs == "gptqmodel" else "")
        raise InputError(f"precision is {held.name!r}, which needs a package that is missing; allowed: {how}")
    kind, _, index = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise invalid_input("device", device, "cpu, cuda or cuda:NUMBER")
    if kind == "cuda":
        gpu = look(device)
        if gpu.unusable:
            raise invalid_input("device", device, f"cpu ({gpu.unusable})")
        facts = gpu.facts or {}
        capability = tuple(facts.get("capability") or ())
        if held.minimum_capability and capability and capability < held.minimum_capability:
            has, needed = (".".join(map(str, version)) for version in (capability, held.minimum_capability))
            name = facts["name"]
            raise invalid_input(
                "precision", held.name, f"precisions that {name} can run (this one needs {needed}, it has {has})"
            )


def _quiet() -> None:
    import logging

    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
