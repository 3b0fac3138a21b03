"""Secrets that people paste: tokens by their shape, keys in PEM, and what follows "password:"."""

import re
from collections.abc import Iterator

from insights.governance.redact.context import any_of
from insights.governance.redact.folding import Folded
from insights.governance.redact.signs import Sign, regular
from insights.governance.redact.spans import Span

_SHAPES = re.compile(
    any_of((
        r"eyJ[\w-]{8,4000}+\.[\w-]{4,8000}+(?:\.[\w-]{0,4000}+){0,3}",  # JWT, JWE
        r"AKIA[0-9A-Z]{16}(?!\w)", r"ASIA[0-9A-Z]{16}(?!\w)",
        r"A[BCGINPRS][A-Z]A[0-9A-Z]{16}(?!\w)",  # AWS
        r"AIza[\w-]{35}(?!\w)", r"ya29\.[\w-]{20,300}+", r"GOCSPX-[\w-]{20,60}+",  # Google
        r"gh[pousr]_\w{30,255}+", r"github_pat_\w{30,255}+",
        r"glpat-[\w-]{20,60}+",  # GitHub, GitLab
        r"xox[abeoprs]-[\w-]{10,250}+", r"xapp-[\w-]{10,250}+",  # Slack
        r"sk[_-](?:(?:live|test|proj|ant|or)[_-])?[\w-]{16,250}+",  # OpenAI, Anthropic, Stripe
        r"pk[_-](?:live|test)[_-]\w{16,250}+", r"rk[_-](?:live|test)[_-]\w{16,250}+",
        r"npm_\w{30,60}+", r"pypi-[\w-]{40,300}+", r"hf_\w{30,60}+", r"dop_v1_\w{60,70}+",
        r"shp(?:at|ca|pa|ss)_\w{30,60}+", r"SG\.[\w-]{16,40}+\.[\w-]{30,60}+",
        r"key-[0-9a-f]{32}(?!\w)",
        r"hv[bs]\.[\w-]{20,300}+", r"AGE-SECRET-KEY-1[0-9A-Z]{50,60}+",
    ))
)  # fmt: skip
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END)[\x21-\x7e\s]){1,20000}"  # what follows may be absent: no way back is tried
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_NAMES = any_of((
    r"pass ?(?:word|wort|phrase|code)s?", r"passwd", r"pwd", r"kennwort",
    r"pin(?:[- ]?code|-?nummer)?",
    r"puk", r"mot de passe", r"mdp", r"contrase(?:\u00f1|n)a", r"clave", r"senha", r"wachtwoord",
    r"has\u0142o", r"haslo", r"heslo", r"salasana", r"l\u00f6senord", r"passord", r"adgangskode",
    r"\u043f\u0430\u0440\u043e\u043b\u044c", r"\u5bc6\u7801", r"\u30d1\u30b9\u30ef\u30fc\u30c9",
    (r"(?:api|access|secret|private|account|auth|shared|encryption|license|client)[ _-]?(?:access)?"
     r"[ _-]?key(?: id)?"), r"accountkey", r"sharedaccesskey", r"token", r"secret", r"otp", r"tan",
))  # fmt: skip
_NAMED = re.compile(
    rf"(?<![^\W_])(?P<name>{_NAMES})"
    r"[\"']?(?:\s{0,3}(?::=|=>|[:=])\s{0,3}|\s+(?:is|was|ist|lautet|war|est|es|\u00e8|now)\s{0,2}:?\s+)"
    r"(?P<value>\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|\{[^}\n]{1,200}\}|[^\s;,<>\"]{1,500})"
)
_BEARER = re.compile(
    r"(?<!\w)(?:Bearer|Basic|Digest|token)\s+(?P<value>[A-Za-z0-9+/_.~-]{16,4000}={0,2})"
)
# What follows "password:" or "the token is" in prose and is none.
_PROSE = re.compile(
    r"(?:not|no|none|null|nil|n/?a|empty|blank|expired?|wrong|invalid|incorrect|required|missing|reset"
    r"|changed?|unknown|correct|ok|okay|yes|true|false|the|a|an|see|same|too|in|on|only|still|being"
    r"|used?|set|sent|here|there|there's|abgelaufen|falsch|ung(?:\u00fc|ue)ltig|nicht|kein\w*|leer"
    r"|vergessen|forgotten|bekannt|unbekannt|siehe|gesperrt|locked|weg|for|to|of|and|or|as|at|by"
    r"|stored|saved|shown|accepted|rejected|denied|valid|needed|always|never|also|already|required"
    r"|string|text|password|passwort|token|\*+|\.{2,}|x+|-+|_+|\?+|\$\{?\w*\}?|<.*)[.!?:)]*$",
    re.IGNORECASE,
)
_WORDY = re.compile(r"[^\W\d_]+[.!?)]*$")  # after "is": a bare word is prose, not a password
_DIGITS = re.compile(r"(?:pin|puk|tan|otp)", re.IGNORECASE)  # of a plug, too: "pin: 3"
_CODE = re.compile(r"\d{4,12}")
_SAID = re.compile(r"[:=]\s*$")
SECRET = Sign("words", tuple(regular(one.pattern) for one in (_SHAPES, _PEM, _BEARER, _NAMED)))


def secrets(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find tokens, cloud keys, private keys, and values that are named as secrets."""
    text = source.text
    for match in _SHAPES.finditer(text):
        before = text[match.start() - 1] if match.start() else " "
        if not (before.isalnum() or before == "-"):
            yield Span(match.start(), match.end(), "SECRET", match.group())
    for match in _PEM.finditer(text) if "PRIVATE KEY" in text else ():
        yield Span(match.start(), match.end(), "SECRET", match.group())
    schemes = any(map(text.__contains__, ("Bearer ", "Basic ", "Digest ", "token ")))
    for match in _BEARER.finditer(text) if schemes else ():
        if any(char.isdigit() for char in match["value"]):
            yield Span(*match.span("value"), "SECRET", match["value"])
    yield from _named(source)


def _named(source: Folded) -> Iterator[Span]:
    for match in _NAMED.finditer(source.lower):
        start, end = match.span("value")
        value = source.text[start:end]
        said = _SAID.search(source.text[match.end("name") : start]) is not None
        if value[0] + value[-1] in {'""', "''", "{}"}:
            start, end = start + 1, end - 1
            value = value[1:-1]
        else:
            value = value.rstrip(".,;:!?)")
            end = start + len(value)
        if not value or _PROSE.match(value) or (not said and _WORDY.match(value)):
            continue
        if not _DIGITS.match(match["name"]) or _CODE.fullmatch(value):
            yield Span(start, end, "SECRET", value)
