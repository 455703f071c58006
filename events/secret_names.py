"""Values of which a name beside them says that they are secret: `api_key=…`, `"password": "…"`, members of objects."""

import re
from typing import Final

_KEY_NAMES = ("api", "access", "secret", "private", "signing", "encryption", "auth", "account", "master")
# Tokens that lead to the next page of something are no secrets, and whoever reads on needs them.
_NO_SECRETS = (
    *("next", "page", "continuation", "sync", "csrf", "cursor", "start", "end", "resume", "scroll"),
    *("prompt", "pad", "eos", "bos", "stop", "mask"),
)
_BEFORE_KEY: Final = re.compile(rf"(?:{'|'.join(_KEY_NAMES)})[_-]?\Z")
_LONGEST: Final = max(map(len, _KEY_NAMES)) + 1
NAMES = "|".join(
    [
        *(f"{name}[_-]?key" for name in _KEY_NAMES),
        "secret",
        "token" + "".join(f"(?<!{word}token)(?<!{word}[_-]token)" for word in _NO_SECRETS),
        "passw(?:or)?d",
        "passphrase",
        "pwd",
        "(?<=_)pass",
    ]
)
# By so many characters it is told whether a value is a secret. What is none may hold names with values of their own,
# `token=token=…`, so that it is read again from each of them.
_SEEN = 128
VALUE = r"""[^\s"'`\\,;&|<>(){}\[\]$]"""
_ASSIGNED: Final = re.compile(
    rf"(?P<name>{NAMES})(?P<is>(?:\\{{0,3}}[\"'])?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}})"
    rf"(?:(?P<quote>\\{{0,3}}[\"'`])(?:(?P<quoted>[^\s\"'`\\]{{4,}}+)|(?P<words>[^\n\"'`\\]{{4,{_SEEN}}}+))(?=\\{{0,3}}[\"'`])"
    rf"|(?P<bare>{VALUE}{{6,{_SEEN}}}+)(?!\(|\[(?!redacted\])))"
)
_REST: Final = re.compile(rf"{VALUE}*+")
_DIGIT: Final = re.compile("[0-9]")
_NAME: Final = re.compile(rf"(?:{NAMES})\Z")
_PLACEHOLDER: Final = re.compile(
    r"none|null|nil|true|false|str|string|text|hidden|required|optional|password|passwd|secret|token|example|changeme"
    r"|x{3,}|\*{3,}|\.{3,}|[<${%\[].*"
)
_OF_CODE: Final = re.compile(r"[a-z_]++[.].*|[a-z_]*(?:pass|pwd)[a-z_]*")
_NUMBERED_CODE: Final = re.compile(r"(?=[a-z0-9]*[._])[a-z_][a-z0-9_.]*?(?:pass|pwd)[a-z0-9_.]*")  # config.password2
_OF_ENVIRONMENT: Final = re.compile(r"[A-Z0-9_]+=")
_NUMBER: Final = re.compile(r"[0-9.:/-]+")  # and dates
_PATH: Final = re.compile(r"(?:[~.]{1,2}/|[a-z]:/|/[a-z._-]+[0-9]*/).*")
_LETTER_AFTER_DIGIT: Final = re.compile("[0-9][a-z]")
_LONG_ROW: Final = re.compile("[a-z0-9_]{20}")
_PASSPHRASE: Final = re.compile(r"(?![A-Z])[^\s\"'`\\.,:]+(?: [^\s\"'`\\.,:]+){2,8}")
# Of a sentence about a password, which says what is wrong with one.
_OF_SENTENCE: Final = re.compile(
    r"\b(?:an?|and|are|as|at|be|been|cannot|can|char(?:acter)?s|do|enter|field|for|has|have|in|incorrect|invalid|is|it|least"
    r"|long|m(?:ax|ay|in|ust)|new|not?|of|on|only|or|required|reset|short|should|the|this|too?|use|was|weak|with|wrong|your?)\b"
)


def _is_secret(name: str, value: str, *, alone: bool, quoted: bool, sure: bool) -> bool:
    """Whether what is called so, in lower case, has a value that is a secret: no placeholder, and nothing of a program.

    Args:
        alone: Nothing stands before the name: `token`, which may be any, and not `access_token`.
        sure: A value stands there, and no word of prose.
    """
    if _PLACEHOLDER.fullmatch(value) or _PATH.fullmatch(value):
        return False
    has_digit = _DIGIT.search(value) is not None
    if name == "pass":  # of an environment only: TEST_PASS=failed, first_pass: 12
        return False
    if name in _PASSWORDS:
        if name == "pwd" and ("/" in value or "\\" in value or not (quoted or sure)):
            return False
        if quoted or (has_digit and not _NUMBERED_CODE.fullmatch(value)):
            return True
        return sure and not has_digit and not _OF_CODE.fullmatch(value)
    if not has_digit or len(value) < 8 or _NUMBER.fullmatch(value):
        return False
    if alone and name in ("token", "secret"):
        return len(value) >= 12 and bool(_LETTER_AFTER_DIGIT.search(value) or _LONG_ROW.search(value))
    return True


_PASSWORDS = ("password", "passwd", "passphrase", "pwd", "pass")


def _is_passphrase(name: str, value: str) -> bool:
    """Whether it is some words in a row that are no sentence."""
    return name in _PASSWORDS and _PASSPHRASE.fullmatch(value) is not None and not _OF_SENTENCE.search(value)


def is_secret_member(name: str, value: str) -> bool:
    """Whether an object's member `name` says that its value is a secret, and the value can be one."""
    found = _NAME.search(name.lower())
    if found is None or len(value) < 4:
        return False
    low = value[:_SEEN].lower()
    if any(map(str.isspace, value)):
        return len(value) <= _SEEN and _is_passphrase(found[0], value)
    return _is_secret(found[0], low, alone=not found.start(), quoted=True, sure=True)


def _is_set(name: str, value: str) -> bool:
    """Whether an environment's secret has this value: it is no path, no placeholder and nothing of a program."""
    none = _PLACEHOLDER.fullmatch(value) or _OF_CODE.fullmatch(value) or _PATH.fullmatch(value)
    if none or _NUMBER.fullmatch(value):
        return False
    return len(value) >= 6 and (name != "pass" or _DIGIT.search(value) is not None)


def lowered(text: str) -> str:
    """`text` in small letters, each in its place."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)  # one that is two when small


def name_begins(low: str, begin: int = 0) -> list[int]:
    """Where names may begin, in order. To look for a few words is much quicker than to try all names at each letter."""
    begins: list[int] = []
    for word in ("key", "secret", "token", "pass", "pwd"):
        at = low.find(word, begin)
        while at >= 0:
            if word != "key":
                begins.append(at)
            elif before := _BEFORE_KEY.search(low, max(0, at - _LONGEST), at):
                begins.append(before.start())
            at = low.find(word, at + len(word))
    return sorted(set(begins))  # `secret_key` is found twice


def mask_assigned(text: str, mask: str) -> str:
    """`text` with the values masked that something calls a key, a token, a secret or a password."""
    low = lowered(text)
    parts: list[str] = []
    done = at = 0
    for begin in name_begins(low):
        if begin < at or (found := _ASSIGNED.match(low, begin)) is None:
            continue
        at = found.end("is")
        group = "bare" if found["quote"] is None else "quoted" if found["quoted"] is not None else "words"
        start, end = found.span(group)
        before = text[begin : found.end("is")]
        # In capitals and without a space it is an environment's, and no program's: API_KEY=…
        environment = _OF_ENVIRONMENT.fullmatch(before) is not None and not text[start:end].isupper()
        value = low[start : min(end, start + _SEEN)]
        name = found["name"]
        alone = not begin or not (low[begin - 1].isalnum() or low[begin - 1] in "_-")
        if (
            _is_passphrase(name, text[start:end])
            if " " in value
            else _is_secret(name, value, alone=alone, quoted=group != "bare", sure=found["is"] == "=")
            or (environment and name != "pwd" and _is_set(name, value))
        ):
            parts += text[done:start], mask
            rest = _REST.match(low, end) if group == "bare" else None
            done = at = rest.end() if rest else end
    return "".join((*parts, text[done:])) if parts else text
