"""HTML as a browser shows it."""

import re

from insights import errors
from insights.documents.formats import markup
from insights.documents.formats.encoding import decode
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_HEAD = 4096  # bytes in which a page declares its encoding; browsers look at 1,024
_DECLARED = re.compile(
    rb"(?:<meta[^>]{0,200}?charset\s*=\s*[\"']?|<\?xml[^>]{0,100}?encoding\s*=\s*[\"'])([\w.:-]+)",
    re.IGNORECASE,
)


def load(data: bytes, _: Limits) -> Loaded:
    """Return what is shown as Markdown; menus, scripts and what is hidden are left out.

    Raises:
        errors.KnowledgeError: If there is no element at all.
    """
    declared = _DECLARED.search(data[:_HEAD])
    text, doubts = decode(data, declared[1].decode("ascii", "replace") if declared else "")
    return shown(text, doubts)


def shown(text: str, doubts: tuple[str, ...] = ()) -> Loaded:
    """Return a page's title and text.

    Raises:
        errors.KnowledgeError: If there is no element at all.
    """
    root = markup.tree(text)
    if root is None:
        raise errors.KnowledgeError("holds no page")
    title = usable(markup.heading(root)) or usable(markup.title(root))
    return Loaded(title=title, text=markup.markdown(root), doubts=doubts)
