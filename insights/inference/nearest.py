"""Where no model is needed: the nearest labelled row answers.

A generator like any other, so that a row's path is the same: what people decided about the nearest
row goes through validation as if a model had written it.
"""

from concurrent.futures import Future

import msgspec

from insights.model import GenerateRequest, Generation, ModelInfo

NAME = "nearest"


class NearestLabel:
    """Implements `ports.Generator`."""

    def info(self) -> ModelInfo:
        """Return that this is no model."""
        return ModelInfo(
            name=NAME,
            sha256="",
            chat_template_sha256="",
            context=0,
            parallel=1,
            device="no model",
            description="the nearest labelled row",
        )

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Answer at once with what people decided about the nearest row."""
        done: Future[Generation] = Future()
        text = msgspec.json.encode(request.decided).decode()
        sure = {f"/{name}": share for name, share in request.agreement.items()}
        done.set_result(
            Generation(text=text, finish="stop", model=NAME, route=NAME, confidence=sure)
        )
        return done

    def close(self) -> None:
        """Do nothing: there is nothing to end."""
