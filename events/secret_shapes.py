"""What keys, tokens and passwords look like in a text, and how to see quickly that there are none.

The shapes are those that providers document and that gitleaks, detect-secrets and GitHub look for, where they tell a
secret from an id: a prefix of the provider's own, or a name that says what the value is. High entropy alone is no
sign: digests, ids and pictures have it too.

Each shape has a sign that is much quicker to look for than the shape itself, and that nearly all texts are without
(`secret_signs.py`). No pattern here goes back over what it has read, and what is read anew from every place where it
may begin is of a limited length: foreign text cannot make it slow.
"""

import re
from typing import Final

from .secret_names import mask_assigned
from .secret_signs import BEARER, KEY, NAME, URL

MASK: Final = "[redacted]"

# --- keys that providers mark --------------------------------------------------------------------------------------

WORD = "[A-Za-z0-9_-]"
# A digit and then a letter, or a digit in a long row: names of many words have neither, `sk-learn-1-2-notes`.
_MIXED = rf"(?=[A-Za-z_-]{{0,64}}[0-9])(?=[A-Za-z0-9]{{20}}|{WORD}{{0,64}}?[0-9][A-Za-z])"


# What ends with a letter or a digit and is none: `\n` and `\u0022` of JSON within JSON, the `=` of a URL within a URL,
# the colours of a terminal.
ESCAPES = (r"\\[abfnrtv]", r"\\u[0-9A-Fa-f]{4}", r"\\x[0-9A-Fa-f]{2}", "%[0-9A-Fa-f]{2}", r"[0-9;\[]m")


def _key(prefix: str, rest: str) -> tuple[str, str, re.Pattern[str]]:
    """How it begins, the text that is in all of these, and the whole of a word that begins so."""
    # The prefix is first, so that the search jumps to it, and what is before it is looked at then.
    begins = rf"{prefix}(?:(?<!{WORD}{prefix})|{'|'.join(f'(?<={escape}{prefix})' for escape in ESCAPES)})"
    return prefix, prefix.partition("[")[0], re.compile(rf"{begins}(?:{rest})")


_KEYS: Final = (
    _key("sk-", rf"(?:(?:proj|svcacct|admin|ant|or|lf|test|live)-|{_MIXED}){WORD}{{16,}}+"),  # OpenAI, Anthropic
    *(_key(kind, "(?:live|test)_[A-Za-z0-9]{16,}+") for kind in ("sk_", "rk_")),  # Stripe
    *(_key(kind, "[A-Z0-9]{16}(?![A-Za-z0-9])") for kind in ("AKIA", "ASIA", "ABIA", "ACCA")),  # AWS
    _key("gh[pousr]_", "[A-Za-z0-9_]{20,}+"),  # GitHub
    _key("github_pat_", "[A-Za-z0-9_]{20,}+"),
    _key("glpat-", rf"{WORD}{{20,}}+"),  # GitLab
    _key("xox[abceoprs]-", "[A-Za-z0-9-]{10,}+"),  # Slack
    _key("xapp-", "[0-9]-[A-Za-z0-9-]{10,}+"),
    _key("AIza", rf"{WORD}{{35}}(?!{WORD})"),  # Google
    _key("GOCSPX-", rf"{WORD}{{20,}}+"),
    _key("ya29[.]", rf"{WORD}{{20,}}+"),
    *(_key(kind, rf"{_MIXED}{WORD}{{24,}}+") for kind in ("hf_", "gsk_", "npm_", "r8_", "pypi-", "tvly-")),
    *(_key(kind, "[A-Za-z0-9_]{24,}+") for kind in ("xai-", "pplx-", "nvapi-", "lsv2_pt_", "lsv2_sk_")),
    _key("whsec_", "[A-Za-z0-9+/=]{20,}+"),  # webhooks of Stripe, and others
    _key("dapi", "[0-9a-f]{32}(?![A-Za-z0-9])"),  # Databricks
    _key("hooks[.]slack[.]com/services/", "[A-Za-z0-9/]{20,}+"),
    _key("SG[.]", rf"{WORD}{{16,}}+[.]{WORD}{{16,}}+"),  # SendGrid
    _key("S[UAONCX]", "[A-Z2-7]{56}(?![A-Za-z0-9])"),  # seeds of NATS
    _key("eyJ", rf"{WORD}{{8,}}+[.]{WORD}{{8,}}+[.]{WORD}{{8,}}+"),  # JSON Web Tokens
)
PREFIXES: Final = tuple(prefix for prefix, _, _ in _KEYS)

# With its end; or what there is of one that was cut.
_BLOCKS: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}(?:PRIVATE KEY|NKEY SEED)(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{0,60}-----|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)++)"
)

# --- values of which something else says that they are secret --------------------------------------------------------

_BEARER: Final = re.compile(
    r"([Bb](?i:earer|asic)\s++)(?=[A-Za-z._~+/=-]{0,256}[0-9])[A-Za-z0-9._~+/=-]{16,}+(?!\(|\[(?!redacted\]))"
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


def mask_shapes(text: str, signs: int) -> str:
    """`text` with what looks like a secret masked; names and addresses beside it stay.

    Args:
        signs: What `signs_in` says of it.
    """
    if signs & KEY:
        text = _BLOCKS.sub(MASK, text)
        for _, known, key in _KEYS:
            if known in text:
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
        text = mask_assigned(text, MASK)
    return text
