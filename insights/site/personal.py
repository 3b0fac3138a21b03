"""What of the settings says which personal data becomes placeholders."""

from pathlib import Path
from typing import Literal

import phonenumbers
import regex
from pydantic import Field, field_validator, model_validator

from insights.site.values import Name, Section

PersonalKind = Literal[
    "email",
    "card",
    "iban",
    "phone",
    "ip",
    "mac",
    "url",
    "national_id",
    "passport",
    "licence",
    "birth_date",
    "secret",
    "link",
]


class TextRedactionSettings(Section):
    """`[collection.<name>.redact]`: what becomes a placeholder before a document is cut.

    `link` is the one kind that is not on by default: every URL, not only those with credentials.
    """

    kinds: tuple[PersonalKind, ...] = (
        "email",
        "card",
        "iban",
        "phone",
        "ip",
        "mac",
        "url",
        "national_id",
        "passport",
        "licence",
        "birth_date",
        "secret",
    )
    regions: tuple[str, ...] = ()
    patterns: dict[Name, str] = Field(default_factory=dict)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    names_model: Path | None = None
    names_model_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    names_labels: dict[str, Name] = Field(default_factory=lambda: {"PER": "person"}, min_length=1)

    @model_validator(mode="after")
    def _names_pinned(self) -> "TextRedactionSettings":
        if (self.names_model is None) != (self.names_model_sha256 is None):
            raise ValueError(
                "names_model and names_model_sha256 belong together "
                "(`python -m insights.embedding.files FOLDER` prints the hash)"
            )
        return self

    @field_validator("regions")
    @classmethod
    def _countries(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        for region in regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise ValueError(f"there is no country {region!r}; write ISO 3166 as CH or US")
        return regions

    @field_validator("patterns")
    @classmethod
    def _patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                compiled = regex.compile(pattern)
            except regex.error as exc:
                raise ValueError(f"{name} is no regular expression: {exc}") from None
            if compiled.search("") is not None:
                raise ValueError(f"{name} matches the empty text, so it would be found everywhere")
        return patterns

    @field_validator("allow", "deny")
    @classmethod
    def _values(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not any(map(str.isalnum, value)):
                raise ValueError(f"{value!r} has neither letters nor digits")
        return values


class RedactionSettings(TextRedactionSettings):
    """`[stream.<name>.redact]`: what becomes a placeholder before a row leaves its reader."""

    columns: tuple[str, ...] = ()
