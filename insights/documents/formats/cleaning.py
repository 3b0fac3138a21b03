"""Text as it is stored: what nobody can see or type is taken out, whatever the format."""

import re
import unicodedata

# NUL and the other control characters that PostgreSQL refuses or nobody can read; soft hyphens,
# zero-width spaces and marks of byte order, which stand inside of words and hide them.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b\u2060\ufeff\ufffe\uffff]")
# Presentation forms, which fonts bring into files and nobody types: Latin ligatures (the ﬁ of
# "conﬁgure"), Hebrew, Arabic, radicals for ideographs, full-width letters and digits. Nothing else
# is normalised by compatibility: m² is not m2.
_FORMS = re.compile(
    "[\u2e80-\u2fdf\ufb00-\ufdff\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]+"
)

_HYPHENS = {0x2010: "-", 0x2011: "-"}  # a code is looked for with the usual one


def clean(text: str) -> str:
    """Return text with unified newlines, composed letters, and without what cannot be seen."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    text = text.encode("utf-8", errors="replace").decode("utf-8")  # lone surrogates
    text = _FORMS.sub(lambda forms: unicodedata.normalize("NFKC", forms[0]), text)
    return _UNSEEN.sub("", unicodedata.normalize("NFC", text)).translate(_HYPHENS)


def one_line(text: str) -> str:
    """Return text with every run of white space as one blank."""
    return " ".join(text.split())


def squeeze(text: str) -> str:
    """Return text without blanks at the ends of lines and with one empty line at most in a row."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()
