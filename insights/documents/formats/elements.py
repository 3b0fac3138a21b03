"""The door to lxml's XML parser: parts of packages, their elements by local names.

Both forms of ISO/IEC 29500 and all versions of OpenDocument use the same local names under
different namespaces.
"""

from typing import Any

import lxml.etree as xml

BASES = 50
"""Styles of Word that are asked one after another on which they are based, at most."""
_NO_MEMORY = 2  # libxml2's XML_ERR_NO_MEMORY


class BrokenXmlError(ValueError):
    """A part is no XML."""


def parsed(data: bytes) -> Any:  # noqa: ANN401 - lxml has no types
    """Parse XML without entities of its own making: one could stand for a billion others.

    Raises:
        BrokenXmlError: If it is none.
        MemoryError: If it does not fit.
        RecursionError: If it is nested deeper than libxml2 goes (2,048).
    """
    try:
        return xml.fromstring(data, xml.XMLParser(resolve_entities=False, huge_tree=True))
    except xml.XMLSyntaxError as exc:
        if exc.code == _NO_MEMORY or "memory" in str(exc).lower():
            raise MemoryError from exc
        if "depth" in str(exc):
            raise RecursionError from exc
        raise BrokenXmlError(str(exc)) from exc


def written(element: Any) -> bytes:  # noqa: ANN401
    """Return an element as XML."""
    return bytes(xml.tostring(element))


def added(element: Any, tag: str) -> Any:  # noqa: ANN401
    """Add a child and return it."""
    return xml.SubElement(element, tag)


def namespace(element: Any) -> str:  # noqa: ANN401
    """Return an element's namespace as it stands before its name: `{…}`."""
    return f"{{{xml.QName(element).namespace}}}"


def name(element: Any) -> str:  # noqa: ANN401
    """Return an element's local name; nothing for comments."""
    return xml.QName(element).localname if isinstance(element.tag, str) else ""


def child(element: Any, wanted: str) -> Any:  # noqa: ANN401
    """Return the first child of that local name; None where there is none."""
    if element is None:
        return None
    return next((one for one in element if name(one) == wanted), None)


def key(element: Any, wanted: str) -> str:  # noqa: ANN401
    """Return the full name of an attribute by its local name; nothing where there is none."""
    return next((one for one in element.attrib if xml.QName(one).localname == wanted), "")


def attribute(element: Any, wanted: str) -> str:  # noqa: ANN401
    """Return an attribute's value; nothing where there is no element or attribute."""
    found = "" if element is None else key(element, wanted)
    return str(element.attrib[found]) if found else ""
