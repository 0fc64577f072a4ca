"""The four verbs: what they show stands in the ledger, what they refuse is named, a cell owns what it shows."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import Shown, notebook, run_cells, study_in

import costlib as cl
from costlib.paths import notebooks_dir
from costlib.tables.columns import RefusedError
from costlib.tables.expression import evaluate

START = (
    "import matplotlib.pyplot as plt, pandas as pd, costlib as cl\n"
    "page = cl.Page('A study, today', 'study test')\n"
    "frame = pd.DataFrame({'workload': ['chat', 'mail'], 'usd_per_month': [1200.0, 34.5],\n"
    "                      'usd_per_month_low': [1000.0, None], 'usd_per_month_high': [1500.0, None]})\n"
    "row = frame.iloc[0]"
)


def page(*cells: str) -> Shown:
    return run_cells([START, *cells, "page.end(plan=frame, totals={'plan': ('usd_per_month', row)})"])


def test_every_number_shown_is_in_the_ledger_with_unit_kind_and_source() -> None:
    shown = page(
        "page.say('# {workload} costs {usd_per_month:range}.', row)",
        "page.table(frame, 'Cost', total=frame[['usd_per_month']].sum())",
        "ax = frame.plot.barh(x='workload', y='usd_per_month', legend=False)\nax.set(xlabel='usd_per_month')\n"
        "page.chart(ax, '{workload} costs most', frame, row)",
    )
    lines = {line["id"]: line for line in shown.facts["ledger"]}
    assert set(re.findall(r'data-n="(n\w+)"', shown.html)) == set(lines)
    assert set(re.findall(r'id="(n[0-9a-f]{8})"', shown.html)) == set(lines)
    chat = next(line for line in lines.values() if line["value"] == 1200)
    assert (chat["low"], chat["high"], chat["unit"], chat["kind"]) == (1000, 1500, "USD/month", "derived")
    assert chat["source"] == "study test" and all(line["low"] is not None or line["reason"] for line in lines.values())
    assert shown.facts["answer"] == "chat costs $1,200 per month ($1,000 to $1,500)."
    assert shown.facts["ties"] == [
        {"what": "Cost: Total cost", "total": "1234.5", "parts": ["1200.0", "34.5"]}
    ] and shown.facts["totals"]["plan"]["value"] == 1200  # fmt: skip
    assert shown.facts["exports"]["plan"][1] == {
        "workload": "mail", "usd_per_month": 34.5, "usd_per_month_low": None, "usd_per_month_high": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("page.say('It costs 1,200 dollars')", "'1,200' is typed into the text"),
        ("page.say(f'It costs {row.usd_per_month:.0f}')", "'1200' is typed into the text"),
        ("page.say('{cost}', row)", "{cost} is no column of the row; there are workload, usd_per_month"),
        ("page.say('{usd_per_month}', {'usd_per_month': float('nan')})", "usd_per_month is unknown in this row"),
        ("page.table(frame.assign(speed=[1.0, 2.0]), 'Speed')", "column 'speed' has no unit; declare it: cl.column"),
        ("page.table(frame, 'Cost', total={'usd_per_month': 1235.0})", "adds up to 1234.50, but its total is 1235.00"),
        ("page.table(frame, 'Cost', ['workload', 'usd'])", "'usd' is no column of the frame; there are workload"),
        ("from decimal import Decimal\npage.table(frame.assign(usd=[Decimal(1), Decimal(2)]), 'x')", "holds Decimal"),
        ("fig, ax = plt.subplots()\nax.set(title='saves 77 %')\npage.chart(ax, 'x', frame)", "but 77 is no number"),
        ("made = cl.derive(frame, usd_per_year='12 * usd_per_month').assign(usd_per_month=1.0)\npage.table(made, 'x')",
         "12 * usd_per_month gives 12.0; derive it again"),
        ("cl.derive(frame, a_usd='usd_per_month ** .5 + open(1)')", "formula is"),
        ("page.opening()", "a page has no 'opening'; it has say, table, chart and end"),
    ],
)  # fmt: skip
def test_what_a_page_does_not_accept_is_named(cell: str, words: str) -> None:
    with pytest.raises((RefusedError, cl.InputError, AttributeError), match=re.escape(words)):
        page(cell)


def test_a_cell_run_again_owns_what_it_shows_and_may_change_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    from costlib.reporting import page as module
    from costlib.tables import columns

    frame = pd.DataFrame({"before_usd": [3.0], "after_usd": [1.0]})
    at: list[Any] = ["a", 1]
    for where in (module, columns):
        monkeypatch.setattr(where, "running_cell", lambda: tuple(at))
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    monkeypatch.setattr(columns, "COLUMNS", dict(columns.COLUMNS))
    made = cl.Page("about", "source")
    made.table(cl.derive(frame, saved_usd="before_usd - after_usd"), "x")
    at[:] = ["b", 2]
    made.say("{before_usd}", frame.iloc[0])
    with pytest.raises(RefusedError, match=r"column 'saved_usd' is 'before_usd - after_usd' in another cell"):
        cl.derive(frame, saved_usd="before_usd - 2 * after_usd")
    at[:] = ["a", 3]
    made.table(cl.derive(frame, saved_usd="before_usd - 2 * after_usd"), "x", ["saved_usd"])
    assert sorted(one.value for one in made.numbers if one.value) == [1.0, 3.0]
    assert [one.formula for one in made.numbers if one.value == 1] == ["before_usd - 2 * after_usd = 3 - 2 * 1"]


def test_the_same_cells_give_the_same_bytes_and_long_names_draw() -> None:
    cells = (
        "frame['workload'] = ['x' * 90, '$y$']\nax = frame.plot.barh(x='workload', y='usd_per_month')",
        "ax.set(xscale='log', xlabel='usd_per_month')\npage.chart(ax, 'One', frame)\npage.chart(ax, 'One', frame)",
    )
    first, second = page(*cells), page(*cells)
    assert first.html == second.html and "x" * 90 in first.html and "x" * 35 + "\N{HORIZONTAL ELLIPSIS}" in first.html


def test_a_chart_names_the_source_of_its_numbers() -> None:
    draw = "page.chart(made.plot.barh(x='workload', y='ttft_s'), 'Times', made)"
    made = "made = pd.DataFrame({'workload': ['a', 'b'], 'ttft_s': [1.5, 2.5], 'kind': 'measured', 'source': %s})"
    assert "Source: runs x. Numbers: measured." in page(made % "'runs x'", draw).html
    assert "Source: of each number in the ledger." in page(made % "['runs x', 'runs y']", draw).html


def test_a_formula_carries_the_ends_of_one_input_where_it_only_rises_or_falls() -> None:
    frame = pd.DataFrame({"a_usd": [4.0], "a_usd_low": [2.0], "a_usd_high": [8.0], "b_usd": [3.0]})
    made = cl.derive(frame, c_usd="b_usd - a_usd", d_usd="(a_usd - b_usd) ** 2")
    assert made[["c_usd", "c_usd_low", "c_usd_high"]].iloc[0].tolist() == [-1, -5, 1]
    assert made["d_usd_low"].isna().all()
    both = cl.derive(frame.assign(b_usd_low=1.0, b_usd_high=5.0), e_usd="a_usd * b_usd")
    assert "e_usd_low" not in both and both["e_usd_reason"][0] == "a_usd and b_usd have ranges that may move together"
    grouped = pd.DataFrame({"team": ["x", "x", "y"], "a_usd": [1.0, 2.0, 4.0]})
    assert cl.derive(grouped, t_usd="sum(a_usd, team)")["t_usd"].tolist() == [3, 3, 4]
    assert evaluate("where(a > 2, ceil(a / 2), min(a, 1, b))", {"a": 5.0, "b": 3}) == 3


def test_the_page_in_the_readme_of_the_notebooks_runs() -> None:
    text = (notebooks_dir() / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(code) == 1
    shown = run_cells(["study, store = 'demo', ''", code[0]])
    assert shown.facts["complete"] and len(shown.facts["exports"]["plan"]) == 13
    assert re.fullmatch(r"[\w ]+ costs most: \$[\d,]+ per month\.", shown.facts["answer"])


@pytest.mark.parametrize("figure", ["plt.plot([1, 2])", "plt.plot([1, 2])\nplt.show()", "pd.Series([1, 2]).plot()"])
def test_an_analysts_own_figure_and_table_are_published_and_the_checks_say_so(figure: str, tmp_path: Path) -> None:
    start = (
        "import costlib as cl\nimport matplotlib.pyplot as plt\nimport pandas as pd\npage = cl.Page('about', 'source')"
    )
    cells = ["page.say('# {who} answers.', who='Nobody')", figure, "pd.DataFrame({'a': [3.25]})", "page.end()"]
    study = study_in(tmp_path / "study", notebooks=["mine.ipynb"])
    notebook(study.parent / "mine.ipynb", start, *cells)
    made = cl.report(study, out=tmp_path / "out", store=tmp_path / "store")
    html = (tmp_path / "out" / "mine.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in html and "<td>3.25</td>" in html
    told = {found.name: found for found in made.checks}
    assert "1 output of the notebook's own is not covered" in told["every number in the ledger"].detail
    assert not told["alt text on every figure"].ok and "mine.html" in told["alt text on every figure"].detail


def test_money_is_a_float_in_a_frame() -> None:
    with pytest.raises(RefusedError, match="a number of a frame is a float"):
        cl.Page("a", "b").say("{x_usd}", {"x_usd": Decimal(1)})
