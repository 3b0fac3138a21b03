"""Placeholders are restored by who holds the key, in the row they came from, and nowhere else."""

from pathlib import Path

import pytest

from insights import errors
from insights.governance import redact
from insights.governance.seal import Seal
from insights.ground import environment
from insights.model import Redaction

KEY, OTHER = b"k" * 32, b"o" * 32
VALUES = {"<EMAIL_1>": "ann@mail.example", "<EMAIL_2>": "<EMAIL_1>", "<SECRET_1>": "hunter2"}
KINDS = ("email",)


def test_what_was_sealed_comes_back_in_every_text_of_an_output() -> None:
    sealed = Seal(KEY).sealed(VALUES, "7", KINDS)
    assert set(sealed) == {"<EMAIL_1>", "<EMAIL_2>"}
    assert "ann" not in str(sealed)
    output = {"a": "to <EMAIL_1>, <EMAIL_2>", "b": [{"c": "<EMAIL_1>"}, 1, None], "d": "<PHONE_1>"}
    assert Seal(KEY).restored(output, sealed, "7") == {
        "a": "to ann@mail.example, <EMAIL_1>",  # a value is not looked at again
        "b": [{"c": "ann@mail.example"}, 1, None],
        "d": "<PHONE_1>",
    }


@pytest.mark.parametrize(("key", "row_key"), [(OTHER, "7"), (KEY, "8")])
def test_another_key_and_another_row_open_nothing(key: bytes, row_key: str) -> None:
    sealed = Seal(KEY).sealed(VALUES, "7", KINDS)
    output = {"a": "to <EMAIL_1>"}
    assert Seal(key).restored(output, sealed, row_key) == output


def test_a_sealed_value_is_bound_to_its_placeholder_and_no_two_are_alike() -> None:
    seal = Seal(KEY)
    sealed = seal.sealed({"<EMAIL_1>": "a@b.example", "<EMAIL_2>": "a@b.example"}, "7", KINDS)
    assert sealed["<EMAIL_1>"] != sealed["<EMAIL_2>"]
    swapped = {"<EMAIL_1>": sealed["<EMAIL_2>"], "<EMAIL_9>": "AAAA"}
    assert seal.restored({"a": "<EMAIL_1> <EMAIL_9>"}, swapped, "7") == {"a": "<EMAIL_1> <EMAIL_9>"}


def test_only_what_an_output_says_and_no_passage_shows_is_kept() -> None:
    sealed = dict.fromkeys(("<EMAIL_1>", "<EMAIL_10>", "<PHONE_1>", "<IBAN_1>"), "sealed")
    output = {"a": "<EMAIL_10> <PHONE_1>"}
    assert set(redact.restorable(sealed, output, ["call <PHONE_1>"])) == {"<EMAIL_10>"}
    assert redact.restorable(sealed, None, []) == {}


def test_redaction_tells_what_stood_there_the_whole_name_before_its_parts() -> None:
    found: dict[str, str] = {}
    values: dict[str, str | None] = {"body": "Ann wrote, ann@mail.example", "who": "Ann Berg"}
    redact.row(values, Redaction(columns=("who",)), found)
    assert found["<WHO_1>"] == "Ann Berg"
    assert found["<EMAIL_1>"] == "ann@mail.example"


def test_without_its_credential_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INSIGHTS_CREDENTIAL_SEAL_KEY", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(errors.SettingsError, match="seal_key"):
        environment.seal_key()
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_SEAL_KEY", "x")
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_HASH_KEY", "x")
    assert environment.seal_key() != environment.hash_key(Path(), embedded=False)
