from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from costlib.errors import InputError
from costlib.models.texts import read_documents
from costlib.models.vectors import fidelity, head_right, linear_head, split, unit
from costlib.stats.intervals import mean_interval

VECTORS = arrays(np.float32, (12, 3), elements=st.floats(-100, 100, width=32))


@given(VECTORS)
def test_identical_vectors_give_exactly_one(vectors: np.ndarray) -> None:
    found = fidelity(vectors, vectors)
    assert (found.cosine == 1).all() and len(found.cosine) + found.undefined == 12
    assert found.overlap is None or (found.overlap == 1).all()
    assert (found.overlap is None) == (found.reason is not None)


@given(VECTORS, VECTORS)
def test_any_vectors_give_shares_and_cosines_in_range(first: np.ndarray, second: np.ndarray) -> None:
    found = fidelity(first, second)
    assert (np.abs(found.cosine) <= 1).all()
    assert found.overlap is None or ((found.overlap >= 0) & (found.overlap <= 1)).all()


def test_the_numbers_are_those_worked_out_by_hand() -> None:
    first = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    second = np.array([[0.0, 2.0], [1.0, 0.1], [0.0, 1.0]])
    found = fidelity(first, second)
    assert found.cosine.tolist() == [0.0, 1.0, 1.0] and found.neighbours == 2
    many = np.random.default_rng(0).normal(size=(40, 5))
    turned = many @ np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    kept = fidelity(many, turned).overlap
    assert kept is not None and kept.mean() == 1.0  # a rotation moves every vector and no neighbour
    moved = fidelity(many, np.random.default_rng(2).normal(size=(40, 5))).overlap
    assert moved is not None and moved.mean() == pytest.approx(10 / 39, abs=0.1)  # chance


def test_neighbours_are_the_same_in_slabs_as_at_once() -> None:
    many = np.random.default_rng(0).normal(size=(1200, 4))
    noisy = many + np.random.default_rng(1).normal(size=many.shape) * 0.05
    found = fidelity(many, noisy).overlap
    assert found is not None
    for row in (0, 600, 1199):
        near = [np.argsort(-(unit(v) @ unit(v)[row]), kind="stable") for v in (many, noisy)]
        first, second = ({int(i) for i in order if i != row} and [int(i) for i in order if i != row][:10]
                         for order in near)  # fmt: skip
        assert found[row] == len(set(first) & set(second)) / 10


def test_one_document_zero_vectors_and_broken_numbers_are_said() -> None:
    one = fidelity(np.ones((1, 3)), np.ones((1, 3)))
    assert one.cosine.tolist() == [1.0] and one.overlap is None and one.reason == "one document has no neighbours"
    zero = fidelity(np.zeros((3, 2)), np.ones((3, 2)))
    assert len(zero.cosine) == 0 and zero.undefined == 3 and "no direction" in str(zero.reason)
    same = fidelity(np.ones((5, 2)), np.ones((5, 2)))
    assert (same.cosine == 1).all() and same.overlap is not None and (same.overlap == 1).all()
    for first, second, words in (
        (np.empty((0, 2)), np.empty((0, 2)), "documents, width"),
        (np.ones((2, 2)), np.ones((3, 2)), "documents, width"),
        (np.ones((2, 2)), np.ones((2, 3)), "width is '2 and 3'"),
        (np.ones((2, 2)), np.full((2, 2), math.nan), "finite"),
    ):
        with pytest.raises(InputError, match=words):
            fidelity(first, second)


def test_intervals_need_two_documents_and_stay_where_values_can_be() -> None:
    assert mean_interval([0.5]) == (0.5, None, None)
    assert mean_interval([1.0, 1.0, 0.0], 0.0, 1.0)[1:] == (0.0, 1.0)
    assert mean_interval([1.0] * 5, 0.0, 1.0) == (1.0, 1.0, 1.0)


def test_a_split_keeps_every_class_on_both_sides_and_no_document_twice() -> None:
    labels = ["a"] * 5 + ["b"] * 4 + ["c"]
    train, test = split(labels)
    assert sorted(train + test) == list(range(10))
    assert {labels[i] for i in train} == {"a", "b", "c"} and {labels[i] for i in test} == {"a", "b"}


def test_a_head_learns_what_can_be_told_apart_and_refuses_one_class() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.2, 1.0]])
    assert head_right(vectors, ["a", "a", "b", "b"], vectors, ["a", "a", "b", "a"]).tolist() == [1, 1, 1, 0]
    with pytest.raises(InputError, match=r"labels is \['a'\]; allowed: at least two classes"):
        linear_head(vectors, ["a"] * 4)


@pytest.mark.parametrize(
    ("name", "content", "labelled", "words"),
    [
        ("a.txt", "\n\n", False, "at least one document"),
        ("a.csv", "text\nhello\n", False, "a column called input"),
        ("a.jsonl", "{", False, "one JSON object a line"),
        ("a.jsonl", '{"input": 3}', False, "whose input is text"),
        ("a.jsonl", '{"input": " "}', False, "a document that is not empty"),
        ("a.jsonl", r'{"input": "half \ud800"}', False, "a.jsonl:1: input is .*only in pairs"),
        ("a.csv", "input,expected\nwhere, is it,x\n", False, "number of cells is 3; allowed: 2"),
        ("a.jsonl", '{"input": "x"}', True, "expected is ''; allowed: a label"),
        ("a.jsonl", '{"input": "x", "expected": "a"}\n{"input": "y", "expected": "a"}', True, "at least two classes"),
        ("a.jsonl", '{"input": "x", "expected": "a"}\n{"input": "x", "expected": "b"}', True, "had before"),
    ],
)
def test_bad_documents_get_one_sentence(tmp_path: Path, name: str, content: str, labelled: bool, words: str) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_documents(file, labelled=labelled)


def test_documents_are_read_alike_from_every_form_and_repeats_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\none\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text('input,expected\n"one",x\ntwo,y\none,x\n', encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"input": "one"}\n{"input": "two"}\n{"input": "one"}\n', encoding="utf-8")
    for name in ("a.txt", "a.csv", "a.jsonl"):
        found = read_documents(tmp_path / name)
        assert found.texts == ("one", "two") and found.duplicates == 1
    (tmp_path / "b.csv").write_text('input\n"one\nmore"\n', encoding="utf-8")
    assert read_documents(tmp_path / "b.csv").texts == ("one\nmore",)
    (tmp_path / "b.jsonl").write_text('{"input": "a\u2028b", "expected": 0}\n{"input": "c", "expected": 1}\n', "utf-8")
    assert read_documents(tmp_path / "b.jsonl", labelled=True).labels == ("0", "1")
    assert read_documents(tmp_path / "a.csv", labelled=True).labels == ("x", "y")
    with pytest.raises(InputError, match="a file that exists"):
        read_documents(tmp_path / "none.txt")
