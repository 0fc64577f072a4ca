import hashlib

import pytest

from costlib.errors import InputError
from costlib.models.texts import Text, read_text


def test_the_default_text_is_the_prose_every_python_ships():
    from pydoc_data.topics import topics

    found = read_text()
    assert (found.name, found.files) == ("pydoc_data.topics", ())
    assert read_text("pydoc_data.topics") == found
    first, second = sorted(topics)[:2]
    assert found.content.startswith(f"{topics[first]}\n\n{topics[second]}\n\n")
    assert len(found.content) == sum(map(len, topics.values())) + 2 * (len(topics) - 1)


def test_a_file_keeps_its_bytes(tmp_path):
    file = tmp_path / "windows.txt"
    file.write_bytes("né\r\n\r\nx".encode())
    assert read_text(file) == Text(str(file), "né\r\n\r\nx")
    assert read_text(file).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """Two chapters, one of them in a folder of its own, and a hidden file that is no text."""
    for name, content in {"b.md": b"second", "a/z.txt": "fïrst".encode(), ".git/index": b"\xff\0"}.items():
        file = tmp_path / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "texts"


def test_a_folder_is_its_files_in_the_order_of_their_names(folder):
    assert read_text(folder) == Text(str(folder), "fïrst\n\nsecond", ("a/z.txt", "b.md"))


@pytest.mark.parametrize(
    ("content", "message"), [(b"ab\xff", "byte is '0xff'; allowed: UTF-8"), (b"PK\x03\0", "character is .*a zero")]
)
def test_a_folder_with_a_file_that_is_no_text_is_refused_by_its_name(folder, content, message):
    (folder / "a" / "picture.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"picture\.png:1: {message}"):
        read_text(folder)


def test_a_folder_without_text_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="a folder of files that holds prose"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "this one is empty"), (b" \n", "this one is empty"), (b"ab\xff", "byte is '0xff'"), (b"a\0b", "a zero")],
)
def test_a_file_without_text_is_an_input_error(tmp_path, content, message):
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_text(file)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"text is '.*none\.txt'; allowed: .*No such file"):
        read_text(tmp_path / "none.txt")
