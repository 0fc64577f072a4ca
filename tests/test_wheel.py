"""What is installed is what the repository holds: the wheel has every file that code, a study or a notebook names."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from costlib.study import load_batch, load_study

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_lists_every_file_of_data_and_notebooks() -> None:
    command = ["git", "ls-files", "data", "notebooks"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    taken = tool["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all(place == f"costlib/_shipped/{name}" for name, place in taken.items())
    files = listed.stdout.split()
    assert files and [f for f in files if not any(f == name or f.startswith(f"{name}/") for name in taken)] == []
    for kind, load in (("studies", load_study), ("batches", load_batch)):
        for file in (ROOT / "data" / kind).glob("*.yml"):
            load(file)  # and every file that it names is there


@pytest.mark.slow
def test_an_installed_wheel_plans_reports_and_batches_the_demo_from_an_empty_folder(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="make setup installs it")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    offline = ["--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "wheel", str(ROOT), *offline, "--no-build-isolation", "-w", str(tmp_path)], check=True)
    installed, folder = tmp_path / "installed", tmp_path / "empty"
    folder.mkdir()
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([*pip, "install", *offline, "--target", str(installed), str(wheel)], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COSTLIB_")}
    environment = {**kept, "PYTHONPATH": str(installed), "HOME": str(tmp_path / "home")}

    def costlib(*arguments: str) -> str:
        """The command of the wheel on the packages of this interpreter."""
        command = [sys.executable, "-P", str(installed / "bin" / "costlib"), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    assert "measure next" in costlib("plan", "demo")
    assert "10 of 10 checks passed" in costlib("report", "demo")
    assert (folder / "reports" / "demo" / "portfolio.html").is_file()
    assert "unit-back_office" in costlib("batch", "demo", "--workers", "1")
    assert (folder / "reports" / "demo-batch" / "index.html").is_file()
    assert sorted(file.name for file in folder.iterdir()) == ["reports"]
