"""Synthetic helpdesk rows: tickets, articles, and what a perfect model would answer."""

import json
import random
import re
from dataclasses import dataclass, replace
from typing import Literal

from demo.model.grammar import SENTIMENTS, Issue, expand, issues, names, phrases

ABSTAIN = "no passage answers"
# How often what occurs; chosen so that tickets look like a helpdesk's, not measured.
_GREETING, _CONTEXT, _DETAIL, _CUE, _SECOND, _CLOSING, _SIGNATURE = (
    0.6,
    0.4,
    0.5,
    0.45,
    0.12,
    0.5,
    0.5,
)
_TYPO, _RANDOM_STEP, _INVENTED, _ANSWERED = 0.2, 0.35, 0.2, 0.8
_QUESTION = re.compile(
    r"^(Can|Could|How|Where|Who|Is|Why|What|Which|Please could|Kindly|When will)\b"
)


@dataclass(frozen=True)
class Text:
    """A ticket as a person wrote it, and what is true about it."""

    subject: str
    body: str
    problem: str
    category: str
    priority: str
    sentiment: str
    issue: str = ""
    cue: str = ""  # the words that say how urgent it is, and those that say the mood
    mood: str = ""


@dataclass(frozen=True)
class Article:
    """A knowledge article: its Markdown, and the sentence in it that answers."""

    title: str
    text: str
    answer: str
    issue: str = ""


@dataclass(frozen=True)
class Made:
    """A row to learn from: a ticket, the passages beside it, and which of them answers (from 1)."""

    ticket: Text
    passages: tuple[Article, ...]
    cited: int | None

    def output(self) -> str:
        """Return the answer as the pipeline's schema has it, compact."""
        if self.cited is None:
            answer: dict[str, object] = {"abstain": ABSTAIN}
        else:
            answer = {
                "category": self.ticket.category,
                "priority": self.ticket.priority,
                "sentiment": self.ticket.sentiment,
                "cited_passages": [self.cited],
                "next_step": self.passages[self.cited - 1].answer,
                "problem": self.ticket.problem,
            }
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def make(rng: random.Random, *, held: bool) -> Made:
    """Return one row with three passages, as retrieval gives them."""
    return group(rng, held=held, tickets=1)[0]


def group(rng: random.Random, *, held: bool, tickets: int, passages: int = 3) -> list[Made]:
    """Return rows that share their passages; some tickets are about none of them.

    Training rows are now and then about invented things, which only their words connect.
    """
    if not held and rng.random() < _INVENTED:
        return _invented(rng, tickets, passages)
    first = rng.choice(issues())
    about = [first, *distractors(rng, first, passages)]
    about, other = about[:-1], about[-1]
    rng.shuffle(about)
    articles = tuple(article(rng, issue, held=held) for issue in about)
    made = []
    for _ in range(tickets):
        if rng.random() < _ANSWERED:
            at = rng.randrange(passages)
            made.append(Made(write(rng, about[at], held=held), articles, at + 1))
        else:
            made.append(Made(write(rng, other, held=held), articles, None))
    return made


def distractors(rng: random.Random, issue: Issue, count: int) -> list[Issue]:
    """Return other issues, mostly of the same category: those that retrieval would find."""
    near = [other for other in issues() if other.category == issue.category and other != issue]
    far = [other for other in issues() if other.category != issue.category]
    found: list[Issue] = []
    while len(found) < count:
        other = rng.choice(near if rng.random() < 0.6 else far)
        if other not in found:
            found.append(other)
    return found


def write(
    rng: random.Random, issue: Issue, *, held: bool, signed: str = "", marks: bool = True
) -> Text:
    """Return a ticket about an issue.

    Args:
        rng: Where all choices come from.
        issue: What it is about.
        held: Whether to use the held-out phrasings, or those of training.
        signed: The signature's lines; without it one is drawn.
        marks: Whether placeholders of redaction may stand where people write addresses.
    """
    problem = _sentence(rng, expand(rng, rng.choice(issue.lines("P", held=held)), held=held))
    subject = expand(rng, rng.choice(issue.lines("S", held=held)), held=held)
    details = [expand(rng, rng.choice(issue.lines("D", held=held)), held=held)]
    if not held and rng.random() < 0.5:
        details = [expand(rng, rng.choice(rng.choice(issues()).lines("D", held=held)), held=held)]
    second = ""
    if rng.random() < _SECOND:
        other = rng.choice(issues())
        second = expand(rng, rng.choice(other.lines("P", held=held)), held=held)
    text = _assembled(
        rng, subject, problem, details, second, issue.category, issue.priority, held, signed, marks
    )
    return replace(text, issue=issue.name)


def _assembled(  # noqa: C901, PLR0912, PLR0913, PLR0917 - the parts of a ticket
    rng: random.Random,
    subject: str,
    problem: str,
    details: list[str],
    second: str,
    category: str,
    priority: str,
    held: bool,  # noqa: FBT001
    signed: str,
    marks: bool,  # noqa: FBT001
) -> Text:
    def drawn(section: str) -> str:
        pool = phrases(section, held=held)
        while True:
            text = expand(rng, rng.choice(pool), held=held)
            if marks or "<" not in text:
                return text

    sentiment = rng.choices(SENTIMENTS, (0.2, 0.4, 0.25, 0.15))[0]
    before: list[str] = []
    after: list[str] = []
    mood = cue = ""
    if sentiment != "neutral":
        place = before if rng.random() < 0.6 else after
        mood = drawn(f"opener-{sentiment}")
        place.append(mood)
    if rng.random() < _CONTEXT:
        (before if rng.random() < 0.4 else after).append(drawn("context"))
    if rng.random() < _DETAIL:
        after.append(details[0])
    if rng.random() < _CUE:
        level = rng.choice(("urgent", "high", "low"))
        priority = level
        place = before if rng.random() < 0.2 else after
        cue = drawn(f"cue-{level}")
        place.append(cue)
    rng.shuffle(before)
    rng.shuffle(after)
    if second:
        after.append(drawn("second").replace("$problem", _sentence(rng, second)))
    if rng.random() < _TYPO:
        problem = _typo(rng, problem)
        slips = [_typo(rng, text) if rng.random() < 0.5 else text for text in after]
        written = dict(zip(after, slips, strict=True))
        mood, cue, after = written.get(mood, mood), written.get(cue, cue), slips
        if rng.random() < 0.5:
            subject = _typo(rng, subject)
    if rng.random() < 0.1:
        problem = problem[0].lower() + problem[1:]
        subject = subject.lower()
    elif rng.random() < 0.5:
        subject = subject[0].upper() + subject[1:]
    body = " ".join([*before, problem, *after])
    if rng.random() < 0.25 and after:
        body = " ".join([*before, problem]) + "\n\n" + " ".join(after)
    if rng.random() < _GREETING:
        body = drawn("greeting") + rng.choice(("\n\n", "\n", " ")) + body
    if rng.random() < _CLOSING:
        body += rng.choice(("\n\n", "\n")) + drawn("closing")
    if signed or rng.random() < _SIGNATURE:
        body += "\n" + (signed or _signature(rng, held=held))
    return Text(subject, body, problem, category, priority, sentiment, cue=cue, mood=mood)


def article(rng: random.Random, issue: Issue, *, held: bool) -> Article:
    """Return an article about an issue; in training its steps may be of another world."""
    title = _titled(rng, expand(rng, rng.choice(issue.lines("T", held=held)), held=held), held=held)
    intro = [expand(rng, rng.choice(issue.lines("A", held=held)), held=held)]
    if not held and rng.random() < 0.3:
        intro.append(expand(rng, rng.choice(issue.lines("A", held=held)), held=held))
    if not held and rng.random() < _RANDOM_STEP:
        answer, *more = (step(rng) for _ in range(rng.randint(2, 3)))
    else:
        answer = expand(rng, rng.choice(issue.lines("N", held=held)), held=held)
        more = [expand(rng, rng.choice(issue.lines("F", held=held)), held=held)]
    if rng.random() < 0.5:
        more.append(expand(rng, rng.choice(phrases("step", held=held)), held=held))
    return replace(_article(rng, title, intro, answer, more), issue=issue.name)


def step(rng: random.Random) -> str:
    """Return an instruction of random words, so that copying one cannot be learned by heart."""
    verb, noun, tail = (rng.choice(phrases(part, held=False)) for part in ("verb", "noun", "tail"))
    return f"{verb} {noun} {tail}".strip() + "."


def _article(
    rng: random.Random, title: str, intro: list[str], answer: str, more: list[str]
) -> Article:
    intro = [_full(text) for text in dict.fromkeys(intro)]
    answer, more = _full(answer), [_full(text) for text in dict.fromkeys(more)]
    gap = "\n\n" if rng.random() < 0.7 else " "
    body = " ".join(intro) + gap + " ".join([answer, *more])
    return Article(title, f"# {title}\n\n{body}", answer)


def _titled(rng: random.Random, title: str, *, held: bool) -> str:
    title = title[0].upper() + title[1:]
    return rng.choice(phrases("title", held=held)).replace("$title", title)


def _invented(rng: random.Random, tickets: int, passages: int) -> list[Made]:
    """Return rows about things that occur nowhere else: ticket and article share only words."""
    faults = list(
        zip(phrases("fault", held=False), phrases("fault-title", held=False), strict=True)
    )
    same = rng.random() < 0.3  # then the fault tells the articles apart, not the thing
    thing = _thing(rng)
    about = [
        (thing if same else other, fault)
        for other, fault in zip(
            rng.sample([_thing(rng) for _ in range(8)], passages + 1),
            rng.sample(faults, passages + 1),
            strict=True,
        )
    ]
    if len(set(about)) <= passages:
        return _invented(rng, tickets, passages)
    articles = tuple(_invented_article(rng, thing, fault) for thing, fault in about[:-1])
    made = []
    for _ in range(tickets):
        at = rng.randrange(passages) if rng.random() < _ANSWERED else None
        thing, (fault, title) = about[-1 if at is None else at]
        owner = rng.choice(("My", "Our", "The", "The new", "Your"))
        ending = rng.choice(("", " since Monday", " again", " today"))
        ticket = _assembled(
            rng,
            rng.choice((f"{thing} {fault}", f"{thing} problem", f"{title}: {thing}")),
            _sentence(rng, f"{owner} {thing} {fault}{ending}"),
            [expand(rng, rng.choice(rng.choice(issues()).lines("D", held=False)), held=False)],
            second="",
            category="hardware",
            priority="normal",
            held=False,
            signed="",
            marks=True,
        )
        made.append(Made(ticket, articles, None if at is None else at + 1))
    return made


def _thing(rng: random.Random) -> str:
    brand, thing = (rng.choice(phrases(pool, held=False)) for pool in ("brand", "thing"))
    return rng.choice((f"{brand} {thing}", thing, f"{thing} {brand}"))


def _invented_article(rng: random.Random, thing: str, fault: tuple[str, str]) -> Article:
    title = rng.choice((f"{thing}: {fault[1]}", f"{fault[1]} of the {thing}"))
    intro = rng.choice(
        (
            f"This page is about the {thing}.",
            f"The {thing} is used in many places.",
            f"Sometimes the {thing} {fault[0]}.",
            f"A {thing} that {fault[0]} needs care.",
        )
    )
    answer, *more = (step(rng) for _ in range(rng.randint(2, 3)))
    return _article(rng, title[0].upper() + title[1:], [intro], answer, more)


def _sentence(rng: random.Random, text: str) -> str:
    if text[-1] in ".!?":
        return text
    if _QUESTION.match(text):
        return text + rng.choice(("?", "?", "?", "."))
    return text + rng.choices((".", "!", "..."), (0.85, 0.1, 0.05))[0]


def _full(text: str) -> str:
    return text if text[-1] in ".!?" else text + "."


def _typo(rng: random.Random, text: str) -> str:
    """Return the text with one slip of the fingers in a longer word."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    at = rng.choice(long)
    word = words[at]
    spot = rng.randrange(1, len(word) - 1)
    kind: Literal["swap", "drop", "double"] = rng.choice(("swap", "drop", "double"))
    if kind == "swap":
        word = word[:spot] + word[spot + 1] + word[spot] + word[spot + 2 :]
    elif kind == "drop":
        word = word[:spot] + word[spot + 1 :]
    else:
        word = word[:spot] + word[spot] + word[spot:]
    words[at] = word
    return " ".join(words)


def _signature(rng: random.Random, *, held: bool) -> str:
    name = "<CUSTOMER_NAME_1>" if rng.random() < 0.7 else rng.choice(names("person", held=held))
    lines = [name]
    if rng.random() < 0.3:
        lines.append(rng.choice(names("team", held=held)).capitalize())
    if rng.random() < 0.25:
        lines.append(rng.choice(("<PHONE_1>", "Tel. <PHONE_1>", "<EMAIL_1>")))
    return "\n".join(lines)
