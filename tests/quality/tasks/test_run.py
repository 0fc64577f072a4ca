import json

import pytest

from costlib import isolate
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.quality.tasks import local
from costlib.quality.tasks.answers import answer_tasks, judged, stored_answers
from costlib.quality.tasks.items import Item, Task
from costlib.store import Store
from costlib.tables import ANSWERS
from tests.small_models import documents, tiny_bert

CHOICES = ("red", "green", "blue")


def classify(count=5, name="colours", **settings):
    items = tuple(Item(str(i), f"item {i} looks", CHOICES[i % 3], CHOICES) for i in range(count))
    return Task(name, "classification", items, prompt="{input}:", **settings)


@pytest.fixture
def children(monkeypatch):
    """Runs every child's work in this process and counts the questions of each."""
    asked = []

    def here(target, arguments, **_):
        asked.append(len(arguments["questions"]))
        answer = isolate._answer(getattr(local, target.split(":")[1]), arguments)
        if answer["status"] == "input":
            raise InputError(answer["reason"])
        return Outcome(answer["status"], answer.get("value"), answer.get("reason"), 0.0)

    monkeypatch.setattr(campaign, "run_isolated", here)
    return asked


def test_the_likeliest_choice_is_the_sum_of_its_tokens_log_likelihoods(tiny):
    import torch

    from costlib.models.load import load_model

    loaded = load_model(f"path:{tiny}", "fp32", "cpu", tokenizer=True)
    choices = ["no", "yes", "yes and no", *(f"choice number {i}" for i in range(40))]
    with torch.inference_mode():
        found = local.likeliest(loaded.model, loaded.tokenizer, "Is it so?", choices, "cpu")
        expected = []
        for choice in choices:
            start = len(loaded.tokenizer("Is it so?")["input_ids"])
            ids = loaded.tokenizer(f"Is it so? {choice}", return_tensors="pt")["input_ids"]
            logs = torch.log_softmax(loaded.model(ids).logits[0].float(), -1)
            expected.append(float(logs[:-1].gather(1, ids[0, 1:, None])[start - 1 :].sum()))
    shared = expected[0] - found["detail"]["log_likelihood"][0]  # the space before every choice is in no sum
    assert found["detail"]["log_likelihood"] == pytest.approx([one - shared for one in expected], abs=1e-3)
    assert found["text"] == choices[max(range(len(choices)), key=expected.__getitem__)]


def test_generated_answers_do_not_depend_on_what_runs_beside_them(tiny):
    import torch

    from costlib.models.load import load_model

    loaded = load_model(f"path:{tiny}", "fp32", "cpu", tokenizer=True)
    prompts = ["One two", "A longer prompt than the first", "x"]
    with torch.inference_mode():
        together = local.generated(loaded.model, loaded.tokenizer, prompts, "cpu", 6, [])
        alone = [local.generated(loaded.model, loaded.tokenizer, [one], "cpu", 6, [])[0] for one in prompts]
    assert [one["text"] for one in together] == [one["text"] for one in alone]
    assert [one["output_tokens"] for one in together] == [6, 6, 6]
    assert [one["input_tokens"] for one in together] == [len(one) for one in prompts]


def test_what_was_answered_is_not_asked_again(tiny, tmp_path, children):
    model = f"path:{tiny}"
    first = answer_tasks(model, ["fp32"], [classify(3)], store=tmp_path)
    longer = answer_tasks(model, ["fp32"], [classify(5)], store=tmp_path)
    again = answer_tasks(model, ["fp32"], [classify(5)], store=tmp_path)
    assert children == [3, 2]
    assert list(longer["item"]) == list(again["item"]) == ["0", "1", "2", "3", "4"]
    assert list(longer["answer"][:3]) == list(first["answer"])
    answer_tasks(model, ["fp32"], [classify(5)], store=tmp_path, fresh=True)
    assert children == [3, 2, 5]
    assert len(stored_answers(tmp_path)) == 5


def test_what_a_time_budget_left_is_asked_by_the_next_call(tiny, tmp_path, children):
    model, task = f"path:{tiny}", classify(5)
    first = answer_tasks(model, ["fp32"], [task], store=tmp_path, time_budget_s=1e-9)
    assert list(first["status"]) == ["ok"] + ["failed"] * 4 and list(first["item"]) == ["0", "1", "2", "3", "4"]
    assert set(first["reason"][1:]) == {"the time budget of 1e-09 s ended before it was asked"}
    rest = answer_tasks(model, ["fp32"], [task], store=tmp_path)
    assert children == [5, 4] and (rest["status"] == "ok").all() and rest["run_id"][0] == first["run_id"][0]


def test_a_corrected_label_is_scored_again_without_asking(tiny, tmp_path, children):
    model = f"path:{tiny}"
    before = answer_tasks(model, ["fp32"], [classify(1)], store=tmp_path)
    answer = before["answer"][0]
    task = Task("colours", "classification", (Item("0", "item 0 looks", answer, CHOICES),), prompt="{input}:")
    after = answer_tasks(model, ["fp32"], [task], store=tmp_path)
    assert children == [1]
    assert after["score"][0] == 1
    assert before["score"][0] == float(answer == "red")


def test_a_child_that_fails_leaves_failed_rows_and_is_asked_again(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "run_isolated", lambda *_, **__: Outcome("oom", None, "out of memory", 1.0))
    for _ in range(2):
        rows = answer_tasks(f"path:{tiny}", ["fp32"], [classify(2)], store=tmp_path)
        assert list(rows["status"]) == ["failed", "failed"]
        assert set(rows["reason"]) == {"oom: out of memory"}
        assert rows["score"].isna().all()
    assert len(Store(tmp_path).read(ANSWERS).frame) == 4


def test_embedding_models_classify_by_a_head_and_retrieve_by_cosine(tmp_path, children):
    folder = tiny_bert(tmp_path / "bert")
    given = documents(40)
    train = tuple(Item(f"t{i}", text, label, ()) for i, (text, label) in enumerate(given[:20]))
    labels = tuple(sorted({label for _, label in given}))
    items = tuple(Item(f"e{i}", text, label, labels) for i, (text, label) in enumerate(given[20:]))
    sort = Task("sort", "classification", items, train)
    texts = tuple(text for text, _ in given[:8])
    find = Task("find", "retrieval", tuple(Item(f"q{i}", text, [text], texts) for i, text in enumerate(texts)))
    rows = answer_tasks(f"path:{folder}", "fp32", [sort, find], store=tmp_path / "store")
    assert rows[rows["task"] == "sort"]["score"].mean() > 0.5
    assert list(rows[rows["task"] == "find"]["score"]) == [1.0] * 8
    ask = Task("say", "exact", (Item("1", "a", "b"),))
    failed = answer_tasks(f"path:{folder}", "fp32", [ask], store=tmp_path / "store")
    assert "needs one that makes text" in failed["reason"][0]


def test_judgements_are_answers_of_the_model_named_first():
    items = (
        Item("1", "q", "m", ("m", "n"), cluster="q"),
        Item("2", "q", "tie", ("n", "m"), cluster="q"),
    )
    rows = judged(Task("taste", "preference", items))
    assert list(rows["model"]) == ["m", "n"]
    assert list(rows["score"]) == [1.0, 0.5]
    assert json.loads(rows["detail"][0])["against"] == "n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: answer_tasks("random:llama-3.1-8b", "bf16", [classify()], store=s), "trained weights"),
        (lambda s: answer_tasks("demo:minilm", "bf61", [classify()], store=s), "precision is 'bf61'"),
        (
            lambda s: answer_tasks("demo:minilm", "bf16", [classify()], store=s, timeout_s=float("nan")),
            "timeout_s is nan",
        ),
        (lambda s: answer_tasks("demo:minilm", "bf16", [classify(), classify()], store=s), "different names"),
        (
            lambda s: answer_tasks(
                "demo:minilm", "bf16", [Task("t", "preference", (Item("1", "q", "m", ("m", "n")),))], store=s
            ),
            "judgements already made",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(tmp_path, call, said):
    with pytest.raises(InputError, match=said):
        call(tmp_path)
