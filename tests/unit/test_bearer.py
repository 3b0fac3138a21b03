"""Tokens of an identity provider: the good one is taken, and no evil one is."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from insights.site.access import AccessSettings, JwtSettings
from insights.site.settings import Settings
from insights.web.bearer import Bearers, Keys
from insights.web.guard import LASTS_S, People, Tokens

ISSUER, AUDIENCE = "https://id.example/realms/desk", "insights"
RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(65_537, 2_048)
EDWARDS = ed25519.Ed25519PrivateKey.generate()

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def jwk(key: Key, **more: str) -> dict[str, Any]:
    made: str
    match key:
        case rsa.RSAPrivateKey():
            made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
        case ec.EllipticCurvePrivateKey():
            made = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())
        case _:
            made = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key())
    return {**json.loads(made), **more}


SET = [jwk(RSA, kid="r", use="sig"), jwk(EC, kid="e"), jwk(EDWARDS, kid="d")]


def claims(**more: object) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "auth0|anna",
        "exp": now + 600,
        "nbf": now - 5,
        "realm_access": {"roles": ["desk-readers", "others"]},
    }
    return {name: value for name, value in {**made, **more}.items() if value is not None}


def token(key: Key = RSA, algorithm: str = "RS256", kid: str | None = "r", **more: object) -> str:
    return jwt.encode(claims(**more), key, algorithm, {} if kid is None else {"kid": kid})


def known(
    read: Callable[[], bytes] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **more: object,
) -> Bearers:
    wanted = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": "keys.json",
        "roles_claim": "realm_access.roles",
        "roles": {"desk-readers": "analyst", "desk-admins": "operator"},
        "algorithms": ("RS256", "ES256", "EdDSA"),
        **more,
    }
    settings = Settings(access=AccessSettings(jwt=JwtSettings.model_validate(wanted)))
    return Bearers(settings, Keys(read or (lambda: json.dumps({"keys": SET}).encode()), clock))


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "r"), (EC, "ES256", "e"), (EDWARDS, "EdDSA", "d")]
)
def test_a_good_token_is_whose_it_says_with_the_roles_of_its_groups(
    key: Key, algorithm: str, kid: str
) -> None:
    for named in (kid, None):  # one key alone is of this kind
        person = known().person(token(key, algorithm, named))
        assert person is not None
        assert (person.name, person.actor) == ("auth0|anna", "page auth0|anna")
        assert person.roles == {"analyst"}
        assert 600 < person.lasts_s < 631  # it ends with the token
    later = known().person(token(exp=int(time.time()) + 10**6))
    assert later is not None
    assert later.lasts_s == LASTS_S


def public() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def forged(header: dict[str, Any], secret: bytes = b"", **more: object) -> str:
    """Sign with a shared secret whatever the header says."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims(**more))
    ]
    signed = hmac.new(secret, b".".join(parts), hashlib.sha256).digest() if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()


EVIL: dict[str, Callable[[], str]] = {
    "no signature, alg none": lambda: forged({"alg": "none", "kid": "r"}),
    "alg None in other letters": lambda: forged({"alg": "nOnE", "kid": "r"}),
    "no alg": lambda: forged({"kid": "r"}, b"x"),
    "alg is a list": lambda: forged({"alg": ["RS256"], "kid": "r"}, b"x"),
    "HS256 with the public key": lambda: forged({"alg": "HS256", "kid": "r"}, public()),
    "RS256 in the header, a shared secret": lambda: forged({"alg": "RS256", "kid": "r"}, public()),
    "signed by a stranger": lambda: token(STRANGER),
    "its own key in the header": lambda: jwt.encode(
        claims(), STRANGER, "RS256", {"kid": "x", "jwk": jwk(STRANGER), "jku": "https://evil"}
    ),
    "a key of another kind": lambda: token(EC, "ES256", "r"),
    "the other way round": lambda: token(RSA, "RS256", "e"),
    "an algorithm that is not taken": lambda: token(RSA, "PS256"),
    "a longer hash than is taken": lambda: token(RSA, "RS512"),
    "unknown kid": lambda: token(kid="z"),
    "another audience": lambda: token(aud="payroll"),
    "an audience like ours": lambda: token(aud="insights2"),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://id.example/realms/desk/"),
    "no issuer": lambda: token(iss=None),
    "over": lambda: token(exp=int(time.time()) - 60),
    "without an end": lambda: token(exp=None),
    "an end that is no number": lambda: token(exp="tomorrow"),
    "an end beyond all numbers": lambda: token(exp=float("inf")),
    "not yet": lambda: token(nbf=int(time.time()) + 600),
    "no subject": lambda: token(sub=None),
    "a name with a line break": lambda: token(sub="anna\npage root"),
    "a name without end": lambda: token(sub="a" * 129),
    "no group that gives a role": lambda: token(realm_access={"roles": ["others"]}),
    "groups of another form": lambda: token(realm_access=["desk-admins"]),
    "groups that are numbers": lambda: token(realm_access={"roles": [1, None, {}]}),
    "a critical extension": lambda: jwt.encode(
        claims(), RSA, "RS256", {"kid": "r", "crit": ["exp"]}
    ),
    "huge": lambda: token(more="x" * 20_000),
    "deep": lambda: forged({"alg": "RS256", "kid": "r"}) + "." + "[" * 5_000,
    "four parts": lambda: token() + ".x",
    "two parts": lambda: token().rpartition(".")[0],
    "another's payload under a good signature": lambda: ".".join(
        (token().split(".")[0], token(sub="root").split(".")[1], token().split(".")[2])
    ),
    "no token": lambda: "..",
    "other letters": lambda: token() + "\u0131",
}


@pytest.mark.parametrize("kind", EVIL)
def test_an_evil_token_is_nobody_s(kind: str) -> None:
    assert known().person(EVIL[kind]()) is None


@pytest.mark.parametrize(
    "published",
    [
        {"kty": "oct", "kid": "r", "k": base64.urlsafe_b64encode(b"s" * 32).decode()},
        jwk(RSA, kid="r", use="enc"),
        jwk(RSA, kid="r", alg="RS512"),
        {
            **jwk(RSA, kid="r"),
            "d": "AQAB",
        },  # a private key that somebody published: it is everybody's
        "no key",
        {},
    ],
)
def test_a_key_that_cannot_be_of_the_algorithm_is_none(published: object) -> None:
    read = json.dumps({"keys": [published]}).encode()
    assert known(lambda: read).person(token()) is None
    assert known(lambda: read).person(forged({"alg": "HS256", "kid": "r"}, b"s" * 32)) is None


def test_keys_are_read_again_for_a_new_name_and_seldom_for_nonsense() -> None:
    reads = 0
    sets: list[list[dict[str, Any]] | OSError] = [SET[1:], SET, OSError()]

    def read() -> bytes:
        nonlocal reads
        found = sets[min(reads, 2)]
        reads += 1
        if isinstance(found, OSError):
            raise found
        return json.dumps({"keys": found}).encode()

    at = 1_000.0
    people = known(read, lambda: at)
    for _ in range(50):  # a name that nobody has: the provider is not asked for each
        assert people.person(token(kid="z")) is None
    assert people.person(token()) is None
    assert reads == 1
    at += 31
    assert people.person(token()) is not None  # the provider's key of today
    assert reads == 2
    at += 601
    assert people.person(token()) is not None  # it is down: yesterday's keys stand
    assert reads == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"algorithms": ["HS256"]}, "Input should be 'RS256'"),
        ({"algorithms": ["none"]}, "Input should be 'RS256'"),
        ({"algorithms": []}, "algorithms is empty"),
        ({"audience": ""}, "and audience is not"),
        ({"roles": {}}, "and roles is not"),
        ({"roles": {"x": "root"}}, "Input should be 'viewer'"),
        ({"keys": "http://id.example/keys"}, "no https address"),
        ({"leeway": "1h"}, "more than 5min"),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        known(**wrong)


def test_a_line_of_the_credential_and_a_token_of_the_provider_are_both_taken() -> None:
    line = "o" * 40
    people = People(Tokens(f"otto operator {line}"), known())
    for given, name in ((line, "otto"), (token(), "auth0|anna")):
        person, session = people.person(given), people.session(given)
        assert person is not None
        assert session is not None
        assert (person.name, session.person.name) == (name, name)
        again = people.session(given)
        assert again is not None
        assert session.secret == again.secret  # forms of the page before are of the same person
    assert people.session("x" * 40) is None
    assert people.person("") is None
    assert bool(People(Tokens(""), known()))
    assert not People(Tokens(""))
