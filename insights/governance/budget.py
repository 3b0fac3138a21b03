"""What a row costs: by its model's tariff once it is made, and at most before that."""

from collections.abc import Mapping, Sequence

from insights.model import Generation, Value
from insights.site.budgets import BudgetSettings, TariffSettings
from insights.site.models import ModelSettings

_REMOTE = "remote:"  # how the route of what a server made begins
_CONTEXT, _REMOTE_CONTEXT = 4_096, 8_192  # tokens a row may take unless the settings say
_PAD = 256  # llama.cpp rounds a context up to this


class Spent(Value, frozen=True):
    """What one row has cost: tokens, seconds of its model, money (None: no tariff), whose they are.

    What shares the generation of an identical row costs nothing more.
    """

    model: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    money: float | None = None


class Costs:
    """Tells what generations cost.

    Args:
        models: The site's models, by name.
        used: Of each pipeline version the models that it may go to.
        larger: Of a version the model that its rows go on to, where they do.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        used: Mapping[int, tuple[str, ...]],
        larger: Mapping[int, tuple[str, ...]] | None = None,
    ) -> None:
        self._models = models
        self._used = used
        self._larger = larger or {}

    def of(self, version_id: int, made: Generation | None) -> list[Spent]:
        """Return what was spent for a row of a version: one for each model, the last first."""
        if made is None:
            return [Spent()]
        if made.first is None:
            return [self._of(made, self._used.get(version_id, ()))]
        after = self._of(made, self._larger.get(version_id, ()))
        return [after, *self.of(version_id, made.first)]

    def _of(self, made: Generation, used: Sequence[str]) -> Spent:
        name = self._name(made.route, used)
        tariff = None if name is None else self._models[name].tariff
        if made.shared:
            return Spent(model=name, money=None if tariff is None else 0.0)
        output = made.sampled_tokens + made.forced_tokens
        seconds = made.compute_ms / 1e3
        return Spent(
            model=name,
            tokens=made.prompt_tokens + output,
            seconds=seconds,
            money=None if tariff is None else price(tariff, made.prompt_tokens, output, seconds),
        )

    def _name(self, route: str, used: Sequence[str]) -> str | None:
        if route.startswith(_REMOTE):
            name = route.removeprefix(_REMOTE).split(" ")[0]
            return name if name in self._models else None
        found = [name for name in used if name in self._models]
        local = [name for name in found if self._models[name].url is None]
        return next(iter(local or found), None)


def price(tariff: TariffSettings, prompt: float, output: float, seconds: float) -> float:
    """Return the money for tokens and seconds; a tariff is per million tokens and per kWh."""
    tokens = (prompt * tariff.prompt + output * tariff.output) / 1e6
    return tokens + seconds * tariff.watts / 3.6e6 * tariff.kwh


def most_tokens(model: ModelSettings) -> int:
    """Return how many tokens a row takes at most, prompt and output."""
    if model.url is not None:
        return model.context or _REMOTE_CONTEXT
    return -(-(model.context or _CONTEXT) // _PAD) * _PAD


def reserve(
    budget: BudgetSettings,
    models: Mapping[str, ModelSettings],
    *,
    max_tokens: int,
    deadline_s: float,
) -> float:
    """Return what a row of a pipeline takes of a budget at most, until it is written.

    Args:
        budget: Whose unit it is in.
        models: Those that may make it.
        max_tokens: Tokens its output has at most.
        deadline_s: Seconds it may take.
    """
    if budget.unit == "rows":
        return 1.0
    if budget.reserve is not None:
        return budget.reserve
    if budget.unit == "tokens":
        return float(max(map(most_tokens, models.values()), default=0))
    if budget.unit == "seconds":
        return deadline_s if models else 0.0
    return max((_most_money(one, max_tokens, deadline_s) for one in models.values()), default=0.0)


def _most_money(model: ModelSettings, max_tokens: int, deadline_s: float) -> float:
    if model.tariff is None:
        return 0.0
    whole = most_tokens(model)
    output = min(max_tokens, whole)
    dear = max(model.tariff.prompt, model.tariff.output)
    # What is no output is prompt: at the dearer of both where the output may be shorter.
    said = price(model.tariff, whole - output, output, deadline_s)
    return said + max(0.0, dear - model.tariff.output) * output / 1e6
