"""What keys, tokens and passwords look like in a text, and how to see quickly that there are none.

The shapes are those that providers document and that gitleaks, detect-secrets and GitHub look for, where they tell a
secret from an id: a prefix of the provider's own, or a name that says what the value is. High entropy alone is no
sign: digests, ids and pictures have it too.

Each shape has a sign that is much quicker to look for than the shape itself, and that nearly all texts are without.
No pattern here goes back over what it has read, and what is read anew from every place where it may begin is of a
limited length: foreign text cannot make it slow.
"""

import re
from typing import Final

MASK: Final = "[redacted]"

# --- keys that providers mark --------------------------------------------------------------------------------------

_WORD = "[A-Za-z0-9_-]"
# A digit and then a letter, or a digit in a long row: names of many words have neither, `sk-learn-1-2-notes`.
_MIXED = rf"(?=[A-Za-z_-]{{0,64}}[0-9])(?=[A-Za-z0-9]{{20}}|{_WORD}{{0,64}}?[0-9][A-Za-z])"


# What ends with a letter or a digit and is none: `\n` and `\u0022` of JSON within JSON, the `=` of a URL within a URL,
# the colours of a terminal.
_ESCAPES = (r"\\[abfnrtv]", r"\\u[0-9A-Fa-f]{4}", r"\\x[0-9A-Fa-f]{2}", "%[0-9A-Fa-f]{2}", r"[0-9;\[]m")


def _key(prefix: str, rest: str) -> tuple[str, re.Pattern[str]]:
    """A word that begins so, and the text that is in all of these."""
    # The prefix is first, so that the search jumps to it, and what is before it is looked at then.
    begins = rf"{prefix}(?:(?<!{_WORD}{prefix})|{'|'.join(f'(?<={escape}{prefix})' for escape in _ESCAPES)})"
    return prefix.partition("[")[0], re.compile(rf"{begins}(?:{rest})")


_KEYS: Final = (
    _key("sk-", rf"(?:(?:proj|svcacct|admin|ant|or|lf|test|live)-|{_MIXED}){_WORD}{{16,}}+"),  # OpenAI, Anthropic
    *(_key(kind, "(?:live|test)_[A-Za-z0-9]{16,}+") for kind in ("sk_", "rk_")),  # Stripe
    *(_key(kind, "[A-Z0-9]{16}(?![A-Za-z0-9])") for kind in ("AKIA", "ASIA", "ABIA", "ACCA")),  # AWS
    _key("gh[pousr]_", "[A-Za-z0-9_]{20,}+"),  # GitHub
    _key("github_pat_", "[A-Za-z0-9_]{20,}+"),
    _key("glpat-", rf"{_WORD}{{20,}}+"),  # GitLab
    _key("xox[abceoprs]-", "[A-Za-z0-9-]{10,}+"),  # Slack
    _key("xapp-", "[0-9]-[A-Za-z0-9-]{10,}+"),
    _key("AIza", rf"{_WORD}{{35}}(?!{_WORD})"),  # Google
    _key("GOCSPX-", rf"{_WORD}{{20,}}+"),
    _key("ya29[.]", rf"{_WORD}{{20,}}+"),
    *(_key(kind, rf"{_MIXED}{_WORD}{{24,}}+") for kind in ("hf_", "gsk_", "npm_", "r8_", "pypi-", "tvly-")),
    *(_key(kind, "[A-Za-z0-9_]{24,}+") for kind in ("xai-", "pplx-", "nvapi-", "lsv2_pt_", "lsv2_sk_")),
    _key("whsec_", "[A-Za-z0-9+/=]{20,}+"),  # webhooks of Stripe, and others
    _key("dapi", "[0-9a-f]{32}(?![A-Za-z0-9])"),  # Databricks
    _key("hooks[.]slack[.]com/services/", "[A-Za-z0-9/]{20,}+"),
    _key("SG[.]", rf"{_WORD}{{16,}}+[.]{_WORD}{{16,}}+"),  # SendGrid
    _key("S[UAONCX]", "[A-Z2-7]{56}(?![A-Za-z0-9])"),  # seeds of NATS
    _key("eyJ", rf"{_WORD}{{8,}}+[.]{_WORD}{{8,}}+[.]{_WORD}{{8,}}+"),  # JSON Web Tokens
)

# With its end; or what there is of one that was cut.
_BLOCKS: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}(?:PRIVATE KEY|NKEY SEED)(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{0,60}-----|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)++)"
)

# --- values of which something else says that they are secret --------------------------------------------------------

_BEARER: Final = re.compile(
    r"([Bb](?i:earer|asic)\s++)(?=[A-Za-z._~+/=-]{0,256}[0-9])[A-Za-z0-9._~+/=-]{16,}+(?![(\[])"
)
_AUTHORIZATION: Final = re.compile(
    r"((?i:authorization)(?:\\{0,3}[\"'])?\s{0,4}[:=]\s{0,4}(?:\\{0,3}[\"'])?(?i:basic|token|apikey)\s{1,4})"
    r"[A-Za-z0-9._~+/=-]{8,}+"
)
_SIGNATURE: Final = re.compile(r"([?&;]sig=)[A-Za-z0-9%+/=_-]{40,}+")  # Azure's shared access
_IN_URL: Final = re.compile(r"(://[^\s/:@\"'<>\\]*+:)[^\s/@\"'<>\\]++(?:@[^\s/@\"'<>\\]*+(?=@))*+(?=@)")
# Programs write a slash into a database's password, though they should not. A number before it is a port.
_IN_DATABASE_URL: Final = re.compile(
    r"((?:postgres|postgresql|mysql|mariadb|mongodb|redis|rediss|amqp|amqps)(?:[+][a-z0-9]{1,16})?"
    r"://[^\s/:@\"'<>\\]{0,64}+:)(?![0-9]{1,5}/)[^\s@\"'<>\\]{1,128}+(?=@)"
)
# Only with a digit: `--password is required`.
_OPTION: Final = re.compile(
    r"(--(?:[a-z]{1,16}-){0,2}?(?:password|passwd|token|secret|(?:api|access|secret)-key)[ ]{1,4}[\"']?)"
    r"(?=[^\s\"'0-9]{0,64}[0-9])(?![-/.~\[<$])[^\s\"'\\]{6,}+"
)
_OF_CURL: Final = re.compile(
    r"(curl\s[^\n;|]{0,256}?(?<=\s)(?:-u|--user)[ =]{0,2}[\"']?[^\s:\"'$]{1,64}:)(?![/$])[^\s\"'\\]{3,}+"
)

_KEY_NAMES = ("api", "access", "secret", "private", "signing", "encryption", "auth", "account", "master")
# Tokens that lead to the next page of something are no secrets, and whoever reads on needs them.
_NO_SECRETS = (
    *("next", "page", "continuation", "sync", "csrf", "cursor", "start", "end", "resume", "scroll"),
    *("prompt", "pad", "eos", "bos", "stop", "mask"),
)
_NAMES = "|".join(
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
_VALUE = r"""[^\s"'`\\,;&|<>(){}\[\]$]"""
_ASSIGNED: Final = re.compile(
    rf"(?P<name>{_NAMES})(?P<is>(?:\\{{0,3}}[\"'])?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}})"
    rf"(?:(?P<quote>\\{{0,3}}[\"'`])(?:(?P<quoted>[^\s\"'`\\]{{4,}}+)|(?P<words>[^\n\"'`\\]{{4,{_SEEN}}}+))(?=\\{{0,3}}[\"'`])"
    rf"|(?P<bare>{_VALUE}{{6,{_SEEN}}}+)(?![(\[]))"
)
_REST: Final = re.compile(rf"{_VALUE}*+")
_DIGIT: Final = re.compile("[0-9]")
_NAME: Final = re.compile(rf"(?:{_NAMES})\Z")
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


def _mask_assigned(text: str) -> str:
    """`text` with the values masked that something calls a key, a token, a secret or a password."""
    low = text.lower()
    if len(low) != len(text):  # there are letters whose small form is two characters
        low = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    parts: list[str] = []
    done = at = 0
    while found := _ASSIGNED.search(low, at):
        at = found.end("is")
        group = "bare" if found["quote"] is None else "quoted" if found["quoted"] is not None else "words"
        start, end = found.span(group)
        before = text[found.start("name") : found.end("is")]
        # In capitals and without a space it is an environment's, and no program's: API_KEY=…
        environment = _OF_ENVIRONMENT.fullmatch(before) is not None and not text[start:end].isupper()
        value = low[start : min(end, start + _SEEN)]
        name, begin = found["name"], found.start("name")
        alone = not begin or not (low[begin - 1].isalnum() or low[begin - 1] in "_-")
        if (
            _is_passphrase(name, text[start:end])
            if " " in value
            else _is_secret(name, value, alone=alone, quoted=group != "bare", sure=found["is"] == "=")
            or (environment and name != "pwd" and _is_set(name, value))
        ):
            parts += text[done:start], MASK
            rest = _REST.match(low, end) if group == "bare" else None
            done = at = rest.end() if rest else end
    return "".join((*parts, text[done:])) if parts else text


# --- signs -----------------------------------------------------------------------------------------------------------

# Nearly every key has this many letters, digits and underscores in a row, digits among them; words and UUIDs have not.
# To look for so many equal bytes is quick: a search looks at one byte in so many.
_ROW: Final = b"w" * 17
_IN_A_ROW: Final = bytes(
    ord("w") if (byte < 128 and chr(byte).isalnum()) or byte == ord("_") else 32 for byte in range(256)
)

# Each of these begins with one letter that is not frequent, to which the search jumps. In lower case.
_KEY_BEGINS: Final = re.compile(
    r"-(?:(?<=sk-)|(?<=xox.-)|(?<=xapp-)|(?<=glpat-)|(?<=spx-)|----begin |u[se \"'](?<=[ -]-u.))"
)
_Z_FOLLOWS: Final = re.compile(r"z(?:(?<=aiz)a|(?<=authoriz)ation)")
_NAME_ENDS: Final = re.compile(r"k(?:(?<=[_istey-]k)ey|(?<=ok)en)[\"'\\ :=]")
_PASSWORD_BEGINS: Final = re.compile(r"pass(?:w|phrase|=(?<=_pass=))")

KEY, BEARER, URL, NAME = 1, 2, 4, 8

_FILE_CHARS: Final = 4096
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _has_row(data: bytes) -> bool:
    rows = data.translate(_IN_A_ROW)
    begin = rows.find(_ROW)
    while begin >= 0:
        end = rows.find(b" ", begin)
        if not data[begin : end if end >= 0 else None].replace(b"_", b"").isalpha():
            return True
        begin = rows.find(_ROW, end) if end >= 0 else -1
    return False


def is_base64(text: str) -> bool:
    """Whether this is a file in base64, so long that no key is, with nothing else beside it: there is no shape in it.

    What looks like one there is chance, and masking it would break the file.
    """
    if len(text) < _FILE_CHARS or not text.isascii():
        return False
    head = text[:_FILE_CHARS].encode()
    return not head.translate(None, _BASE64) and not text.encode().rstrip(b"=").translate(None, _BASE64)


def signs_in(data: bytes) -> int:
    """Which shapes may be in the text or the JSON that these bytes are: 0, none, for nearly all that is recorded."""
    low = data.lower().decode("latin-1")  # a letter a byte, whatever they mean: texts are searched quicker than bytes
    signs = 0
    if _has_row(data) or _KEY_BEGINS.search(low) or _Z_FOLLOWS.search(low):
        signs = KEY
    if "bearer" in low or (signs and ("basic" in low or "authorization" in low)):
        signs |= BEARER
    if "@" in low and "://" in low:
        signs |= URL
    if _NAME_ENDS.search(low) or "pwd" in low or ("pass" in low and _PASSWORD_BEGINS.search(low)) or "secret" in low:
        signs |= NAME
    return signs


def mask_shapes(text: str, signs: int) -> str:
    """`text` with what looks like a secret masked; names and addresses beside it stay.

    Args:
        signs: What `signs_in` says of it.
    """
    if signs & KEY:
        text = _BLOCKS.sub(MASK, text)
        for prefix, key in _KEYS:
            if prefix in text:
                text = key.sub(MASK, text)
        if "curl" in text:
            text = _OF_CURL.sub(rf"\1{MASK}", text)
        if "sig=" in text:
            text = _SIGNATURE.sub(rf"\1{MASK}", text)
    if signs & BEARER:
        text = _AUTHORIZATION.sub(rf"\1{MASK}", _BEARER.sub(rf"\1{MASK}", text))
    if signs & URL:
        text = _IN_URL.sub(rf"\1{MASK}", _IN_DATABASE_URL.sub(rf"\1{MASK}", text))
    if signs & NAME:
        if "--" in text:
            text = _OPTION.sub(rf"\1{MASK}", text)
        text = _mask_assigned(text)
    return text
