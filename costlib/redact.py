"""The secrets this process knows, and their blotting from all that is stored, printed or raised.

A key is remembered the moment it is read. From then on `redact` takes it out of any text in whatever way a server,
a shell or a library spelt it: as it is, in another case, escaped for JSON, Python or HTML once or several times, with
%XX, in base64 or hexadecimal, or with blanks in between. A key of fewer than 8 characters is taken out only as it is
and where it stands alone, because placeholders such as EMPTY are words; one of fewer than 4 keeps no secret.

`visible` makes a text safe for a terminal: what would steer it is shown as an escape instead.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

BLOT = "***"
_LEAST, _LONG = 4, 8
_NAMED = {'"': "quot", "&": "amp", "'": "apos", "<": "lt", ">": "gt"}
_GAP = r"(?:[\s\x00\xad\u200b-\u200f\u2060\ufeff]|\\{1,8}[nrt0]){0,4}"  # bounded, as all here: texts may be long
_SECRET_NAME = re.compile(
    r"(^|[_-])(key|secret|pass(word|wd|phrase)?|credentials?|cookie|bearer|token|auth(orization)?|signature)$|apikey",
    re.I,
)
_KEY_SHAPE = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|ghp|gho|ghs|hf|xai|xox[abp]|glpat|nvapi|r8)[-_]|AIza|AKIA|eyJ)(?=[\w.-]*\d)[\w.-]{12,}"
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)

_known: dict[str, str] = {}
_pattern: re.Pattern[str] | None = None


def remember(*secrets: str) -> None:
    """Keep these texts secret from now on, in this process."""
    global _pattern
    for secret in secrets:
        if len(secret) >= _LEAST and secret not in _known:
            _known[secret] = _spellings(secret)
            _pattern = re.compile("|".join(_known[one] for one in sorted(_known, key=len, reverse=True)))


def remember_fields(fields: object, name: str = "") -> None:
    """Remember each text below a field whose name says that it is a secret: {"api_key": ...}, {"headers": {...}}."""
    if isinstance(fields, Mapping):
        for inner, value in fields.items():
            secret = bool(_SECRET_NAME.search(str(inner))) and not isinstance(value, Mapping)
            remember_fields(value, str(inner) if secret else name)
    elif isinstance(fields, (list, tuple)):
        for value in fields:
            remember_fields(value, name)
    elif isinstance(fields, str) and (name or _KEY_SHAPE.search(fields)):
        remember(fields, *fields.split()[1:])  # "Bearer KEY"


def remember_words(words: Iterable[str]) -> None:
    """Remember what is a key by its shape, or stands before an @ in an address, in the words of a command line."""
    for word in words:
        remember(*_KEY_SHAPE.findall(word))
        if "@" in word and (user := re.match(r"(?:\w+://)?([^/@\s]*:[^/@\s]+)@", word)):
            remember_user(user[1])


def remember_user(info: str) -> None:
    """Remember the password of `user:password`, or the one name given as a key; as written and decoded."""
    secret = info.partition(":")[2] or info.partition(":")[0]
    remember(secret, unquote(secret))


def redact(text: str) -> str:
    """The text with every known secret blotted out."""
    return text if _pattern is None else _pattern.sub(BLOT, text)


def redact_all(value: Any) -> Any:
    """The same for each text of JSON-like data."""
    if _pattern is None:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_all(inner) for key, inner in value.items()}
    return [redact_all(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def visible(text: str) -> str:
    """The text with what steers a terminal, turns its direction or cannot be encoded shown as \\uXXXX."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown(text: str) -> str:
    """A text as a person may see it: no secret in it, and nothing that steers the terminal."""
    return visible(redact(text))


def _spellings(secret: str) -> str:
    """A pattern of every way to write a secret."""
    if len(secret) < _LONG:
        return rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
    letters = _GAP.join(map(_letter, secret))
    hexadecimal = "[^0-9A-Za-z]?".join(f"{byte:02x}" for byte in secret.encode())
    encoded = "|".join(_base64(secret.encode(), shift) for shift in range(3))
    return rf"(?i:{letters}|{hexadecimal})|{encoded}"


def _letter(letter: str) -> str:
    code = ord(letter)
    plain = r"\\{1,8}" if letter == "\\" else r"\\{0,8}" + re.escape(letter)
    escaped = rf"\\{{1,8}}(?:u{code:04x}|u\{{0{{0,4}}{code:x}\}}|x{code:02x}|{code:03o})"
    percent = "".join(rf"[%=](?:25){{0,4}}{byte:02x}" for byte in letter.encode())
    entity = rf"&(?:amp;){{0,4}}#(?:0{{0,4}}{code}|x0{{0,4}}{code:x});?"
    named = rf"|&(?:amp;){{0,4}}{_NAMED[letter]};?" if letter in _NAMED else ""
    return f"(?:{escaped}|{percent}|{entity}{named}|{plain})"


def _base64(secret: bytes, shift: int) -> str:
    """What base64 makes of a secret that begins `shift` bytes into a group of three, whatever stands around it."""
    whole = b64encode(b"\0" * shift + secret).decode()[(0, 2, 3)[shift] : (shift + len(secret)) * 8 // 6]
    letters = (f"[{re.escape({'+': '+-', '/': '/_'}.get(letter, letter))}]" for letter in whole)
    return r"[\w+/-]{0,2}" + r"(?:\\{1,8}[nr]|\s){0,2}".join(letters) + r"[\w+/-]{0,2}={0,2}"
