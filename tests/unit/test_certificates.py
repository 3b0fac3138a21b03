"""What is said of certificates by their dates, and which files settings name."""

from pathlib import Path

import pytest

from insights.cli.certificates import findings, of_file
from insights.site.settings import Settings
from tests.certificates import made


@pytest.mark.parametrize(
    ("days", "early", "level", "said"),
    [
        (300, -1, "ok", "valid until"),
        (29.5, -1, "warning", "29 days from now"),
        (-1, -9, "error", "is over since"),
        (300, 9, "error", "is valid from"),
    ],
)
def test_dates_decide(tmp_path: Path, days: float, early: float, level: str, said: str) -> None:
    made(tmp_path, "client", None, days=days, early=early)
    for authorities in (True, False):
        found = of_file(tmp_path / "client.pem", authorities=authorities)
        assert found.level == level
        assert said in found.what
        assert (found.level == "ok") == (not found.fix)


def test_one_authority_that_is_over_is_no_error_and_one_of_what_is_shown_is(tmp_path: Path) -> None:
    made(tmp_path, "old", None, days=-1, early=-9)
    made(tmp_path, "new", None, days=300)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text((tmp_path / "new.pem").read_text() + (tmp_path / "old.pem").read_text())
    assert of_file(bundle, authorities=True).level == "warning"
    assert "1 of 2 authorities" in of_file(bundle, authorities=True).what
    assert of_file(bundle, authorities=False).level == "error"


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in of_file(tmp_path / "none.pem", authorities=True).what
    (tmp_path / "text.pem").write_text("secret text")
    found = of_file(tmp_path / "text.pem", authorities=True)
    assert found.level == "error"
    assert "secret" not in found.what


def test_every_setting_that_names_one_is_found(tmp_path: Path) -> None:
    made(tmp_path, "ca", None, days=300)
    file = str(tmp_path / "ca.pem")
    settings = Settings.model_validate(
        {
            "store": {"url": f"postgresql://h/d?sslrootcert={file}&sslcert={file}"},
            "model": {"big": {"url": "https://h/v1", "ca_file": file, "client_cert": file}},
            "queue": {"erp": {"url": "amqps://h/", "pipeline": "p", "queue": "q", "ca_file": file}},
            "webhook": {"desk": {"url": "https://h/", "secret": "${s}", "ca_file": file}},
            "alerts": {"mail": {"ca_file": file}},
        }
    )
    assert {where for where, _ in findings(settings)} == {
        "store.url sslrootcert",
        "store.url sslcert",
        "model.big.ca_file",
        "model.big.client_cert",
        "queue.erp.ca_file",
        "webhook.desk.ca_file",
        "alerts.mail.ca_file",
    }
    assert {found.level for _, found in findings(settings)} == {"ok"}
