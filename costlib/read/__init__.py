"""One reader of the files that users write: CSV, YAML, JSON, JSON Lines and Parquet, with file and line in messages.

`read_rows` reads tables people edit by hand, each cell as text; `read_records` and `read_frame` rows of any shape;
`read_yaml`, `read_json` and `validated` trees that have one. Whatever is wrong is one sentence.
"""

from costlib.read.rows import (
    SUFFIXES,
    Places,
    Row,
    earliest_date,
    iso_date,
    json_lines,
    read_frame,
    read_records,
    read_rows,
)
from costlib.read.text import content, file_of, is_file, json_value, parsing, read_json
from costlib.read.tree import Place, close, extended, files_of, near, place, read_yaml, sentences, validated

__all__ = [
    "SUFFIXES", "Place", "Places", "Row", "close", "content", "earliest_date", "extended", "file_of", "files_of",
    "is_file", "iso_date", "json_lines", "json_value", "near", "parsing", "place", "read_frame", "read_json",
    "read_records", "read_rows", "read_yaml", "sentences", "validated",
]  # fmt: skip
