"""What the supervisor and the child say to each other that has a server embed and judge."""

from typing import Literal

from insights.inference.messages import RemoteInit
from insights.model import Value

# Whatever a server embeds, it embeds this beside it: the vector that says which model answers.
CHECK = "Die Prüfsumme of 3 red bearings (E-1042) is checked before they are mounted."


class VectorsInit(Value, frozen=True):
    """The child's first frame: one server of embeddings or relevances.

    `texts` are sent at a time. Vectors have `dimensions` numbers; a text is cut to `max_tokens` of
    `tokenizer`, a tokenizer.json. The prompts stand before queries and documents. `logits`: the
    server's relevances are any numbers, and become those between 0 and 1.
    """

    server: RemoteInit
    protocol: Literal["openai", "tei"] = "openai"
    dimensions: int = 0
    tokenizer: str = ""
    max_tokens: int = 256
    query_prompt: str = ""
    document_prompt: str = ""
    logits: bool = False
    texts: int = 31


class VectorsRequest(Value, frozen=True):
    """Texts to embed, and the seconds it may take."""

    texts: tuple[str, ...]
    kind: Literal["query", "document"]
    deadline_s: float


class VectorsReply(Value, frozen=True):
    """Unit vectors in pgvector's binary halfvec format; `checks` has one for each request made."""

    vectors: tuple[bytes, ...]
    checks: tuple[bytes, ...]


class RelevancesRequest(Value, frozen=True):
    """One query, the passages to judge, and the seconds it may take."""

    query: str
    texts: tuple[str, ...]
    deadline_s: float


class RelevancesReply(Value, frozen=True):
    """A relevance from 0 to 1 for each text."""

    values: tuple[float, ...]
