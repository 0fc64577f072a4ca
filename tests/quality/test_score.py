import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from costlib.errors import InputError
from costlib.isolate import Invalid, Unsupported
from costlib.quality.score import Head, _checked_head, compare_logits, rolling_windows, score, token_hash

TEXT = "Ein Würfel fällt: €5 are gone, and naïve bets lose. " * 4
"""Has characters of one, two and three bytes."""


def run(tiny, precision="fp32", tokens=100, window=32, folder=".", hand_over=False, text=TEXT):
    return score(f"path:{tiny}", precision, "cpu", text, tokens, window, str(folder), hand_over)


def published_windows(ids, first, length):
    """Inputs and targets by the rule of lm-evaluation-harness (get_rolling_token_windows with a context of 1)."""
    yield [first, *ids[: length - 1]], ids[:length]
    done = length
    while done < len(ids):
        end = min(len(ids), done + length)
        yield ids[end - length - 1 : end - 1], ids[done:end]
        done = end


def direct_log_probabilities(folder, dtype, window, tokens):
    """Log-probabilities (tokens, vocabulary) in float64, from whole forward passes of the model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    ids = [token for token in token_ids(folder)][:tokens]
    rows = []
    for inputs, targets in published_windows(ids, 0, window):
        with torch.inference_mode():
            logits = model(torch.tensor([inputs])).logits[0, -len(targets) :]
        rows.append(torch.log_softmax(logits.double(), -1).numpy())
    return np.concatenate(rows), ids


def token_ids(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)(TEXT, add_special_tokens=False)["input_ids"]


@given(st.integers(1, 500), st.integers(1, 90))
def test_windows_cover_every_token_once_in_order(tokens, window):
    windows = rolling_windows(tokens, window)
    assert [token for start, stop in windows for token in range(start, stop)] == list(range(tokens))
    assert {stop - start for start, stop in windows[:-1]} <= {window}


def test_token_hash_depends_on_the_ids_alone():
    assert token_hash([1, 22]) == token_hash((1, 22)) != token_hash([12, 2])
    assert token_hash([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_every_token_is_scored_once_by_the_published_window_rule(tiny):
    import torch

    expected, ids = direct_log_probabilities(tiny, torch.float32, 32, 100)
    found = run(tiny)
    assert found["nll"] == pytest.approx(-expected[np.arange(100), ids], abs=1e-5)
    assert (found["kl"], found["top1"]) == (None, None)
    assert found["text_sha256"] == token_hash(ids)


def test_bytes_are_those_of_the_scored_tokens(tiny):
    """Every token of this tokenizer is one byte; a character cut by the last token is counted whole."""
    assert run(tiny, tokens=32)["utf8_bytes"] == 32
    cut = len(TEXT[: TEXT.index("€")].encode()) + 1
    assert run(tiny, tokens=cut, window=8)["utf8_bytes"] == cut + 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_identical_logits_give_exactly_nothing(tiny, tmp_path, precision):
    baseline = run(tiny, precision, folder=tmp_path, hand_over=True)
    again = run(tiny, precision, folder=tmp_path)
    assert again["nll"] == baseline["nll"]
    assert set(again["kl"]) == {0.0}
    assert set(again["top1"]) == {1.0}


def test_divergence_is_that_of_whole_distributions(tiny, tmp_path):
    import torch

    baseline, ids = direct_log_probabilities(tiny, torch.float32, 32, 100)
    variant, _ = direct_log_probabilities(tiny, torch.bfloat16, 32, 100)
    run(tiny, "fp32", folder=tmp_path, hand_over=True)
    found = run(tiny, "bf16", folder=tmp_path)
    assert found["kl"] == pytest.approx(rel_entr(np.exp(baseline), np.exp(variant)).sum(axis=1), rel=0.02, abs=2e-6)
    assert found["top1"] == (baseline.argmax(axis=1) == variant.argmax(axis=1)).tolist()
    assert found["nll"] == pytest.approx(-variant[np.arange(100), ids], abs=1e-5)


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_quantized_variants_are_compared(tiny, tmp_path, precision):
    run(tiny, "bf16", folder=tmp_path, hand_over=True)
    found = run(tiny, precision, folder=tmp_path)
    assert 0 < np.mean(found["kl"]) < 1
    assert 0.2 < np.mean(found["top1"]) < 1


def test_compare_logits_equals_scipy():
    import torch

    random = np.random.default_rng(2)
    variant, baseline = (torch.log_softmax(torch.tensor(random.normal(0, 3, (6, 900))), -1) for _ in range(2))
    divergence, agrees = compare_logits(variant, baseline)
    expected = rel_entr(baseline.exp().numpy(), variant.exp().numpy()).sum(-1)
    assert divergence.numpy() == pytest.approx(expected, rel=1e-9)
    assert agrees.tolist() == [False] * 6
    assert compare_logits(baseline, baseline)[0].tolist() == [0] * 6


def small_model(kind, **special):
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        **special,
    )
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


@pytest.mark.parametrize(
    ("kind", "special"),
    [
        ("Llama", {}),
        ("Gemma2", {"final_logit_softcapping": 4.0, "head_dim": 8}),
        ("Cohere", {"logit_scale": 0.0625}),
        ("Granite", {"logits_scaling": 8.0}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_head_gives_the_models_own_logits(kind, special, dtype):
    import torch

    model = small_model(kind, **special).to(getattr(torch, dtype))
    ids = torch.tensor([[0, 5, 7, 9, 11]])
    with torch.inference_mode():
        head = _checked_head(model, ids[0].tolist(), "cpu")
        hidden = model.base_model(input_ids=ids).last_hidden_state[0]
        expected = model(input_ids=ids).logits[0]
        found = head.logits(head.project(hidden), hidden.dtype)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01 * float(expected.abs().max()))


def test_a_head_that_does_more_is_refused():
    import torch

    model = small_model("Llama")
    model.lm_head.register_forward_hook(lambda module, given, logits: logits * 2)
    with torch.inference_mode(), pytest.raises(Unsupported, match="does more to its final hidden states"):
        _checked_head(model, [0, 5, 7], "cpu")


def test_a_quantized_head_is_refused():
    import torch

    class Quantized(torch.nn.Linear):
        pass

    model = small_model("Llama")
    model.lm_head = Quantized(32, 300)
    with pytest.raises(Unsupported, match="the output layer is Quantized"):
        Head.of(model)


@pytest.mark.parametrize("position", [1, TEXT.index("€")])
def test_a_model_that_gives_no_numbers_is_invalid(tiny, tmp_path, position):
    import shutil

    import torch
    from transformers import AutoModelForCausalLM

    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        model.model.embed_tokens.weight[token_ids(tiny)[position]] = math.nan
    model.save_pretrained(broken)
    with pytest.raises(Invalid, match="not finite"):
        run(broken, folder=tmp_path)


def test_a_text_that_holds_too_few_tokens_is_an_input_error(tiny):
    size = len(TEXT.encode())
    assert len(run(tiny, tokens=size)["nll"]) == size
    with pytest.raises(
        InputError, match=f"^tokens is {size + 1}; allowed: at most {size}, which is all the text holds"
    ):
        run(tiny, tokens=size + 1)


def test_a_window_longer_than_the_models_context_is_an_input_error(tiny):
    with pytest.raises(InputError, match=r"^window is 129; allowed: at most 128 tokens"):
        run(tiny, tokens=150, window=129)
