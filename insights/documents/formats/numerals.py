"""Numbers of headings and list items as texts write them: 3, c, C, iii, III."""

_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST = 10_000


def written(number: int, form: str) -> str:
    """Return a number in a form, which is how it writes one: `1`, `a`, `A`, `i` or `I`."""
    if form.lower() == "a" and 0 < number <= _MOST:
        letter = _LETTERS[(number - 1) % len(_LETTERS)]
        text = letter * ((number - 1) // len(_LETTERS) + 1)  # after z comes aa, then bb
    elif form.lower() == "i" and 0 < number <= _MOST:
        text = _roman(number)
    else:
        return str(number)
    return text.upper() if form.isupper() else text


def _roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        text += letters * count
    return text
