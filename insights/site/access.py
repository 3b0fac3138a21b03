"""The settings of who may come by HTTP: `[access.jwt]`, tokens that an identity provider signs."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from insights.site.models import is_loopback
from insights.site.values import Duration, Section, seconds

# RFC 7518, 8037. None with a shared secret: whoever can check such a token can make one.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
JwtRole = Literal["viewer", "analyst", "operator", "auditor", "submitter"]


class JwtSettings(Section):
    """`[access.jwt]`: whose tokens are taken; without an `issuer` none is.

    `keys` is a JSON Web Key Set, a file or an https address. `roles_claim` names the claim with a
    person's groups, with dots between its levels; `roles` says which role a group gives.
    """

    issuer: str = ""
    audience: str = ""
    keys: str = ""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    name_claim: str = "sub"
    roles_claim: str = "roles"
    roles: dict[str, JwtRole] = Field(default_factory=dict)
    leeway: Duration = seconds("30s")
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.issuer:
            return self
        missing = [name for name in ("audience", "keys", "roles") if not getattr(self, name)]
        if missing:
            raise ValueError(f"issuer is given, and {' and '.join(missing)} is not")
        if not self.algorithms:
            raise ValueError("algorithms is empty: no token would be taken")
        if not 0 <= self.leeway <= 300:  # noqa: PLR2004 - five minutes
            raise ValueError("leeway is more than 5min: tokens would outlive their end")
        if "://" in self.keys:
            at = urlsplit(self.keys)
            if at.scheme != "https" and not (
                at.scheme == "http" and is_loopback(at.hostname or "")
            ):
                raise ValueError("keys is no https address: who changes them on the way is let in")
        return self


class AccessSettings(Section):
    """`[access]`: who may come by HTTP, besides those with a line in a credential."""

    jwt: JwtSettings = JwtSettings()
