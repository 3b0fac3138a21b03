"""Does a text try to give orders to whoever reads it? Rules, in time linear in its length.

Looked for are the frames that published attacks use: instructions set aside, words to a model,
marks of a conversation, an authority's directive, the answer written into the text, a label of the
pipeline's own schema demanded or repeated, instructions asked for, letters that nobody sees. A rule
says what it saw in words that stand on the insight. It reads redacted text only, and it is a
detector: what is reworded well enough passes it (docs/security.md has the figures).
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

import msgspec

from insights.governance.redact.folding import folded
from insights.model import Json, Message
from insights.steps.schema import walk

_HIDDEN = re.compile("[\U000e0020-\U000e007f]{3}")  # tag characters: read by models, drawn by none
_CONTROL = re.compile(
    r"<[|\uff5c][^<>|\uff5c\n]{1,60}[|\uff5c]>|\[/?inst\]|<</?sys>>|</?s>"
    r"|</?(?:start|end)_of_turn>|</?(?:system|assistant|instructions?)>"
    r"|^[ \t]{0,8}#{2,6} ?(?:system|instructions?|assistant|response|new task)\b"
    r"|^[ \t>*]{0,8}(?:assistant|ai assistant|system prompt|system instructions?)[ *]{0,3}:",
    re.IGNORECASE | re.MULTILINE,
)
_SPEAKERS = ("assistant", "system")  # one of them stands before a colon that is such a mark
_SHORT = 1_200  # characters of a text that a rule is tried on as a whole
_REMEMBERED = 256  # passages: many rows are shown the same
_SPACED = re.compile(r"[ \t]+")


def _plain(text: str) -> str:
    """Return a text in lower case and without accents: as the rules are written."""
    low = text.lower()
    if not low.isascii():
        low = "".join(c for c in unicodedata.normalize("NFD", low) if not unicodedata.combining(c))
    return _SPACED.sub(" ", low) if "  " in low or "\t" in low else low


def _rule(pattern: str) -> re.Pattern[str]:
    """Compile a rule; as patterns bear no accents, neither does a text that they are tried on."""
    return re.compile(_plain(pattern), re.MULTILINE)


_STEM = 4  # letters of a word by which rules are chosen; a shorter word is its own stem
_WORDS = re.compile(r"[^\W_]+")
_WORDS_APART = re.compile(r"([^\W_]+)")


class _Rule(msgspec.Struct, frozen=True):
    """A pattern, tried where each group of `needs` shares a stem with the text; and its name.

    A match reaches so many characters to both sides of each of those words, but for the length of a
    label.
    """

    pattern: re.Pattern[str]
    says: str
    needs: tuple[frozenset[str], ...] = ()
    reach: int = 400


def _stems(words: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in _WORDS.findall(_plain(words)))


_STARTS = r"(?:^|[.!?:;\n\]\"'(-] ?)(?:please,? |now,? |then,? |and |also,? |kindly ){0,2}"
_ASIDE = _rule(
    r"\b(?:ignor(?:e|ing|iere?n?|ez|er|a|are|ar|eer)|disregard|forget|overrid(?:e|es)|bypass"
    r"|dismiss|discard|do not follow|don'?t follow|stop following|vergiss|vergessen sie|missachten?"
    r"|oublie[rz]?|olvid[ae]r?|omit[aei]r?|dimentica(?:re|te)?|trascura|esque[cç]a|desconsidere"
    r"|negeer|vergeet|zignoruj|zapomnij|игнорируй(?:те)?|забудь(?:те)?)\b[^.!?\n]{0,60}?"
    r"\b(?:instruc|prompts?\b|rules?\b|directi(?:ve|on)|guidelines?\b|everything (?:above|before)"
    r"|anweisung|vorgabe|regel|consigne|regle|reglas|indicacion|istruzion|regole|regras|instru[cç]"
    r"|instrukcj|polece[nń]|инструкци|указани|правил)"
    r"|(?:忽略|无视|無視|忘记|不要理会)[^。\n]{0,20}(?:指令|指示|说明|规则|提示|要求)"
    r"|(?:指示|命令|ルール)[^。\n]{0,10}(?:無視|忘れ)"
)
_MODEL = r"(?:ai|a\.i\.|llm|language model|assistant|bot|classifier|chat ?bot|chat ?gpt|gpt|model)"
_SPOKEN = _rule(
    rf"\b(?:dear|hey|attention|note (?:to|for)|message (?:to|for)|instructions? (?:to|for)"
    rf"|reminder (?:to|for)),? (?:the |any |all |an? )?(?:triage |reading )?{_MODEL}s?\b"
    r"|\bas an? (?:ai|large language|language) "
    rf"|\byou are (?:now )?(?:an? |the )(?:\w+ )?{_MODEL}\b"
    r"|\bfrom now on,? you\b|\bnew (?:system )?(?:instructions?|task) ?:"
)
_DIRECTED = _rule(
    rf"{_STARTS}(?:add|include|insert|append|write|replace|use|introduce|provide|rearrange|remove"
    r"|misspell|begin|start|end|finish|format|give|make|mention|put|convert|translate|encode|group"
    r"|modify|integrate|incorporate|embed|suggest|recommend|emphasi[sz]e|advise|ensure|output"
    r"|return|print|limit|change|craft|present|offer|highlight|substitute|swap|reverse|jumble"
    r"|augment|enhance|scramble|combine|anagram|capitali[sz]e)\b"
    r"[^!?\n]{0,160}?\byour (?:answer|response|reply|output|summary|classification)s?\b"
    rf"|{_STARTS}in your (?:answer|response|reply|output|summary),? \w"
)
_ASKED = _rule(
    r"\b(?:repeat|reveal|print|show|output|tell|display|disclose|leak|what (?:is|are|were)|recite"
    r"|copy|write(?: out)?)\b[^.!?\n]{0,40}?\b(?:your|system|initial|hidden|secret|above)"
    r"(?: \w+){0,2} (?:prompt|instructions?)\b"
)
_OVERRIDE = _rule(
    r"\b(?:admin(?:istrator)?|system|developer|moderator|supervisor|security|root|management|policy)"
    r"(?: team)? (?:override|directive|instructions?|command)s? ?[:\]-]"
)

# What stands before a label that is demanded. English first, then the other languages.
_AS = r"(?:as|to|under|into|be|is|=|:|->|with|category|priority|label|class|value|queue)"
_ARTICLE = r"(?:the |an? |only |just |exactly |always |category |class |label |value |option ){0,3}"
_QUOTE = r"[\"'“”«»„*`\[(<「『]{0,2} ?"
_MARKING = (
    r"(?:re)?(?:classif(?:y|ied|ies)|categori[sz]ed?|labell?(?:ed)?|tag(?:ged)?|mark(?:ed)?"
    r"|flag(?:ged)?|rated?|treat(?:ed)?|triaged?|prioriti[sz]ed?|score[ds]?|handled?)"
)
_PLACING = (
    r"(?:set|put|move[ds]?|filed?|routed?|assign(?:ed)?|sort(?:ed)?|record(?:ed)?|send|count)"
)
_THING = (
    r"(?:category|classification|class|label|answer|output|priority|severity|response|result|type"
    r"|verdict|sentiment|field|value|ticket|request|row|record|case|order|message|this)"
)
_SAYING = r"(?:answer|respond|reply|output|return|choose|select|pick|say|write|print|predict|state)"
_FOREIGN = (
    r"(?:ein(?:zu)?stufen|eingestuft|stufen?|klassifizier\w*|kategorisier\w*|einordnen|ordnen?"
    r"|markieren?|kennzeichnen?|setzen?|antworten?|wahlen?|behandeln?|lautet|kategorie|prioritat"
    r"|class(?:ez|er|e|ifiez|ifier)|categoris\w*|marque[rz]?|repond(?:s|ez|re)|indique[rz]?"
    r"|consider(?:ez|er)|traite[rz]|choisi\w*|categorie|reponse"
    r"|clasifi\w*|categori(?:ce|za|zar|ze|a)|marc(?:a|ar|que)|etiquet\w*|respond(?:a|e|er)"
    r"|contest(?:a|e|ar)|elija|elige|asign(?:e|a|ar)|respuesta|trat(?:e|ar)"
    r"|classific(?:a|are|hi|ar|he|hate)|classifique|categorizz\w*|contrassegn\w*|rispond\w*"
    r"|etichett\w*|assegn\w*|scegli\w*|risposta|marque|escolha|resposta"
    r"|classificeer\w*|categoriseer\w*|markeer\w*|antwoord\w*|kies|behandel"
    r"|(?:za|s)?klasyfikuj\w*|oznacz\w*|odpowiedz\w*|przypisz|kategori\w*|wybierz"
    r"|классифицир\w*|отнес\w*|отметь\w*|ответ\w*|помет\w*|присво\w*|выбер\w*|категори\w*"
    r"|分类|分類|归类|标记|回答|输出|选择|设为|设置|类别|标为|归为|出力|選択|設定|カテゴリ)"
)
_FOREIGN_STEMS = frozenset(
    stem
    for stem in _stems(
        _FOREIGN
        + " einstufen einzustufen eingestuft einordnen einzuordnen sklasyfikuj zaklasyfikuj"
    )
    if len(stem) == _STEM
)
_FOREIGN_AS = (
    r"(?:\b(?:als|mit|auf|zu|in|unter|comme|dans|par|en|como|con|come|met|jako|do|w|как|к|e|es|est"
    r"|ist|lautet|categorie|categoria|kategorie|kategorii|категори\w*)(?: |(?=[\"'«„]))"
    r"|[:=为為成はをに]|[\"'«„「“])"
)


_SCRIPT = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")  # written without blanks: no stem to choose by
_ANSWERS = _stems("answer response reply output summary classification")
_FIXED = (
    _Rule(_ASIDE, "sets instructions aside", (_stems(
        "ignore ignoring disregard forget override bypass dismiss discard follow following "
        "ignorieren vergiss vergessen missachten oubliez olvide omite dimentica trascura esqueca "
        "desconsidere negeer vergeet zignoruj zapomnij игнорируй забудь"),), 160),
    _Rule(_SPOKEN, "speaks to a model", (
        _stems("dear hey attention note message instructions reminder as you from new"),
        _stems("ai a llm language large assistant bot classifier chat gpt model now task "
               "instructions")), 120),
    _Rule(_DIRECTED, "speaks to a model", (_stems("your"), _ANSWERS), 300),
    _Rule(_ASKED, "asks for instructions", (_stems("prompt instructions"),), 160),
    _Rule(_OVERRIDE, "poses as an authority",
          (_stems("override directive instruction command"),), 80),
)  # fmt: skip


class Orders:
    """The rules, with the labels of one pipeline's schema among them.

    Args:
        schema: The output schema in normal form; its enumerations and booleans are closed fields.
    """

    def __init__(self, schema: Json) -> None:
        labels, fields = _closed(schema)
        self._longest = max((len(name) for name in (*labels, *fields)), default=0)
        self._rules = (*_FIXED, *_about(labels, fields))
        self._telling = frozenset(
            stem for rule in self._rules for need in rule.needs for stem in need
        )
        self._beside = lru_cache(_REMEMBERED)(partial(self.found, rules=_FIXED))

    def found(self, text: str, *, rules: Sequence[_Rule] | None = None) -> tuple[str, ...]:
        """Return what of a text looks like orders, in words; nothing of the text is in them."""
        said = []
        if not text.isascii() and _HIDDEN.search(text):
            said.append("hides text")
        if _marked(text):
            said.append("has marks of a conversation")
        plain = _plain(folded(text))
        wanted = self._rules if rules is None else rules
        if not plain.isascii() and _SCRIPT.search(plain) is not None:
            look = partial(_anywhere, plain)
        elif len(plain) > _SHORT:
            look = partial(_beside, plain, self._places(plain), self._longest)
        else:
            stems = frozenset({word[:_STEM] for word in _WORDS.findall(plain)})
            look = partial(_once, plain, stems)
        for rule in wanted:
            if rule.says not in said and look(rule):
                said.append(rule.says)
        return tuple(said)

    def _places(self, text: str) -> dict[str, list[int]]:
        """Return where the words that rules need stand in a text, by their stems."""
        pieces = _WORDS_APART.split(text)  # words at odd places
        found: dict[str, list[int]] = {}
        for word, end in zip(pieces[1::2], list(accumulate(map(len, pieces)))[1::2], strict=True):
            if (stem := word[:_STEM]) in self._telling:
                found.setdefault(stem, []).append(end - len(word))
        return found

    def shown(self, messages: Iterable[Message]) -> tuple[str, ...]:
        """Return what looks like orders in the data that a prompt shows, with where it stands.

        Passages and examples name labels by right: of them only what no schema decides is told.
        """
        data = dict.fromkeys(
            (segment.source, segment.text)
            for message in messages
            for segment in message.segments
            if not segment.is_template
        )
        return tuple(
            f"{source or 'data'} {', '.join(said)}"
            for source, text in data
            if (said := self.found(text) if source.startswith("row.") else self._beside(text))
        )


def _marked(text: str) -> bool:
    """Tell whether a text has marks of a conversation; most have nothing that one is made of."""
    if text.isascii() and not ("<" in text or "[" in text or "#" in text):
        low = text.lower() if ":" in text else ""
        if not any(speaker in low for speaker in _SPEAKERS):
            return False
    return _CONTROL.search(text) is not None


def _anywhere(text: str, rule: _Rule) -> bool:
    """Try a rule on all of a text: one in a script without blanks has no words to choose by."""
    return rule.pattern.search(text) is not None


def _once(text: str, stems: frozenset[str], rule: _Rule) -> bool:
    """Try a rule on all of a text that has the words it needs."""
    return not any(map(stems.isdisjoint, rule.needs)) and _anywhere(text, rule)


def _beside(text: str, places: Mapping[str, list[int]], longest: int, rule: _Rule) -> bool:
    """Try a rule around the rarest words that it needs, and where its other words stand as well.

    However long a text is, a rule looks at each part of it once at most.
    """
    needed = [[at for stem in need if stem in places for at in places[stem]] for need in rule.needs]
    if not needed or not all(needed):
        return not needed and _anywhere(text, rule)
    rarest, *others = sorted(needed, key=len)
    beside = [sorted(other) for other in others]
    for start, end in _windows(sorted(rarest), rule.reach + longest):
        near = all(bisect_left(other, start) < bisect_left(other, end) for other in beside)
        if near and rule.pattern.search(text, max(0, start), end):
            return True
    return False


def _windows(places: Sequence[int], reach: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches around places, those that overlap as one."""
    start, end = places[0] - reach, places[0] + reach
    for at in places[1:]:
        if at - reach > end:
            yield start, end
            start = at - reach
        end = at + reach
    yield start, end


def _closed(schema: Json) -> tuple[list[str], list[str]]:
    """Return the labels and the names of a schema's closed fields."""
    labels: dict[str, None] = {}
    fields: dict[str, None] = {}
    for pointer, part in walk(schema):
        values: list[Any] = [*part.get("enum", ()), *([part["const"]] if "const" in part else ())]
        words = [one for one in values if isinstance(one, str) and len(one.strip()) > 1]
        labels.update(dict.fromkeys(words))
        if words or part.get("type") == "boolean":
            fields[pointer.rsplit("/", 1)[-1]] = None
    return list(labels), list(fields)


def _worded(names: Sequence[str]) -> str:
    """Return a pattern of names as people write them: `card_arrival` is `card arrival` too."""
    longest = sorted({_plain(folded(name)) for name in names}, key=len, reverse=True)
    words = (r"[ _-]".join(map(re.escape, re.split(r"[ _-]+", name))) for name in longest)
    return rf"(?<![0-9a-z_])(?:{'|'.join(words)})(?![0-9a-z_])"


def _about(labels: Sequence[str], fields: Sequence[str]) -> Iterator[_Rule]:
    """Yield the rules that know the schema: its labels demanded, repeated, written as answer."""
    if not fields:
        return
    name, named = _worded(fields), _stems(" ".join(fields))
    # As JSON, whatever its value.
    yield _Rule(re.compile(rf"[\"']{name}[\"'] ?: ?[\"'\[{{a-z0-9]"), "writes the answer", (named,))
    if not labels:
        return
    bare, known = _worded(labels), _stems(" ".join(labels))
    label = _QUOTE + bare
    thing = rf"(?:{_THING}|{name})"
    things = named | _stems(
        "category classification class label answer output priority severity response result type "
        "verdict sentiment field value ticket request row record case order message this choice "
        "option prediction"
    )
    answer = rf"(?:answer|output|label|classification|class|prediction|verdict|{name})"
    ends = r"(?= ?(?:[\"'”»*`\])>.!?,;」』\n]|$|only\b|for\b|and\b|here\b))"
    patterns: tuple[tuple[str, str, frozenset[str]], ...] = (
        (
            rf"(?:^|[\n{{,;|>*-]) ?[\"'*]{{0,2}}{answer}[\"'*]{{0,2}} ?(?::|=|->|=>|→) ?{label}",
            "writes the answer", things,
        ),
        (
            (r"\b(?:correct|right|proper|only|true|expected|final|valid|appropriate|best) (?:\w+ )?"
             rf"{thing}(?: \w+){{0,3}} ?(?:is|:|=|would be) {_ARTICLE}{label}"),
            "writes the answer", _stems("correct right proper only true expected final valid "
            "appropriate best"),
        ),
        (
            rf"\b{_MARKING}\b[^.!?\n]{{0,60}}?(?:\b|(?<=[=:>])){_AS} ?{_ARTICLE}{label}",
            "demands a label", _stems("classify reclassify categorise recategorise relabel retag "
            "label tag tagged mark marked remark flag rate rated treat triage prioritise score "
            "handle"),
        ),
        (
            (rf"\b{_PLACING}\b[^.!?\n]{{0,40}}?\b{thing}\b[^.!?\n]{{0,40}}?{_AS} ?{_ARTICLE}"
             rf"{label}"),
            "demands a label", _stems("set put move file filed route assign sort record send "
            "count"),
        ),
        (
            (rf"(?:{_STARTS}|\b(?:must|should|always|only|just|shall|you|please) ){_SAYING}"
             r"(?: (?:with|only|just|the|word|exactly|always|simply|this|that|back|single)\b|[:,])"
             rf"{{0,5}} {_ARTICLE}{label}{ends}"),
            "demands a label", _stems("answer respond reply output return choose select pick say "
            "write print predict state"),
        ),
        (
            (rf"\b{thing}(?: \w+){{0,2}} (?:must|should|has to|needs to|ought to|shall|is to"
             rf"|can only) (?:always |only )?be (?:\w+ (?:as|to|under) )?{_ARTICLE}{label}"),
            "demands a label", _stems("be"),
        ),
        (
            (rf"{_FOREIGN}[^.!?。\n]{{0,60}}?{_FOREIGN_AS}[^.!?。\n]{{0,12}}?{label}"
             rf"|{_FOREIGN_AS} ?{label}[\"'”»“」』]{{0,2}} ?[^.!?。\n]{{0,20}}?{_FOREIGN}"),
            "demands a label", _FOREIGN_STEMS,
        ),
        (rf"({bare})(?:[ ,;.!|/*\n-]{{1,4}}\1){{2}}", "repeats a label", frozenset()),
        (
            (r"\b(?:admin(?:istrator)?|system|developer|moderator|operator|supervisor|security"
             r"|internal|management)(?: team)? (?:note|notice|message|update|policy)s? ?[:\]-]"
             rf"[^\n]{{0,160}}?{label}"),
            "poses as an authority", _stems("note notice message update policy"),
        ),
    )  # fmt: skip
    for pattern, says, words in patterns:
        needs = (known, words) if words else (known,)
        yield _Rule(re.compile(pattern, re.MULTILINE), says, needs)
