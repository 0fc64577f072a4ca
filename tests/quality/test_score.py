import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from costlib.errors import InputError
from costlib.isolate import Invalid, Unsupported
from costlib.quality.score import Head, checked_head, compare_logits, score
from costlib.quality.windows import Rule, token_hash

TEXT = "Ein Würfel fällt: €5 are gone, and naïve bets lose. " * 4
"""Has characters of one, two and three bytes."""


def run(tiny, precision="fp32", tokens=100, window=32, folder=".", hand_over=False, rule="ppl_rolling", **other):
    laid = Rule.of(rule, window, other.pop("stride", None))
    where = {"folder": str(folder), "hand_over": hand_over, **other}
    return score(f"path:{tiny}", precision, "cpu", TEXT, tokens, rule, window, laid.stride, **where)


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


@pytest.mark.parametrize(("rule", "stride"), [("ppl_rolling", None), ("ppl_sliding", 6), ("ppl_llamacpp", None)])
def test_every_rule_scores_what_the_model_says_with_that_context_and_no_other(tiny, rule, stride):
    """One forward pass per token on exactly the tokens it is conditioned on."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    sequence, expected = [0, *token_ids(tiny)[:40]], []
    for part in Rule.of(rule, 16, stride).windows(40):
        for at in range(part.start, part.stop):
            read = sequence[part.read : at + 1]
            read[0] = 0 if rule == "ppl_llamacpp" else read[0]
            with torch.inference_mode():
                logits = model(torch.tensor([read])).logits[0, -1]
            expected.append(-torch.log_softmax(logits, -1)[sequence[at + 1]].item())
    found = run(tiny, tokens=40, window=16, rule=rule, stride=stride)
    assert len(expected) == (14 if rule == "ppl_llamacpp" else 40)
    assert found["nll"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("rule", "stride"), [("ppl_rolling", None), ("ppl_sliding", 12), ("ppl_llamacpp", None)])
def test_a_variant_is_compared_token_by_token_under_every_rule(tiny, tmp_path, rule, stride):
    for precision in ("fp32", "bf16"):
        (tmp_path / precision).mkdir()
        same = run(tiny, precision, folder=tmp_path / precision, hand_over=True, rule=rule, stride=stride)
        again = run(tiny, precision, folder=tmp_path / precision, rule=rule, stride=stride)
        assert (set(again["kl"]), set(again["top1"]), again["nll"]) == ({0.0}, {True}, same["nll"])
    found = run(tiny, "bf16", folder=tmp_path / "fp32", rule=rule, stride=stride)
    assert len(found["kl"]) == len(found["nll"])
    assert 0 < max(found["kl"]) < 0.1


def test_bytes_are_those_of_the_scored_tokens(tiny):
    """Every token of this tokenizer is one byte; a character cut by the last token is counted whole."""
    assert run(tiny, tokens=32)["utf8_bytes"] == 32
    cut = len(TEXT[: TEXT.index("€")].encode()) + 1
    assert run(tiny, tokens=cut, window=8)["utf8_bytes"] == cut + 2


def test_bytes_of_tokens_that_are_not_scored_do_not_count(tiny):
    """Chunks of 32 with bos in front score the 16th to 30th, then the 48th to 62nd of these one-byte tokens."""
    found = run(tiny, tokens=64, rule="ppl_llamacpp")
    assert len(found["nll"]) == 30
    sizes = [len(character.encode()) for character in TEXT]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    inside = [size for start, size in zip(starts, sizes, strict=True) if 16 <= start < 31 or 48 <= start < 63]
    assert found["utf8_bytes"] == sum(inside)


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


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 3000), st.floats(0, 100))
def test_identical_logits_diverge_by_exactly_nothing(seed, positions, words, spread):
    import torch

    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, spread, (positions, words))).float()
    divergence, agrees = compare_logits(torch.log_softmax(logits, -1), torch.log_softmax(logits.clone(), -1))
    assert divergence.tolist() == [0.0] * positions
    assert all(agrees.tolist())


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
        head = checked_head(model, ids[0].tolist(), "cpu")
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
        checked_head(model, [0, 5, 7], "cpu")


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


# Another model


def copied(tiny, place, **settings):
    """The tiny folder with another architecture setting, and random weights of its own."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(tiny, place)
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig.from_pretrained(tiny, **settings)).save_pretrained(place)
    return place


def test_a_student_of_another_width_is_compared_over_the_same_vocabulary(tiny, tmp_path):
    import torch

    student = copied(tiny, tmp_path / "student", hidden_size=32, num_hidden_layers=1)
    baseline, _ = direct_log_probabilities(tiny, torch.float32, 32, 100)
    variant, _ = direct_log_probabilities(student, torch.float32, 32, 100)
    run(tiny, "fp32", folder=tmp_path, hand_over=True, variants=[f"path:{student}"])
    found = run(student, "fp32", folder=tmp_path)
    assert found["kl"] == pytest.approx(rel_entr(np.exp(baseline), np.exp(variant)).sum(axis=1), rel=1e-4)


def test_an_output_layer_of_another_size_is_invalid(tiny, tmp_path):
    other = copied(tiny, tmp_path / "other", vocab_size=300)
    run(tiny, "fp32", folder=tmp_path, hand_over=True)
    with pytest.raises(Invalid, match="its output layer has 300 words, not the baseline's 512"):
        run(other, "fp32", folder=tmp_path)


def swapped(vocabulary):
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swapped, r"257 tokens there, 257 here; the first to differ is token \d+, '[ab]' there, '[ab]' here"),
        (lambda v: v.update(ab=257), r"257 tokens there, 258 here; the first to differ is token 257, none there, 'ab'"),
    ],
)
def test_another_vocabulary_is_refused_before_weights_are_loaded(tiny, tmp_path, monkeypatch, change, message):
    other = shutil.copytree(tiny, tmp_path / "other")
    file = other / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content["model"]["vocab"])
    file.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("costlib.models.load.load_model", None)
    with pytest.raises(InputError, match=f"^model is 'path:.*other'; allowed: .*tokenizer of path:{tiny} .{message}"):
        run(tiny, "fp32", folder=tmp_path, hand_over=True, variants=[f"path:{other}"])


def test_the_same_vocabulary_that_reads_the_text_otherwise_is_refused(tiny, tmp_path):
    other = shutil.copytree(tiny, tmp_path / "other")
    file = other / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=r"same 257 tokens, but token 1 of the text is 'E' there, 'e' here"):
        run(tiny, "fp32", folder=tmp_path, hand_over=True, variants=[f"path:{other}"])
