"""Rows that a model is less sure of than its error was certified for: they abstain.

How sure it has to be, labelled rows have said (`steps.certifying`); a model that does not say how
sure it is has to abstain always.
"""

from collections.abc import Mapping

import msgspec

from insights.model import Verdict


class Certain(msgspec.Struct, frozen=True):
    """The least confidence of fields, by property; none asks for nothing."""

    least: Mapping[str, float] = {}

    def judged(self, verdict: Verdict, confidence: Mapping[str, float]) -> Verdict:
        """Return the verdict, or `abstained` where a field of the output is not sure enough.

        Args:
            verdict: On an output.
            confidence: How sure the model was, by JSON pointer.
        """
        for name, least in self.least.items():
            if verdict.output is None or verdict.output.get(name) is None:
                continue
            sure = confidence.get(f"/{name}")
            if sure is None or sure < least:
                told = "no confidence" if sure is None else f"a confidence of {sure:.3f}"
                reason = f"{name} has {told}; its error is certified from {least:.3f} on"
                return Verdict(status="abstained", output=None, reason=reason)
        return verdict
