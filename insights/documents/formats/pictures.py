"""The door to Pillow: pictures whose letters are to be recognised, a TIFF with all its pages."""

import hashlib
import io

import PIL.Image

from insights import errors
from insights.documents.messages import Limits, Loaded, scan_mark

_MOST_PIXELS = 120_000_000  # an A0 sheet at 300 dpi


def opened(data: bytes) -> PIL.Image.Image:
    """Return a picture, of which nothing is decoded yet.

    Raises:
        errors.KnowledgeError: If it is none, or has too many pixels.
    """
    try:
        image = PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as exc:
        raise errors.KnowledgeError(
            "is no readable picture", fix="open it and save it again"
        ) from exc
    if image.width * image.height > _MOST_PIXELS:
        image.close()
        raise errors.KnowledgeError("has too many pixels", fix="save it smaller")
    return image


def load(data: bytes, limits: Limits) -> Loaded:
    """Return a mark for each page that is to be recognised."""
    with opened(data) as image:
        count = int(getattr(image, "n_frames", 1))
    scans = tuple(range(min(count, limits.ocr_pages)))
    left = count - len(scans)
    return Loaded(
        text="\n\n".join(map(scan_mark, scans)),
        is_markdown=False,
        doubts=(f"{left} of its {count} pages were not read",) if left else (),
        scans=scans,
        digest=hashlib.sha256(data).digest(),
    )
