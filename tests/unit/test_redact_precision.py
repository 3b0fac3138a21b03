"""What is no personal data is left alone, to the last character."""

import random

import pytest

from benchmarks import _personal
from insights.governance import redact
from insights.model import Redaction

REGIONS = Redaction(regions=("DE", "CH", "US", "GB", "FR"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_part_numbers_versions_prices_and_dates(seed: int) -> None:
    for text in _personal.not_personal(random.Random(seed)):
        assert redact.text(text)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "After the update to firmware 3.4.2.0 the fan stops; BIOS 2.11.4.0; see section 5.1.2.4",
        "from 05.10-09.10.2015, 04.06-07.06; Urlaub 03.06.-07.06.",
        "shift 0600-1400; readings 0123-0987 mm; torque 14 17 18 22 26; latencies 250 300 1000",
        "part 0445-120-331, 047-114-562 and 047-114-563",
        "npm fails: react@18.2.0, @types/react@18.2.1, pkg@1.0.0-rc.alpha, icon@2x.png",
        "git clone git@github.com:acme/tool.git",
        "IMEI 352099001761481; SIM 8944110068256270054; EAN 4006381333931",
        "cd 12.5 / 13.0 / 14.5 ms, 1.234.567 rows, 12,345,678 bytes",
        "the password is wrong; password expired; reset the password: see below",
        "pin 3 of the plug; token ring; the secret is to wait",
        "std::vector, 12:30:45, a::b, 10:20",
        "see https://example.com/articles/2024/05/how-to-reset-a-password-in-ten-steps",
        "https://example.com/list?page=2&sort=name",
        "postgresql://app:${db_password}@db/insights",
        "order id 12345678, user id 987654321, device id 55667788",
        "since 12/1/1977, made 01.02.1999",
        "call chapter 4.2.1.3 by its name",
        "2025-11-23T10:11:12.123456Z and 1763892672123",
        "SHA256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "MAC unknown; UUID 550e8400-e29b-41d4-a716-446655440000",
        "systemctl restart getty@tty1.service, backup@nightly.timer and user@1000.slice",
        "10.0.0.0/8 and 192.168.178.0/24 are private, mask 255.255.255.0, listens on 0.0.0.0:8080",
        "SNMP 1.3.6.1.2.1.1.1.0, OID 1.3.6.1.4.1.311.21.20, RFC 9457, CVE-2024-12345, KB5034441",
        "1.3.6.1.2.1.2.2.1.10 counts; call chapter 4.2.1.3.1.2.5.1.1",
        "brand-115114971181011081199710810997114116112108117112; batch 2026W47-0012",
        "ISBN 978-3-16-148410-0, ISSN 2049-3630, VIN 1HGBH41JXMN109186, 1Z999AA10123456784",
        "Chrome/120.0.6099.129, Windows NT 10.0.19045.3803, Modbus 40001-40016, 1920x1080@60",
        "jdbc:oracle:thin:@//dbhost:1521/service; meet @ gate 7; foo@localhost",
        "passport photo, driving licence renewal, born in May, tax season 2025",
    ],
)
def test_texts_from_the_field(text: str) -> None:
    assert redact.text(text)[0] == text


@pytest.mark.parametrize(
    ("text", "found"),
    [("from 10.1.2.3/8", "10.1.2.3"), ("192.168.178.0/30", "192.168.178.0"),
     ("login 192.168.178.20", "192.168.178.20"), ("host 10.0.0.0", "10.0.0.0")],
)  # fmt: skip
def test_an_address_of_one_machine_is_found(text: str, found: str) -> None:
    assert redact.text(text)[0] == text.replace(found, "<IP_1>")


@pytest.mark.parametrize(
    "text",
    [
        "SNMP 1.3.6.1.2.1.1.1.0 times out",
        "part 0445-120-331",
        "order 4500123456",
        "version 2.14.3.1",
        "torque 14 17 18 22 26",
    ],
)  # fmt: skip
def test_regions_do_not_make_parts_personal(text: str) -> None:
    assert redact.text(text, REGIONS)[0] == text
