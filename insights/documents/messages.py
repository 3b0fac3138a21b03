"""What the supervisor and the loader say to each other."""

from insights.model import Redaction, Value

_MIB = 1024 * 1024


class Limits(Value, frozen=True):
    """What one document may cost. Whatever needs more is reported by name and left out.

    A manual of 3,000 pages and 100 MB of pictures stays far below each of them.

    Args:
        file_bytes: Size of the file.
        expanded_bytes: What a packed file (DOCX, XLSX, …) may unpack to, and all attachments of a
            mail together.
        text_chars: Characters of text; the cutting of more is felt by the supervisor.
        memory_bytes: Address space of the loader (`RLIMIT_AS`).
        cpu_s: Processor time of one document (`RLIMIT_CPU`).
        wall_s: Seconds until the loader is taken to hang.
        ocr_pages: Pages without text of which letters are recognised, each at these costs; 0: none.
    """

    file_bytes: int = 128 * _MIB
    expanded_bytes: int = 512 * _MIB
    text_chars: int = 8_000_000
    memory_bytes: int = 1536 * _MIB
    cpu_s: int = 60
    wall_s: float = 180.0
    ocr_pages: int = 0


_OCR_BYTES = 4096 * _MIB  # the models, and a page's picture in several sizes: 1.6 GiB seen


def limits(ocr_pages: int) -> Limits:
    """Return the limits of a loader that recognises letters on so many pages of a document."""
    return Limits(ocr_pages=ocr_pages, memory_bytes=_OCR_BYTES) if ocr_pages else Limits()


class LoaderInit(Value, frozen=True):
    """The folder whose files are read, what each may cost, and what leaves the loader of them.

    Without a folder bytes are sent. Of what files say of themselves only the `properties` named
    here do; titles and texts are redacted by `redaction` (None: as they are, for tools and tests).
    """

    root: str | None
    limits: Limits
    redaction: Redaction | None = None
    properties: tuple[str, ...] = ()


class LoadRequest(Value, frozen=True):
    """One file, by its path below the folder; or a file's name and its bytes.

    `private` are columns of the row that the bytes are out of, whose values are replaced in its
    text; `taken` says how many placeholders of each kind the row's own texts have.
    """

    uri: str
    data: bytes | None = None
    private: dict[str, str | None] = {}  # noqa: RUF012 - msgspec copies it
    taken: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it


class PageRequest(Value, frozen=True):
    """One page of a file that holds pictures of text; see `LoadRequest`.

    `page` counts from 0, `digest` is the file's as it was loaded.
    """

    file: LoadRequest
    page: int
    digest: bytes


class Loaded(Value, frozen=True):
    """A file's content: Markdown with its headings, or plain text.

    Formats leave `title` empty where the file names none; the loader then calls the document like
    its file. `properties` are what the file says of itself (front matter). `doubts` say in words
    what may have been read wrongly: a guessed encoding, pages without text. `redactions` counts the
    placeholders in title and text by kind. `scans` are pages, from 0 on, whose letters can be
    recognised: `scan_mark` stands for each in the text. `digest` is the SHA-256 of a file with any.
    """

    text: str
    title: str = ""
    is_markdown: bool = True
    properties: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    doubts: tuple[str, ...] = ()
    redactions: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it
    scans: tuple[int, ...] = ()
    digest: bytes = b""


class LoadReply(Value, frozen=True):
    """The content, or why there is none (`what`, `fix`).

    `spent`: the process is no longer fit for another document: it ran out of memory, or holds too
    much of it.
    """

    loaded: Loaded | None = None
    what: str = ""
    fix: str = ""
    spent: bool = False


def scan_mark(page: int) -> str:
    """Return what stands in a text for a page that is a picture: letters, for numbers run on."""
    return "\ue000" + "".join(chr(ord("a") + int(digit)) for digit in str(page)) + "\ue001"
