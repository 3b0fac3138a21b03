"""Addresses of the network: e-mail, IP, MAC, and URLs that carry credentials or tokens.

Each finder starts from the one sign that such an address cannot lack (`@`, `://`, `:`, `.`), and
looks a bounded distance to both sides: a megabyte of signs takes a megabyte's time.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterator

from insights.governance.redact.context import READINGS, THINGS, Words
from insights.governance.redact.folding import Folded
from insights.governance.redact.signs import Sign, regular
from insights.governance.redact.spans import Span, compact

# Matched backwards, from the @; without = / ? & | { }, behind which an address begins: ?to=a@b.c
_LOCAL = re.compile(r"[\w.!#$%'*+^~-]{1,64}")
_QUOTED = re.compile(r'"[^"\n@]{1,62}"$')
_HOST = re.compile(r"@(?P<gap>[ \n]?)(?P<domain>(?:[\w-]{1,63}+\.){1,8}[^\W\d_][\w-]{1,62})")
_RELEASE = re.compile(r"[~^]?v?\d+\.\d+|\d+x\.")  # package@1.2.3-rc.alpha, icon@2x.png
_UNIT = re.compile(r"[\w-]+\.(?:service|socket|timer|mount|slice|scope)")  # getty@tty1.service
_SPOKEN = re.compile(
    r"(?<![\w.+-])[\w+-]{1,64}+(?:(?: dot |\.)[\w+-]{1,63}+){0,4}(?: at |@)"
    r"[\w-]{1,63}+(?:(?: dot |\.)[\w-]{1,63}+){1,4}",
    re.IGNORECASE,
)
_SERVICES = {"git", "hg", "svn"}  # logins that are nobody's

# Patterns begin with a class of characters, which the engine skips to; what stands before is asked
# afterwards.
_IPV4 = re.compile(
    r"\d{1,3}(?:\.\d{1,3}(?:\.\d{1,3}){2}(?![^\W_]|\.\d)| \. \d{1,3}(?: \. \d{1,3}){2})"
)
_IPV6_SIGN = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6 = re.compile(
    r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}+){2,8}+(?:(?<=\d)(?:\.\d{1,3}){3})?(?![\w:])"
)
_HOSTS = Words(
    (r"ips?", r"ipv4", r"addr(?:ess(?:es)?|esse)?", r"adresse?n?", r"hosts?", r"server", r"client",
     r"gateway", r"router", r"ping\w*", r"dns", r"subnet", r"netz\w*", r"network", r"login",
     r"logged in", r"connect\w*", r"remote", r"peer", r"proxy", r"nat", r"vlan", r"dhcp", r"ssh"),
    (*READINGS, *THINGS, r"v", r"ver", r"update\w*", r"upgrade\w*", r"app", r"software", r"sdk",
     r"runtime", r"plugin", r"library", r"package", r"clause", r"paragraph", r"oid", r"fassung"),
)  # fmt: skip
_BITS = re.compile(r"/(\d\d?)(?![\d/.])")
_NETWORK = 24  # bits up to which a network has many hosts
_HIGH = 100  # a component from which no word makes a version of it
_SMALL, _LOW, _FEW = (
    30,
    10,
    2,
)  # what components of versions are, and hardly ever those of addresses

_MAC = re.compile(
    r"[0-9A-Fa-f]{2}(?:([:.-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![^\W_]|\1\w)"
    r"|[0-9A-Fa-f]{2}([.-])[0-9A-Fa-f]{4}\2[0-9A-Fa-f]{4}(?![^\W_]|[.-]))"
)
_PAIR = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{2}[:.-]\Z")  # of a longer chain
_BARE_MAC = re.compile(r"(?<![^\W_])[0-9A-Fa-f]{12}(?![^\W_])")
_UUID_PARTS = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-\Z")  # before the last one
_MAC_WORDS = ("mac", "hwaddr", "bssid", "ethernet", "wlan", "wifi", "nic")
_MACS = Words(_MAC_WORDS, THINGS)

_SCHEME = re.compile(r"[A-Za-z0-9+.-]{1,30}")  # matched backwards, from the ://
_REST = re.compile(r"[^\s<>\"'`^\\{}|]{1,4096}")
_USER = re.compile(r"[^/?#@:\s]{0,200}:(?![$<{*%]|\.{3})[^/?#@\s]{1,200}@")  # no ${placeholder}
_PARAMETER = re.compile(r"[?&;#]([\w.\[\]-]{1,60})=([^&;#\s]{1,4000})")
_TELLING = re.compile(
    r"(?:.*[_.-])?(?:token|secret|signature|sig|password|passwd|passwort|pwd|pw|jwt|apikey|api-?key"
    r"|accesskey|credential|otp|samlresponse|bearer)$|.*(?:token|secret|password|apikey)$",
    re.IGNORECASE,
)
_HINTING = re.compile(
    r"(?:.*[_-])?(?:key|code|auth|pass|pin|session|sessionid|sid|phpsessid|jsessionid|hash|invite"
    r"|state|nonce|ticket|t|k|s)$",
    re.IGNORECASE,
)
_SECRET_PATH = re.compile(
    r"/(?:reset|resets|invites?|verify|confirm|activate|magic|login|share|shared|token|tokens"
    r"|hooks?|webhooks?|services|unsubscribe|download|s|e|u)(?=[/-]|$)", re.IGNORECASE
)  # fmt: skip
_OPAQUE = 20  # characters from which a mix of letters and digits is taken for a token
_HINTED = 12  # … under a name that hints at one
_SEGMENT = re.compile(r"[\w~%=+.-]{8,}")
EMAIL = Sign("words", ("@", " dot "))
URL = Sign("words", ("://",))
IP = Sign("numbers", (regular(_IPV4.pattern), regular(_IPV6_SIGN.pattern)))
_MAC_SIGN = rf"(?:{'|'.join(_MAC_WORDS)})(?s:.*){regular(_BARE_MAC.pattern)}"
MAC = Sign("numbers", (regular(_MAC.pattern), _MAC_SIGN))  # of a bare one the words go before


def emails(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find e-mail addresses: `a.b@c.de`, `"a b"@c.de`, `a dot b at c dot de`."""
    text = source.text
    if "@" in text:
        backwards = text[::-1]
        for host in _HOST.finditer(text):
            found = _email(text, backwards, host)
            if found is not None:
                yield found
    if " dot " in source.lower:
        for match in _SPOKEN.finditer(text):
            if " dot " in match.group().casefold():
                same = match.group().casefold().replace(" dot ", ".").replace(" at ", "@")
                yield Span(match.start(), match.end(), "EMAIL", same)


def _email(text: str, backwards: str, host: re.Match[str]) -> Span | None:
    begin, end = host.span()
    gap, domain = host.groups()
    before = text[begin - 1 : begin]
    if before == "\n" or (gap and before == " "):  # written apart, or wrapped beside the @
        begin -= 1
    elif gap == " ":
        return None
    if _RELEASE.match(domain) or _UNIT.fullmatch(domain):
        return None
    if text[begin - 1 : begin] == '"' and (
        quoted := _QUOTED.search(text, max(0, begin - 64), begin)
    ):
        return Span(quoted.start(), end, "EMAIL", (quoted.group() + domain).casefold())
    at = len(text) - begin
    match = _LOCAL.match(backwards, at, at + 64)
    if match is None:
        return None
    local = match.group()[::-1].lstrip(".'*#!$%+^~-")
    if not local or local.casefold() in _SERVICES:
        return None
    return Span(begin - len(local), end, "EMAIL", (local + domain).casefold())


def ips(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find IPv4 and IPv6 addresses; versions and chapters that look like one are left."""
    for match in _IPV4.finditer(source.text) if "." in source.text else ():
        if _inside(source.text, match.start(), "."):
            continue
        address = match.group().replace(" ", "")
        parts = address.split(".")
        if any(int(part) > 255 or (part[0] == "0" and part != "0") for part in parts):  # noqa: PLR2004
            continue
        lean = _HOSTS.lean(source, match.start(), match.end())
        numbers = [int(part) for part in parts]
        if _of_nobody(numbers, _BITS.match(source.text, match.end())):
            continue
        if lean > 0 or not (_like_version(numbers) or (lean < 0 and max(numbers) < _HIGH)):
            yield Span(match.start(), match.end(), "IP", address)
    yield from _ipv6(source.text)


def _of_nobody(parts: list[int], bits: re.Match[str] | None) -> bool:
    """Return whether an address is a network of many (10.0.0.0/8), a mask, or any of a machine."""
    number = int.from_bytes(bytes(parts))
    if number == 0 or (parts[:2] == [255, 255] and f"{number:032b}".find("01") < 0):
        return True
    size = int(bits[1]) if bits else 32
    return size <= _NETWORK and number & (2 ** (32 - size) - 1) == 0


def _ipv6(text: str) -> Iterator[Span]:
    done = 0
    for sign in _IPV6_SIGN.finditer(text):
        start = sign.start()
        while start > max(done, sign.start() - 4) and text[start - 1] in "0123456789abcdefABCDEF":
            start -= 1
        found = _IPV6.match(text, start)
        if start < done or found is None or _inside(text, start, ":"):
            continue
        done = found.end()
        with contextlib.suppress(ValueError):
            ipaddress.IPv6Address(found.group())
            if any(char.isdigit() for char in found.group()):
                yield Span(start, found.end(), "IP", found.group().casefold())


def _inside(text: str, start: int, signs: str) -> bool:
    """Return whether a find goes on before its start: a word or one of these signs."""
    before = text[start - 1] if start else " "
    return before.isalnum() or before in signs


def _like_version(parts: list[int]) -> bool:
    private = parts[0] in {10, 127} or len(set(parts)) == 1
    low = sum(part < _LOW for part in parts[1:])
    return parts[0] < _SMALL and not private and low >= _FEW


def macs(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find MAC addresses, by bytes or by words of four; without separators beside "MAC" only."""
    text = source.text
    apart = text.count(":") > 1 or text.count("-") > 1 or text.count(".") > 1
    for match in _MAC.finditer(text) if apart else ():
        start = match.start()
        if _inside(text, start, "") or _PAIR.search(text, max(0, start - 4), start):
            continue
        lettered = not match.group().translate(_NO_SEPARATORS).isdecimal()
        lean = _MACS.lean(source, match.start(), match.end())
        if lean > 0 or match[1] == ":" or (lettered and lean == 0 and match[2] != "-"):
            yield Span(match.start(), match.end(), "MAC", compact(match.group()))
    named = any(map(source.lower.__contains__, _MAC_WORDS))
    for match in _BARE_MAC.finditer(text) if named else ():
        if _UUID_PARTS.search(text, max(0, match.start() - 24), match.start()):
            continue
        if _MACS.lean(source, match.start(), match.end()) > 0:
            yield Span(match.start(), match.end(), "MAC", compact(match.group()))


_NO_SEPARATORS = str.maketrans("", "", ":.-")


def links(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find every URL, whatever it carries."""
    text = source.text
    for start, end in _urls(text):
        yield Span(start, end, "LINK", text[start:end])


def urls(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find URLs that carry a login, a token or a signature."""
    text = source.text
    for start, end in _urls(text):
        if _tells(text[start:end]):
            yield Span(start, end, "URL", text[start:end])


def _urls(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("://")
    done = 0
    while at >= 0:
        match = _SCHEME.match(text[max(done, at - 30) : at][::-1])
        rest = _REST.match(text, at + 3)
        if match is not None and rest is not None:
            scheme = match.group()[::-1].lstrip("0123456789+.-")
            end = rest.start() + len(rest.group().rstrip(".,;:!?)]}*_~"))
            if scheme and end > rest.start():
                yield at - len(scheme), end
                done = end
        at = text.find("://", max(at + 3, done))


def _tells(url: str) -> bool:
    rest = url.partition("://")[2]
    if _USER.match(rest):
        return True
    place = rest.partition("?")[0].partition("#")[0]
    for name, value in _PARAMETER.findall(rest[len(place) :] if place != rest else ""):
        if _TELLING.match(name) or (_HINTING.match(name) and len(value) >= _HINTED):
            return True
        if opaque(value):
            return True
    path = place[place.find("/") :] if "/" in place else ""
    hinted = _SECRET_PATH.search(path) is not None
    return any(
        opaque(segment, plain=hinted) for segment in path.split("/") if _SEGMENT.fullmatch(segment)
    )


def opaque(value: str, *, plain: bool = True) -> bool:
    """Return whether a value is a token by its looks: long, letters and digits mixed.

    Args:
        value: The value.
        plain: One case of letters is enough, as in hexadecimal; else both have to be there.
    """
    for part in re.split(r"[^A-Za-z0-9]", value) if "-" in value and not plain else (value,):
        digits = sum(char.isdigit() for char in part)
        upper = sum(char.isupper() for char in part)
        lower = sum(char.islower() for char in part)
        if len(part) < _OPAQUE or digits < 2 or upper + lower < 4:  # noqa: PLR2004
            continue
        if plain or (upper >= 2 and lower >= 2):  # noqa: PLR2004
            return True
    return False
