"""How to see quickly that there is no secret in a text: what nearly all that is recorded is without.

Each shape (`secret_shapes.py`) has a sign here: letters that stand wherever the shape does, and a little of what is
around them. Where no sign is the shape is not looked for, so a sign may be wrong in what it finds, and never in what it
passes over. The bytes may be a text or the JSON it is in, where quotes and ends of lines are escaped.

A search that begins with a letter that is not frequent costs a third of a nanosecond a byte: so do most of these.
"""

import re
from typing import Final

KEY, BEARER, URL, NAME = 1, 2, 4, 8

# Nearly every key has this many letters, digits and underscores in a row, digits among them; words and UUIDs have not.
# To look for so many equal bytes is quick: a search looks at one byte in so many.
_ROW: Final = b"w" * 17
_IN_A_ROW: Final = bytes(
    ord("w") if (byte < 128 and chr(byte).isalnum()) or byte == ord("_") else 32 for byte in range(256)
)

# As text or in JSON.
_SPACE: Final = r"(?:[\s\x80-\xff]|\\{1,8}(?:[nrtfv]|u[0-9a-f]{4}))"
# In lower case. What is before a hyphen is looked at first: the groups of a UUID are.
_KEY_BEGINS: Final = re.compile(
    r"-(?:----begin |(?<=[abceikloprstxy]-)(?:(?<=sk-)(?=[a-z0-9_-]{16})|(?<=xox.-)|(?<=xapp-)|(?<=glpat-)|(?<=spx-)"
    r"|(?<=pypi-)|(?<=tvly-)|(?<=xai-)|(?<=pplx-)|(?<=nvapi-))"
    r"|u(?:ser)?[ =]{0,2}(?:\\{0,8}[\"'])?[^\s:\"'$]{1,64}:"
    r"|-(?:[a-z]{1,16}-){0,3}?(?:password|passwd|token|secret|key) )"  # of a command, and none of a table's line
)
_BEARER_BEGINS: Final = re.compile(rf"b(?:earer|asic){_SPACE}++[a-z0-9._~+/=-]{{16}}")
_Z_FOLLOWS: Final = re.compile(r"z(?:(?<=aiz)a|(?<=authoriz)ation)")

# Of the keys that are, or have, a row. In lower case, but for the capitals.
_ROW_BEGINS: Final = re.compile(
    r"_(?<=[2kpousrtfm8c_]_)(?:(?<=[sr]k_)|(?<=gh[pousr]_)|(?<=_pat_)|(?<=hf_)|(?<=npm_)|(?<=r8_)|(?<=lsv2_.._)"
    r"|(?<=whsec_))"
)
_AFTER_DOT: Final = re.compile(r"[.](?:(?<=ya29[.])|(?<=sg[.])|(?<=hooks[.])slack)")
_DATABRICKS: Final = re.compile("dapi[0-9a-f]{32}")
_SIGNATURE: Final = re.compile("sig=[a-z0-9%+/=_-]{40}")
_CAPITALS: Final = (
    re.compile(rb"A[KSBC][IC]A[A-Z0-9]"),
    re.compile(rb"J(?<=eyJ)"),
    re.compile(rb"S[UAONCX][A-Z2-7]{56}"),
)

# What stands between a name and its value, as text or in JSON.
_IS: Final = rf"(?:\\{{0,8}}[\"'])?{_SPACE}{{0,16}}[:=]"
_KEY_OR_TOKEN: Final = re.compile(rf"k(?:(?<=[_isteghnry-]k)ey|(?<=ok)en){_IS}")
_PASSWORD: Final = re.compile(rf"pass(?:w(?:or)?d|phrase|(?<=_pass)){_IS}")
_PWD: Final = re.compile(f"pwd{_IS}")
_SECRET: Final = re.compile(f"secret{_IS}")

_FILE_CHARS: Final = 4096
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# A picture within a text. Like a file it is longer than any key.
_DATA_URL: Final = re.compile(rb";base64,[A-Za-z0-9+/]{%d,}+" % _FILE_CHARS)


def signs_in(data: bytes) -> int:
    """Which shapes may be in the text or the JSON that these bytes are: 0, none, for nearly all that is recorded."""
    if len(data) > _FILE_CHARS and b";base64," in data:
        data = _DATA_URL.sub(b"", data)
    low = data.lower().decode("latin-1")  # a letter a byte, whatever they mean: texts are searched quicker than bytes
    signs = 0
    if _KEY_BEGINS.search(low):
        signs = KEY | NAME
    elif _Z_FOLLOWS.search(low) or (_has_row(data) and _is_key_in(data, low)):
        signs = KEY
    if _BEARER_BEGINS.search(low) or (signs and "authorization" in low):
        signs |= BEARER
    if "@" in low and "://" in low:
        signs |= URL
    if _KEY_OR_TOKEN.search(low) or _PASSWORD.search(low) or _PWD.search(low) or _SECRET.search(low):
        signs |= NAME
    return signs


def _has_row(data: bytes) -> bool:
    rows = data.translate(_IN_A_ROW)
    begin = rows.find(_ROW)
    while begin >= 0:
        end = rows.find(b" ", begin)
        if not data[begin : end if end >= 0 else None].replace(b"_", b"").isalpha():
            return True
        begin = rows.find(_ROW, end) if end >= 0 else -1
    return False


def _is_key_in(data: bytes, low: str) -> bool:
    """Whether one of the rows may be a key's, and not an id's, a digest's or a picture's."""
    return bool(
        _ROW_BEGINS.search(low)
        or _AFTER_DOT.search(low)
        or any(begin.search(data) for begin in _CAPITALS)
        or _DATABRICKS.search(low)
        or _SIGNATURE.search(low)
    )


def is_base64(text: str) -> bool:
    """Whether this is a file in base64, so long that no key is, with nothing else beside it: there is no shape in it.

    What looks like one there is chance, and masking it would break the file.
    """
    if len(text) < _FILE_CHARS or not text.isascii():
        return False
    head = text[:64].encode()
    return not head.translate(None, _BASE64) and not text.encode().rstrip(b"=").translate(None, _BASE64)
