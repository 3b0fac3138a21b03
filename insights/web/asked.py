"""What a client asks for beside its rows, in headers."""

import re

import msgspec

from insights.site.webhooks import origin
from insights.web.problems import ProblemError

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)
_IDEMPOTENCY = re.compile(r"[\x21-\x7e]{1,255}")
_ADDRESS = re.compile(r"https?://[^\s@#\\\x00-\x20\x7f-\U0010ffff]{1,2000}")
_DEADLINE = re.compile(r"\d{1,7}(?:\.\d{1,3})?")


class Asked(msgspec.Struct, frozen=True):
    """The headers `Prefer`, `Idempotency-Key`, `Insights-Webhook` and `Insights-Deadline`."""

    prefer: str = ""
    idempotency_key: str | None = None
    webhook: str | None = None
    deadline: str | None = None

    def check(self) -> None:
        """Refuse what says nothing.

        Raises:
            ProblemError: Naming the header.
        """
        if self.idempotency_key is not None and not _IDEMPOTENCY.fullmatch(self.idempotency_key):
            raise ProblemError(400, "an Idempotency-Key has 1 to 255 visible ASCII characters")
        if self.deadline is not None and not _DEADLINE.fullmatch(self.deadline):
            raise ProblemError(400, "Insights-Deadline is no number of seconds, such as 30 or 2.5")
        if self.address and self.origin is None:
            raise ProblemError(400, "Insights-Webhook is no http or https address")

    @property
    def wait_s(self) -> float | None:
        """How long it wants to wait for outcomes (RFC 7240), None for not at all."""
        found = _WAIT.search(self.prefer)
        return None if found is None else float(found[1])

    @property
    def deadline_s(self) -> float | None:
        """After how long its rows are not begun any more, None for never."""
        return None if self.deadline is None else float(self.deadline)

    @property
    def address(self) -> str:
        """The address that is to be told outcomes; "" for that of the webhook itself."""
        return self.webhook if self.webhook is not None and "://" in self.webhook else ""

    @property
    def origin(self) -> tuple[str, str, int] | None:
        """Scheme, host and port of the address; None if it is none that is taken."""
        if not _ADDRESS.fullmatch(self.address):
            return None
        try:
            return origin(self.address)
        except ValueError:
            return None
