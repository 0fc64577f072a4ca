"""One reader of the files that users write: CSV, YAML, JSON Lines and Parquet, with file and line in every message.

`read_rows` reads tables people edit by hand, each cell as text; `read_records` rows of any shape; `read_yaml` and
`validated` trees that have one.
"""

from costlib.read.records import SUFFIXES, check_characters, content, read_records
from costlib.read.table import Row, earliest_date, iso_date, read_rows
from costlib.read.tree import (
    Place,
    extended,
    files_of,
    near,
    place,
    read_yaml,
    sentences,
    validated,
)

__all__ = [
    "SUFFIXES",
    "Place",
    "Row",
    "check_characters",
    "content",
    "earliest_date",
    "extended",
    "files_of",
    "iso_date",
    "near",
    "place",
    "read_records",
    "read_rows",
    "read_yaml",
    "sentences",
    "validated",
]
