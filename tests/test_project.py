"""The repository itself: dependencies agree, notebooks are clean, rooms import in one direction."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~ \[;]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _declared() -> set[str]:
    extras = PROJECT["optional-dependencies"]
    return {_name(text) for text in [*PROJECT["dependencies"], *extras["demo"], *extras["dev"]]}


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_name(name): version for name, version in pairs}


def test_the_conda_environment_has_the_same_dependencies() -> None:
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert {_name(text) for text in pip if not text.startswith("-")} == _declared()
    assert "-c constraints.txt" in pip and "-e ." in pip
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python"))
    assert PROJECT["requires-python"] == ">=3.11" and python == "python=3.11"


def test_every_dependency_is_pinned_exactly() -> None:
    assert _declared() <= set(_pins())
    assert _pins()["torch"] == "2.13.0" and "genai-prices" in _pins()


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        assert re.search(rf'"{re.escape(requirement)}", +# \w+', text), requirement


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert "parameters" in code[0]["metadata"].get("tags", [])
    headings = [line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"]]
    assert sum(line.startswith("# ") for line in headings) == 1


def test_rooms_import_in_one_direction() -> None:
    """The contract is in pyproject.toml; import-linter holds it."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_models_measure_and_quality_name_torch_or_transformers() -> None:
    allowed = {"models", "measure", "quality"}
    for file in (ROOT / "costlib").rglob("*.py"):
        room = file.relative_to(ROOT / "costlib").parts[0]
        text = file.read_text(encoding="utf-8")
        if room not in allowed:
            assert not re.search(r"^\s*(import|from) (torch|transformers|bitsandbytes)\b", text, re.M), file
        else:
            assert not re.search(r"^(import|from) (torch|transformers|bitsandbytes)\b", text, re.M), file


def test_types_and_style_are_clean() -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_make_alone_lists_its_targets() -> None:
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "report", "test", "lint", "lab", "clean"):
        assert f"make {target} " in done.stdout


def test_ci_calls_the_test_command_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^\s*make report\b", readme, re.M) and re.search(r"^\s*make test\b", readme, re.M)
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_the_committed_example_is_whole_and_of_these_notebooks_and_this_study() -> None:
    """Write it again with `make example`."""
    from costlib.reporting.checks import check
    from costlib.reporting.manifest import cells_hash
    from costlib.study import load_study

    example = ROOT / "reports" / "example"
    failed = [found for found in check(example) if not found.ok]
    assert not [found for found in failed if found.name != "sources unchanged"], failed
    sources = json.loads((example / "manifest.json").read_text(encoding="utf-8"))["sources"]
    for name in ("notebooks/measure.ipynb", "notebooks/portfolio.ipynb"):
        assert sources[name] == cells_hash(ROOT / name), name
    assert sources["study"] == load_study("demo").hash
    assert (example / "portfolio.png").stat().st_size > 50_000


def test_the_repository_names_no_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(home|root|Users|work)/[a-z]")
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.suffix in (".py", ".md", ".yml", ".csv", ".html", ".ipynb", ".toml", ".txt") and file.is_file():
            found = pattern.search(file.read_text(encoding="utf-8"))
            assert found is None or name == "tests/test_project.py", f"{name}: {found}"
