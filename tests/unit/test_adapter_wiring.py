"""Which of a pipeline's models works under its adapter, and what the generator is opened with."""

from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from insights.inference.adapted import AdaptedGenerator
from insights.inference.client import LocalGenerator
from insights.inference.router import RoutedGenerator
from insights.model import AdaptedRequest, Adapter, GenerateRequest, Generation, ModelInfo
from insights.ports import Generator
from insights.site import files
from insights.site.settings import Settings
from insights.wiring.adapters import open_generator, routed

SETTINGS = f"""
[source.legacy]
odbc = "Driver=SQLite3;Database=x"
[stream.ticket]
source = "legacy"
table = "ticket"
key = ["id"]
cursor = "changed"
[model.local]
path = "model.gguf"
sha256 = "{"0" * 64}"
[model.other]
path = "model.gguf"
sha256 = "{"0" * 64}"
[model.server]
url = "https://gpu1:8000/v1"
model = "m"
"""
PIPELINE = """
stream = "ticket"
model = "local"
prompt = "../triage.j2"
schema = "../triage.json"
"""
ADAPTER = '[adapter]\npath = "../{0}.gguf"\nsha256 = "{1}"\nscale = 0.5\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    pipelines = {
        "plain": PIPELINE,
        "kind": PIPELINE + ADAPTER.format("kind", "1" * 64),
        "tone": PIPELINE + 'fallback = "server"\n' + ADAPTER.format("tone", "2" * 64),
        "elsewhere": PIPELINE.replace('"local"', '"other"') + ADAPTER.format("kind", "1" * 64),
    }
    (tmp_path / "pipelines").mkdir()
    for name, text in pipelines.items():
        (tmp_path / "pipelines" / f"{name}.toml").write_text(text)
    (tmp_path / "insights.toml").write_text(SETTINGS)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    return files.load(tmp_path / "insights.toml")


def test_a_model_is_opened_with_the_adapters_of_its_own_pipelines(settings: Settings) -> None:
    made = open_generator(settings, "local")
    assert isinstance(made, LocalGenerator)
    with closing(made):
        given = {one.sha256: one for one in made._init.adapters}
    assert given.keys() == {"1" * 64, "2" * 64}
    one = given["1" * 64]
    assert Path(one.path) == settings.config_dir / "kind.gguf"
    assert one.where.endswith(f"pipelines/kind.toml: adapter.path = {one.path}")


def test_only_the_pipelines_own_model_works_under_its_adapter(settings: Settings) -> None:
    opened: dict[str, Generator] = {}

    def open_(name: str) -> Generator:
        return opened.setdefault(name, open_generator(settings, name))

    made = {name: routed(settings, one, open_) for name, one in settings.pipeline.items()}
    assert made["plain"] is opened["local"]
    assert isinstance(made["kind"], AdaptedGenerator)
    assert isinstance(made["tone"], RoutedGenerator)
    places = made["tone"]._places
    assert isinstance(places["local"], AdaptedGenerator)
    assert places["remote"] is opened["server"]
    assert settings.pipeline["kind"].taught("server") == ""
    for one in opened.values():
        one.close()  # type: ignore[attr-defined]


class Asked:
    """A model that keeps what it is asked."""

    proved = True

    def __init__(self) -> None:
        self.asked: list[GenerateRequest] = []

    def info(self) -> ModelInfo:
        return ModelInfo(
            name="m", sha256="", chat_template_sha256="", context=1, parallel=1, device="cpu"
        )

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        self.asked.append(request)
        return Future()

    def tokens(self) -> int | None:
        return 7


def test_a_request_goes_on_as_it_is_and_under_the_adapter() -> None:
    model, adapter = Asked(), Adapter(sha256="1" * 64, scale=0.5)
    under = AdaptedGenerator(model, adapter)
    request = GenerateRequest(messages=(), output_schema={"a": 1}, cut=("row.x",), weight=4)
    under.submit(request)
    (asked,) = model.asked
    assert isinstance(asked, AdaptedRequest)
    assert asked.adapter == adapter
    for name in request.__struct_fields__:
        assert getattr(asked, name) == getattr(request, name)
    assert under.info().name == "m + adapter 111111111111"
    assert (under.tokens(), under.proved) == (7, True)
