"""Models of a true shape with random weights, built layer by layer on the device and quantized as they go.

Speed and memory of such a model are real; quality is not, and is refused elsewhere. At no time is more than one layer
held at 16 bit beside what is finished, so a 70B model at nf4 needs the memory of nf4. Weights are normal with standard
deviation 0.02, from a fixed seed; norms start as the identity.
"""

from __future__ import annotations

from typing import Any

from costlib.isolate import Unsupported
from costlib.models.architectures import Architecture
from costlib.models.precision import Precision, compute_dtype, dense_dtype, torch_dtype

_STANDARD_DEVIATION = 0.02
_DECODERS_WITH_UNIT_OFFSET = ("gemma2", "gemma3_text")
"""Their norms multiply by 1 + weight, so the identity is a weight of 0."""


def config_of(shape: Architecture) -> Any:
    """The transformers config of a shape. Raises `Unsupported` for a shape that serves memory prediction only."""
    import transformers

    if shape.memory_only:
        raise Unsupported(f"{shape.name} is known for memory prediction only")
    own: dict[str, Any] = {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_attention_heads": shape.heads,
        "vocab_size": shape.vocabulary,
    }
    if not shape.encoder:
        own |= {"num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim, "tie_word_embeddings": shape.tied}
    if shape.experts:
        own |= {"num_local_experts": shape.experts, "num_experts": shape.experts}
    if shape.expert_intermediate:
        own["moe_intermediate_size"] = shape.expert_intermediate
    if shape.sliding_window:
        own["sliding_window"] = shape.sliding_window
    if shape.model_type in ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "phi3"):
        own["max_position_embeddings"] = 131_072  # rotary positions need no weights; a true shape may run any length
    return transformers.AutoConfig.for_model(shape.model_type, **own, pad_token_id=0)


def build(shape: Architecture, held: Precision, device: str, seed: int = 0) -> Any:
    """The model of `shape` at a precision on `device` (`AutoModel` for embedding models), in evaluation mode."""
    import torch
    import transformers
    from accelerate import init_empty_weights

    if held.method not in ("dense", "bitsandbytes", "torchao"):
        raise Unsupported(f"random weights cannot be held as {held.name}; it needs a checkpoint or a file")
    dtype, multiplied = (torch_dtype(each(held, device)) for each in (dense_dtype, compute_dtype))
    kind = transformers.AutoModel if shape.headless else transformers.AutoModelForCausalLM
    with init_empty_weights(include_buffers=False):
        model = kind.from_config(config_of(shape), dtype=dtype)
    generator = torch.Generator(device).manual_seed(seed)
    identity = 0.0 if shape.model_type in _DECODERS_WITH_UNIT_OFFSET else 1.0
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        for key, buffer in module._buffers.items():
            module._buffers[key] = None if buffer is None else buffer.to(device)
        if module is head and shape.tied:
            continue
        for key, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.is_meta:
                made = _filled(parameter, key, identity, dtype, device, generator)
                module._parameters[key] = torch.nn.Parameter(made, requires_grad=False)
        if held.quantizes and isinstance(module, torch.nn.Linear) and module is not head:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, _quantized(module, held, multiplied, device))
            del module
    model.tie_weights()
    return model.eval()


def _filled(meta: Any, key: str, identity: float, dtype: Any, device: str, generator: Any) -> Any:
    import torch

    made = torch.empty(meta.shape, dtype=dtype, device=device)
    if meta.dim() == 1:
        return made.fill_(identity if key == "weight" else 0.0)
    return made.normal_(0.0, _STANDARD_DEVIATION, generator=generator)


def _quantized(linear: Any, held: Precision, multiplied: Any, device: str) -> Any:
    """The same layer at a quantized precision; its 16-bit weights are released."""
    if held.method == "torchao":
        quantize_linear(linear, held, multiplied)
        return linear
    import bitsandbytes as bnb
    import torch

    shape = linear.in_features, linear.out_features, linear.bias is not None
    settings = dict(held.settings)
    layer: Any
    if "load_in_8bit" in settings:
        layer = bnb.nn.Linear8bitLt(
            *shape, has_fp16_weights=False, threshold=settings["llm_int8_threshold"], device="meta"
        )
        # `Int8Params.to` quantizes what comes from the host only, and these weights were made on the device.
        codes, scales, _ = bnb.functional.int8_vectorwise_quant(linear.weight.data.to(torch.float16))
        layer.weight = bnb.nn.Int8Params(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)
    else:
        kind, double = settings["bnb_4bit_quant_type"], settings.get("bnb_4bit_use_double_quant", False)
        layer = bnb.nn.Linear4bit(
            *shape, compute_dtype=multiplied, compress_statistics=double, quant_type=kind, device="meta"
        )
        layer.weight = bnb.nn.Params4bit(
            linear.weight.data, requires_grad=False, compress_statistics=double, quant_type=kind, module=layer
        ).to(device)
    layer.bias = linear.bias
    linear.weight = None
    return layer.requires_grad_(False)


def quantize_linear(linear: Any, held: Precision, multiplied: Any) -> None:
    """Quantize one linear layer in place by torchao, which multiplies at the dtype that the weights came in.

    Raises `Unsupported` where it has no released kernel.
    """
    import torch
    from torchao import quantization

    if held.cuda_only and linear.weight.device.type != "cuda":
        raise Unsupported(f"{held.name} runs on NVIDIA GPUs only: {held.cuda_only}")
    ((config, given),) = held.settings
    linear.weight = torch.nn.Parameter(linear.weight.to(multiplied), requires_grad=False)
    quantization.quantize_(linear, getattr(quantization, config)(**given))
