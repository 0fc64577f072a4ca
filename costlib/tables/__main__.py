"""Writes the data dictionary: `python -m costlib.tables`."""

from costlib.paths import data_dir
from costlib.tables import data_dictionary

if __name__ == "__main__":
    (data_dir() / "README.md").write_text(data_dictionary(), encoding="utf-8")
