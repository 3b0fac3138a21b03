"""A sentence that turns its source round is seen; one that says the same in fewer words is not."""

import pytest

from insights.steps import contradiction as reading
from insights.steps.contradiction import contradiction

_MANUAL = (
    "Relieve the pressure before work. Never open the valve while the pump runs. Torque the "
    "fittings to 250 Nm and the cover to 40 Nm. The Siemens controller reports to the Bosch panel "
    "every 15 minutes. Hoses are not covered by the warranty, and seals are replaced after 1,500 "
    "hours."
)

TURNED = [
    ("Open the valve while the pump runs.", "it does not negate 'Open', and its source does"),
    ("Hoses are covered by the warranty.", "it does not negate 'covered', and its source does"),
    ("Seals are not replaced after 1,500 hours.",
     "it negates 'replaced', and its source does not"),
    ("Torque the fittings to 40 Nm and the cover to 250 Nm.",
     "it has '40' where its source has '250'"),
    ("Torque the fittings to 1,500 Nm.", "it has '1,500' where its source has '250'"),
    ("The Bosch controller reports to the Siemens panel.",
     "it has 'Bosch' where its source has 'Siemens'"),
    ("Relieve the pressure before work, and don't torque the fittings to 250 Nm.",
     "it negates 'torque', and its source does not"),
]  # fmt: skip
KEPT = [
    "Never open the valve while the pump runs.",
    "Do not open the valve while the pump runs.",  # in other words
    "Torque the fittings to 250 Nm.",
    "Fittings: 250 Nm, cover: 40 Nm.",
    "Seals are replaced after 1500 hours.",
    "The controller reports every 15 minutes.",
    "Hoses are not covered, and seals are replaced after 1,500 hours.",
    "The customer cannot print.",  # of something else
    "",
]


@pytest.mark.parametrize(("sentence", "told"), TURNED)
def test_what_is_turned_round_is_told(sentence: str, told: str) -> None:
    assert contradiction(sentence, ["# Hydraulics\nA leak is seen below.", _MANUAL]) == told


@pytest.mark.parametrize("sentence", KEPT)
def test_what_says_the_same_is_left_alone(sentence: str) -> None:
    assert contradiction(sentence, [_MANUAL]) is None
    assert contradiction(sentence, []) is None


@pytest.mark.parametrize(
    ("source", "turned", "kept"),
    [
        ("Das Ventil darf bei laufender Pumpe nicht geöffnet werden.",
         "Das Ventil darf bei laufender Pumpe geöffnet werden.",
         "Bei laufender Pumpe darf das Ventil nicht geöffnet werden."),
        ("La garantie couvre les tuyaux sans limite.", "La garantie ne couvre pas les tuyaux.",
         "La garantie couvre les tuyaux."),
        ("La bomba nunca debe abrirse en marcha.", "La bomba debe abrirse en marcha.",
         "La bomba nunca debe abrirse."),
        ("Il serbatoio non va riempito oltre il segno.", "Il serbatoio va riempito oltre il segno.",
         "Il serbatoio non va riempito."),
        ("De klep mag niet geopend worden tijdens bedrijf.",
         "De klep mag geopend worden tijdens bedrijf.", "De klep mag niet geopend worden."),
    ],
)  # fmt: skip
def test_other_languages_negate_too(source: str, turned: str, kept: str) -> None:
    assert contradiction(turned, [source]) is not None
    assert contradiction(kept, [source]) is None


def test_a_sentence_that_any_source_bears_out_is_left_alone() -> None:
    sources = ["The valve is not open.", "The valve is open."]
    assert contradiction("The valve is open.", sources) is None
    assert contradiction("The valve is open.", sources[:1]) is not None


def test_german_nouns_are_no_names() -> None:
    source = "Der Drucker in der Halle meldet Papierstau und ist nicht bereit."
    assert (
        contradiction("Das Gerät in der Halle meldet Papierstau und ist nicht bereit.", [source])
        is None
    )


def test_a_sentence_that_stands_in_a_source_is_laid_beside_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    sentences = reading._sentences

    def noted(source: str) -> tuple[reading._Sentence, ...]:
        read.append(source)
        return sentences(source)

    monkeypatch.setattr(reading, "_sentences", noted)
    others = ["The fittings are torqued by hand.", "Hoses are covered by the warranty."]
    said = "Torque the fittings to 250 Nm and the cover to 40 Nm."
    assert contradiction(said, [others[0], _MANUAL, others[1]]) is None
    assert read == [_MANUAL]
    # A part of a sentence is none: it may be the other way round.
    told = "it does not negate 'covered', and its source does"
    assert contradiction("covered by the warranty", [_MANUAL]) == told
