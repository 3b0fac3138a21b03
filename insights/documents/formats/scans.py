"""The door to RapidOCR: what stands on a page that is a picture, by PaddleOCR's models.

They are in its wheel (Apache-2.0); nothing is fetched. It is an extra: `legacy-insights[ocr]`.
"""

import warnings
from functools import lru_cache
from typing import Any

import PIL.ImageOps

from insights import errors
from insights.documents.formats import pdf, pictures
from insights.documents.formats.cleaning import clean, squeeze

_DPI = 200
_POINTS = 72
_LONGEST = 4_000  # pixels of a side: a drawing of a square metre is made smaller
_SURE = 0.5  # below this a line is a guess at a stain


def read(data: bytes, number: int) -> str:
    """Return what stands on one page of a PDF, line by line.

    Raises:
        errors.KnowledgeError: If the page cannot be shown.
    """
    document = pdf.opened(data)
    try:
        page = document[number]
        longest = max(page.get_size())
        scale = min(_DPI / _POINTS, _LONGEST / max(longest, 1.0))
        picture = page.render(scale=scale).to_numpy()
    except Exception as exc:
        raise errors.KnowledgeError("a page of it cannot be shown") from exc
    finally:
        document.close()
    return _written(picture)


def picture(data: bytes, number: int) -> str:
    """Return what stands on one page of a picture, turned as its camera says.

    Raises:
        errors.KnowledgeError: If it cannot be shown.
    """
    with pictures.opened(data) as image:
        try:
            image.seek(number)
            shown = PIL.ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, EOFError, ValueError) as exc:
            raise errors.KnowledgeError("a page of it cannot be shown") from exc
        shown.thumbnail((_LONGEST, _LONGEST))
        return _written(shown)


def _written(picture: Any) -> str:  # noqa: ANN401 - an array or Pillow's image
    """Return what is recognised on a picture, line by line."""
    found = _engine()(picture)
    if found.boxes is None:
        return ""
    parts = [
        (box, text)
        for box, text, sure in zip(found.boxes, found.txts, found.scores, strict=True)
        if sure >= _SURE
    ]
    return squeeze(clean("\n".join(_lines(parts))))


def _lines(parts: list[tuple[Any, str]]) -> list[str]:
    """Join what stands beside each other into lines, from top to bottom."""
    rows: list[tuple[float, float, list[tuple[float, str]]]] = []
    for box, text in sorted(parts, key=lambda part: float(part[0][:, 1].mean())):
        top, bottom = float(box[:, 1].min()), float(box[:, 1].max())
        middle, left = (top + bottom) / 2, float(box[:, 0].min())
        if rows and rows[-1][0] <= middle <= rows[-1][1]:
            rows[-1][2].append((left, text))
        else:
            rows.append((top, bottom, [(left, text)]))
    return [" ".join(text for _, text in sorted(row)) for _, _, row in rows]


@lru_cache(maxsize=1)
def _engine() -> Any:  # noqa: ANN401 - RapidOCR has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnxruntime  # noqa: PLC0415 - an extra, and both take seconds
        from rapidocr import RapidOCR  # noqa: PLC0415

    onnxruntime.disable_telemetry_events()  # this process has no network; nor should it try
    threads = "EngineConfig.onnxruntime.{}_op_num_threads".format
    return RapidOCR(
        params={"Global.log_level": "critical", threads("intra"): 1, threads("inter"): 1}
    )
