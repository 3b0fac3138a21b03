"""No secret stands in a settings file, and rows go nowhere in the clear."""

from pathlib import Path

import pytest

from insights import errors
from insights.site.files import load

SITE = """
[store]
url = "{store}"
[source.erp]
odbc = "{odbc}"
[stream.t]
source = "erp"
table = "t"
key = ["id"]
[model.far]
url = "{url}"
{model}
"""
GOOD = {
    "store": "postgresql://insights:${store_password}@db/insights",
    "odbc": "DRIVER={X};SERVER=a;UID=r;PWD=${erp_password}",
    "url": "https://gpu1:8000/v1",
    "model": 'api_key = "${far_key}"',
}


def made(folder: Path, **changed: str) -> Path:
    text = SITE
    for name, value in {**GOOD, **changed}.items():
        text = text.replace("{" + name + "}", value)
    path = folder / "insights.toml"
    path.write_text(text)
    return path


def test_credentials_by_name_are_taken(tmp_path: Path) -> None:
    load(made(tmp_path))
    load(made(tmp_path, odbc="DRIVER={X};UID=r;PWD={${erp_password}}"))
    load(made(tmp_path, store="postgresql://db/insights?password=${store_password}"))


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"odbc": "DRIVER={X};PWD=hunter2"}, "source.erp.odbc"),
        ({"odbc": "DRIVER={X};PASSWD={hunter2}"}, "source.erp.odbc"),
        ({"odbc": "DRIVER={X}; Password = pre${erp_password}"}, "source.erp.odbc"),
        ({"store": "postgresql://insights:hunter2@db/insights"}, "store.url"),
        ({"store": "postgresql://db/insights?user=i&password=hunter2"}, "store.url"),
        ({"model": 'api_key = "sk-hunter2"'}, "model.far.api_key"),
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(
    tmp_path: Path, changed: dict[str, str], where: str
) -> None:
    with pytest.raises(errors.SettingsError, match=where) as refused:
        load(made(tmp_path, **changed))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://gpu1:8000/v1",
        "http://10.0.0.7/v1",
        "ftp://gpu1/v1",
        "gpu1:8000",
        "https://me:hunter2@gpu1/v1",
        "https://gpu1/v1?key=hunter2",
    ],
)
def test_a_server_is_https_or_this_machine(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"model\.far") as refused:
        load(made(tmp_path, url=url))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://127.0.0.1:1", "http://[::1]:1"])
def test_this_machine_needs_no_encryption(tmp_path: Path, url: str) -> None:
    load(made(tmp_path, url=url))


def test_plain_text_has_to_be_written(tmp_path: Path) -> None:
    load(made(tmp_path, url="http://gpu1:8000/v1", model="insecure = true"))
    with pytest.raises(errors.SettingsError):
        load(made(tmp_path, url="x", model="").with_name("insights.toml"))


VECTORS = """
[embedding.server]
url = "{url}"
model = "small"
dimensions = 4
api_key = "{key}"
"""


def served(folder: Path, url: str = "https://gpu1/v1", key: str = "${k}", more: str = "") -> Path:
    path = made(folder)
    section = VECTORS.replace("{url}", url).replace("{key}", key)
    path.write_text(path.read_text() + section + more)
    return path


def test_a_server_of_embeddings_is_held_to_the_same_rules(tmp_path: Path) -> None:
    load(served(tmp_path))
    load(served(tmp_path, url="http://127.0.0.1:8080"))
    load(served(tmp_path, url="http://gpu1/v1", more="insecure = true"))
    for url in ("http://gpu1/v1", "https://u:hunter2@gpu1/v1", "ftp://gpu1"):
        with pytest.raises(errors.SettingsError, match="embedding") as refused:
            load(served(tmp_path, url=url))
        assert "hunter2" not in str(refused.value)
    with pytest.raises(errors.SettingsError, match=r"embedding\.server\.api_key") as refused:
        load(served(tmp_path, key="hunter2"))
    assert "hunter2" not in str(refused.value)


def test_a_sensitive_stream_is_embedded_by_no_server(tmp_path: Path) -> None:
    stream = '[stream.s]\nsource = "erp"\ntable = "s"\nkey = ["id"]\n'
    past = '[collection.past]\nstream = "s"\ntext = ["body"]\n'
    load(served(tmp_path, more=stream + past))
    with pytest.raises(errors.SettingsError, match="may not leave this machine"):
        load(served(tmp_path, more=f"{stream}sensitive = true\n{past}"))
    # A pipeline of such a stream asks no server either, whatever it searches.
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.toml").write_text(
        'stream = "s"\nmodel = "near"\nprompt = "p.md"\nschema = "p.json"\n'
        '[retrieval]\ncollections = ["docs"]\n'
    )
    near = f'[model.near]\npath = "m.gguf"\nsha256 = "{"0" * 64}"\n'
    docs = '[collection.docs]\nfolder = "docs"\n'
    load(served(tmp_path, more=stream + near + docs))
    with pytest.raises(errors.SettingsError, match="may not leave this machine"):
        load(served(tmp_path, more=f"{stream}sensitive = true\n{near}{docs}"))


def test_what_keeps_rows_here_is_looked_for_and_has_a_model_here(tmp_path: Path) -> None:
    stream = (
        '[stream.s]\nsource = "erp"\ntable = "s"\nkey = ["id"]\n'
        '[stream.s.redact]\ncolumns = ["Customer"]\nkinds = ["iban", "phone"]\n'
    )
    models = f'[model.near]\npath = "m.gguf"\nsha256 = "{"0" * 64}"\n'
    docs = '[collection.docs]\nfolder = "docs"\n'
    (tmp_path / "pipelines").mkdir()

    def pipeline(kept: str, model: str = "near", more: str = "") -> Path:
        (tmp_path / "pipelines" / "p.toml").write_text(
            f'stream = "s"\nmodel = "{model}"\nprompt = "p.md"\nschema = "p.json"\n'
            f"local_with = {kept}\n{more}"
        )
        path = made(tmp_path)
        path.write_text(path.read_text() + stream + models)
        return path

    load(pipeline('["iban", "customer"]', "far", 'fallback = "near"\nremote_from = 9000\n'))
    load(pipeline('["any"]'))
    for kept in ('["email"]', '["ibn"]', '["Customer"]'):  # not looked for; misspelt
        with pytest.raises(errors.SettingsError, match="is not looked for in the rows of 's'"):
            load(pipeline(kept))
    with pytest.raises(errors.SettingsError, match="may not leave this machine"):
        load(pipeline('["iban"]', "far"))
    with pytest.raises(errors.SettingsError, match="remote_from needs a fallback"):
        load(pipeline("[]", more="remote_from = 9000\n"))
    searching = '[retrieval]\ncollections = ["docs"]\n'
    far = VECTORS.replace("{url}", "https://gpu1/v1").replace("{key}", "${k}")
    path = pipeline('["iban"]', more=searching)
    path.write_text(path.read_text() + docs)
    load(path)
    path.write_text(path.read_text() + far)
    with pytest.raises(errors.SettingsError, match="a server embeds"):
        load(path)
