"""XML: records by element path; what is broken, bombed or bottomless costs no good neighbour."""

import time

import pytest

from insights.doors.layouts import Layout, Record, Refused, Unreadable
from insights.doors.records import read

HEAD = '<?xml version="1.0"?>\n<tickets>\n'
GOOD = "<ticket><id>{}</id><body>a</body></ticket>\n"


def found(text: str | bytes, record: str = "ticket", **fields: str) -> list[Record | Refused]:
    data = text.encode() if isinstance(text, str) else text
    layout = Layout("xml", record=record, fields=fields)
    return list(read(data, layout, ("id", "body"))[1])


def good(records: list[Record | Refused]) -> list[object]:
    return [one.fields for one in records if isinstance(one, Record)]


def ids(records: list[Record | Refused]) -> list[object]:
    return [one.fields["id"] for one in records if isinstance(one, Record)]  # type: ignore[index]


def bad(records: list[Record | Refused]) -> list[tuple[int, int | None, str]]:
    return [(one.line, one.column, one.what) for one in records if isinstance(one, Refused)]


def test_elements_and_attributes_are_fields_with_their_places() -> None:
    records = found(f'{HEAD}<ticket id="7">\n  <body> R&amp;D \n</body></ticket>\n</tickets>')
    assert good(records) == [{"id": "7", "body": "R&D"}]
    (record,) = records
    assert isinstance(record, Record)
    assert (record.line, record.lines) == (3, {"id": 3, "body": 4})
    assert record.columns == {"id": 1, "body": 3}


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("ticket", ["1", "2"]),
        ("more/ticket", ["2"]),
        ("/all/ticket", ["1"]),
        ("/all/more/ticket", ["2"]),
    ],
)
def test_a_path_leads_to_records_wherever_it_begins(record: str, wanted: list[str]) -> None:
    text = f"<all>{GOOD.format(1)}<more>{GOOD.format(2)}</more></all>"
    assert ids(found(text, record)) == wanted


def test_a_soap_body_is_unwrapped_and_fields_are_named_by_path() -> None:
    text = """<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
<soap:Header><w:id xmlns:w="urn:w">9</w:id></soap:Header><soap:Body><t:Create xmlns:t="urn:t">
<t:Ticket nr="7"><t:Head><t:Title>Printer</t:Title></t:Head><t:Other>x</t:Other></t:Ticket>
</t:Create></soap:Body></soap:Envelope>"""
    records = found(text, "Body/Create/Ticket", id="@nr", body="Head/Title")
    assert good(records) == [{"id": "7", "body": "Printer"}]


def test_what_is_nil_is_null_and_what_is_empty_is_empty() -> None:
    nil = '<t><id xmlns:xsi="x" xsi:nil="true"/><body/></t>'
    assert good(found(nil, "t")) == [{"id": None, "body": ""}]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY x "0123456789"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    ],
)
def test_a_bomb_and_an_outer_entity_are_refused_where_they_begin(doctype: str) -> None:
    text = f'<?xml version="1.0"?>\n{doctype}\n<a><ticket><id>1</id><body>&x;</body></ticket></a>'
    ((line, column, what),) = bad(records := found(text))
    assert good(records) == []
    assert line == 2
    assert column is not None
    assert "DOCTYPE" in what


def test_deep_nesting_is_refused_and_its_neighbours_are_kept() -> None:
    deep = "<a>" * 10_000 + "</a>" * 10_000
    text = f"{HEAD}{GOOD.format(1)}<ticket><id>2</id>{deep}</ticket>\n{GOOD.format(3)}</tickets>"
    records = found(text)
    assert ids(records) == ["1", "3"]
    ((line, _, what),) = bad(records)
    assert (line, what) == (4, "nested deeper than 100 elements")
    outside = found(f"<tickets>{deep}{GOOD.format(1)}</tickets>")
    assert [what for *_, what in bad(outside)] == ["nested deeper than 100 elements"] * 2


@pytest.mark.parametrize(
    "broken",
    [
        "<ticket><id>2</id><body>R&D</body></ticket>",
        "<ticket><id>2</id><body>a < b</body></ticket>",
        "<ticket><id>2</id><body>a</text></ticket>",
        "<ticket><id>2</id><body>a</body>",
        "<ticket><id>2</id><body>&nbsp;</body></ticket>",
        "<ticket><id>2</id><body>\x00</body></ticket>",
        "<ticket><id>2</id><body>a</body><!-- a -- b --></ticket>",
        "<ticket><id>2</id><body><![CDATA[ a</body></ticket>",
        "<ticket a='1' a='2'><id>2</id><body>a</body></ticket>",
        b"<ticket><id>2</id><body>\xff</body></ticket>",
    ],
)
def test_a_broken_record_costs_no_neighbour(broken: str | bytes) -> None:
    middle = broken.encode() if isinstance(broken, str) else broken
    text = (HEAD + GOOD.format(1)).encode() + middle + f"\n{GOOD.format(3)}</tickets>".encode()
    records = found(text)
    assert ids(records) == ["1", "3"]
    assert {line for line, *_ in bad(records)} == {4}


def test_the_place_of_what_is_broken_counts_characters() -> None:
    ((line, column, _),) = bad(found("<tickets>\n<ticket><id>Äö & b</id></ticket></tickets>"))
    assert (line, column) == (2, 17)


def test_a_file_that_was_cut_off_brings_what_is_whole() -> None:
    records = found(HEAD + GOOD.format(1) + "<ticket><id>2</id><bo")
    assert ids(records) == ["1"]
    assert [line for line, *_ in bad(records)] == [4]


def test_a_field_that_is_there_twice_is_refused_with_the_second_place() -> None:
    twice = "<a><ticket><id>1</id>\n<id>2</id><body>a</body></ticket></a>"
    ((line, column, what),) = bad(found(twice))
    assert (line, column, what) == (2, 1, "the field is there twice")
    assert bad(found('<a><ticket id="1"><id>2</id></ticket></a>'))[0][2] == what


def test_no_record_at_all_is_told() -> None:
    assert bad(found("<a><order/></a>")) == [(1, None, "there is no record 'ticket'")]
    assert bad(found(""))[0][0] == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-15", "cp1252"])
def test_the_encoding_is_the_one_that_is_declared_or_marked(encoding: str) -> None:
    named = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{named}"?><ticket><id>Ä</id></ticket>'
    assert good(found(text.encode(encoding))) == [{"id": "Ä"}]


def test_an_encoding_that_is_none_refuses_the_file() -> None:
    with pytest.raises(Unreadable, match="no encoding 'klingon'"):
        found('<?xml version="1.0" encoding="klingon"?><ticket/>')


def test_a_record_across_pieces_is_whole_and_a_million_broken_ones_end() -> None:
    long = "x" * 150_000
    records = found(f"<a><ticket><id>1</id><body>{long}</body></ticket>{GOOD.format(2)}</a>")
    assert ids(records) == ["1", "2"]
    begun = time.monotonic()
    records = found("<a>" + "<ticket><?pi " * 100_000)
    assert "too many records are broken" in bad(records)[-1][2]
    assert time.monotonic() - begun < 60
