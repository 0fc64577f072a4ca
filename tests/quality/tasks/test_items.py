import json

import pytest

from costlib.errors import InputError
from costlib.quality.tasks.items import read_task


def jsonl(folder, rows, name="task.jsonl"):
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def labelled(text, expected, **more):
    return {"input": text, "expected": expected, **more}


def test_the_same_items_from_jsonl_csv_and_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        labelled("where, is it", "late", choices=["late", "lost"], weight=2.0, cost_of_miss=0.5),
        labelled('say "hi"\nnow', "lost", choices=["late", "lost"], weight=1.0, cost_of_miss=0.0),
    ]
    one = read_task(jsonl(tmp_path, rows), kind="classification")
    table = tmp_path / "task.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    sheet = tmp_path / "task.csv"
    sheet.write_text(
        "input,expected,choices,weight,cost_of_miss\n"
        '"where, is it",late,"[""late"", ""lost""]",2,0.5\n'
        '"say ""hi""\nnow",lost,"[""late"", ""lost""]",1,0\n',
        encoding="utf-8",
    )
    assert one.items == read_task(table, kind="classification").items == read_task(sheet, kind="classification").items
    assert [item.cost_of_miss for item in one.items] == [0.5, 0.0]


def test_labels_of_the_whole_file_are_the_choices_of_a_file_without_them(tmp_path):
    rows = [labelled("a", "x", split="train"), labelled("b", "y"), labelled("c", "x")]
    task = read_task(jsonl(tmp_path, rows), kind="classification")
    assert [item.choices for item in task.items] == [("x", "y"), ("x", "y")]
    assert [item.input for item in task.train] == ["a"]


def test_a_prompt_holds_examples_choices_and_fields(tmp_path):
    rows = [labelled("2 and 2", {"sum": 4}, split="train"), labelled("1 and {choices}", {"sum": 2})]
    task = read_task(jsonl(tmp_path, rows), kind="extraction", shots=1, prompt="{input} gives {fields}:")
    assert task.rendered(task.items[0]) == '2 and 2 gives sum: {"sum": 4}\n\n1 and {choices} gives sum:'


def test_the_question_changes_with_what_a_model_is_given_and_not_with_the_label(tmp_path):
    first = read_task(jsonl(tmp_path, [labelled("a", "x")]), kind="exact")
    other = read_task(jsonl(tmp_path, [labelled("a", "y")]), kind="exact")
    longer = read_task(jsonl(tmp_path, [labelled("a", "x")]), kind="exact", max_tokens=9)
    hashes = [task.question_sha256(task.items[0]) for task in (first, other, longer)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert first.items[0].label_sha256 != other.items[0].label_sha256


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        ([], {"kind": "exact"}, "at least one item to score"),
        ([labelled(" ", "x")], {"kind": "exact"}, "a text that is not empty"),
        ([labelled("a", "")], {"kind": "exact"}, "what the right answer is"),
        ([labelled("a", "x"), labelled("b", "y"), labelled("a", "x")], {"kind": "exact"}, "1 repeated"),
        ([labelled("a", "z", choices=["x", "y"])], {"kind": "classification"}, "expected is 'z'; allowed: one of x, y"),
        ([labelled("a", "x", choices=["x", "x"])], {"kind": "classification"}, "a list of different texts"),
        (
            [labelled("a", "x", split="train"), labelled("a", "x"), labelled("b", "x")],
            {"kind": "exact"},
            "1 in train and in test",
        ),
        ([labelled("a", "x", split="dev")], {"kind": "exact"}, "split is 'dev'"),
        ([labelled("a", "x", lable="x")], {"kind": "exact"}, "column is 'lable'"),
        ([labelled("a", "x")], {}, "kind is 'none'"),
        ([labelled("a", "x", kind="exact"), labelled("b", "x", kind="regex")], {}, "one for the whole file"),
        ([labelled("a", "[")], {"kind": "regex"}, "a regular expression"),
        ([labelled("a", "many")], {"kind": "numeric"}, "a finite number"),
        ([labelled("a", "x")], {"kind": "extraction"}, "a JSON object"),
        ([labelled("a", "x")], {"kind": "retrieval"}, "the documents"),
        ([labelled("a", "p", choices=["m", "n"])], {"kind": "preference"}, "or tie"),
        ([labelled("a", "x", weight=-1)], {"kind": "exact"}, "weight is -1"),
        ([labelled("a", "x", id="1"), labelled("b", "x", id="1")], {"kind": "exact"}, "an id no other item has"),
        ([labelled("a", "x")], {"kind": "exact", "shots": 1}, "0 to 0"),
        ([labelled("a", "x")], {"kind": "exact", "max_tokens": 0}, "max_tokens is 0"),
        ([labelled("a", "x")], {"kind": "exact", "limit": True}, "limit is True"),
        ([labelled("a", "x")], {"kind": "exact", "prompt": "Say:"}, "holds {input}"),
        ([labelled("a", "x")], {"kind": "exact", "margin": 1}, "a share between 0 and 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, rows, settings, said):
    with pytest.raises(InputError) as error:
        read_task(jsonl(tmp_path, rows), **settings)
    assert said in str(error.value)
    assert "task.jsonl" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "x", "ends in .jsonl"),
        ("a.jsonl", '{"input": ', "a.jsonl:1"),
        ("a.jsonl", "[1]", "one JSON object a line"),
        ("a.csv", "input,expected\na\n", "as in the header"),
        ("a.parquet", "no", "a Parquet file"),
    ],
)
def test_a_file_that_is_not_one_is_named(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_task(file, kind="exact")
    assert said in str(error.value)


def test_the_shipped_sets_are_what_their_generator_writes():
    import importlib.util

    from costlib.paths import data_dir

    folder = data_dir() / "tasks"
    spec = importlib.util.spec_from_file_location("generate", folder / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for make in generate.SETS:
        file = folder / f"{make.__name__}.jsonl"
        assert file.read_text(encoding="utf-8") == generate.text(make())
        assert read_task(file).items
