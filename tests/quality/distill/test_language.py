from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from costlib.errors import InputError
from costlib.quality.distill.students import (
    next_token_right,
    optimise,
    shallow_language_model,
    windows,
    with_fewer_layers,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def sequence(count: int) -> Any:
    """Windows of 16 tokens in which each token follows from the one before: next = 3 * token + 1 modulo 29."""
    rows = []
    for start in range(count):
        row = [start % 29]
        while len(row) < 16:
            row.append((3 * row[-1] + 1) % 29)
        rows.append(row)
    return np.asarray(rows)


@pytest.fixture(scope="module")
def teacher() -> Any:
    """A Llama of four layers that has learned the sequence."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    data = torch.from_numpy(sequence(29))
    optimise(list(model.parameters()), 80, 1e-2, lambda: model(input_ids=data, labels=data).loss)
    return model.eval()


def _divergence(teacher: Any, student: Any, data: Any) -> float:
    """KL(teacher || student) in nats per token."""
    import torch

    with torch.inference_mode():
        first, second = (m(input_ids=torch.from_numpy(data)).logits.log_softmax(-1) for m in (teacher, student))
    return float((first.exp() * (first - second)).sum(-1).mean())


def test_the_student_learns_from_the_logits_what_its_missing_layers_knew(teacher: Any) -> None:
    data = sequence(29)
    arguments: dict[str, Any] = {"every": 2, "temperature": 2.0, "alpha": 1.0, "batch": 8, "device": "cpu"}
    untrained = with_fewer_layers(teacher, 2)
    student, read = shallow_language_model(teacher, data, steps=120, **arguments)
    apart = [_divergence(teacher, model, data) for model in (teacher, untrained, student)]
    assert apart[0] == 0 and apart[2] < apart[1] / 5
    right = [float(np.mean(next_token_right(model, data, "cpu"))) for model in (teacher, student)]
    assert min(right) > 0.95
    assert read == 120 * 8 * 16 and student.config.num_hidden_layers == 2
    frozen = student.get_input_embeddings().weight
    assert (frozen == teacher.get_input_embeddings().weight).all()


def test_a_thinned_model_generates_with_its_cache_what_it_says_without(teacher: Any) -> None:
    import torch

    student = with_fewer_layers(teacher, 2)
    ids = torch.tensor([[1, 4, 13]])
    with torch.inference_mode():
        made = student.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)
        for at in range(3, 8):
            assert made[0, at] == student(made[:, :at], use_cache=False).logits[0, -1].argmax()


def test_windows_are_apart_and_a_short_text_is_refused() -> None:
    def words(text: str, **_: Any) -> Any:
        return {"input_ids": [len(word) for word in text.split()]}

    cut = windows(words, " ".join(["a" * (i % 7 + 1) for i in range(200)]), 8, 3)
    assert cut.train.shape == (20, 8) and cut.test.shape == (3, 8)
    assert cut.test[0].tolist() == [i % 7 + 1 for i in range(160, 168)]
    with pytest.raises(InputError, match="at least 80 tokens"):
        windows(words, "one two", 8, 3)


def test_every_token_of_every_window_but_the_first_is_scored(teacher: Any) -> None:
    assert len(next_token_right(teacher, sequence(3), "cpu")) == 45
