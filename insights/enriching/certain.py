"""Rows that a model is less sure of than its error was certified for: they abstain.

How sure it has to be, labelled rows have said (`steps.certifying`); a model that does not say how
sure it is has to abstain always. Only of a larger model, which has no say in which rows it is
asked about, every answer may have been certified together (`steps.cascading.ALWAYS`).
"""

from collections.abc import Mapping

import msgspec

from insights.model import Json, Verdict
from insights.steps.cascading import ALWAYS


class Certain(msgspec.Struct, frozen=True):
    """The least confidence of fields, by property; none asks for nothing."""

    least: Mapping[str, float] = {}

    def unsure(self, output: Json | None, confidence: Mapping[str, float]) -> str | None:
        """Return why an output is not sure enough; None where it is, or is none.

        Args:
            output: What was written.
            confidence: How sure the model was, by JSON pointer.
        """
        for name, least in self.least.items():
            if output is None or output.get(name) is None:
                continue
            sure = confidence.get(f"/{name}")
            if least > ALWAYS and (sure is None or sure < least):
                told = "no confidence" if sure is None else f"a confidence of {sure:.3f}"
                return f"{name} has {told}; its error is certified from {least:.3f} on"
        return None

    def judged(self, verdict: Verdict, confidence: Mapping[str, float]) -> Verdict:
        """Return the verdict, or `abstained` where a field of the output is not sure enough.

        Args:
            verdict: On an output.
            confidence: How sure the model was, by JSON pointer.
        """
        reason = self.unsure(verdict.output, confidence)
        if reason is None:
            return verdict
        return Verdict(status="abstained", output=None, reason=reason)
