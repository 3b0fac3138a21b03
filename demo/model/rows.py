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
_TYPO, _RANDOM_STEP, _INVENTED = 0.2, 0.35, 0.25
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


@dataclass(frozen=True)
class Article:
    """A knowledge article: its Markdown, and the sentence in it that answers."""

    title: str
    text: str
    answer: str


@dataclass(frozen=True)
class Made:
    """A row to learn from: a ticket, the passages beside it, and which of them answers (from 1)."""

    ticket: Text
    passages: tuple[Article, ...]
    cited: int | None
    invented: bool = False

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
    """Return one row; training rows also have invented things, which only the words connect."""
    invented = not held and rng.random() < _INVENTED
    if invented:
        return _invented(rng)
    issue = rng.choice(issues())
    ticket = write(rng, issue, held=held)
    answered = rng.random() < 0.82
    others = distractors(rng, issue, 2 if answered else 3)
    articles = [article(rng, other, held=held) for other in others]
    if not answered:
        return Made(ticket, tuple(articles), None)
    return _placed(rng, ticket, article(rng, issue, held=held), articles)


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
    return _assembled(
        rng, subject, problem, details, second, issue.category, issue.priority, held, signed, marks
    )


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
    if sentiment != "neutral":
        (before if rng.random() < 0.6 else after).append(drawn(f"opener-{sentiment}"))
    if rng.random() < _CONTEXT:
        (before if rng.random() < 0.4 else after).append(drawn("context"))
    if rng.random() < _DETAIL:
        after.append(details[0])
    if rng.random() < _CUE:
        level = rng.choice(("urgent", "high", "low"))
        priority = level
        (before if rng.random() < 0.2 else after).append(drawn(f"cue-{level}"))
    rng.shuffle(before)
    rng.shuffle(after)
    if second:
        after.append(drawn("second").replace("$problem", _sentence(rng, second)))
    if rng.random() < _TYPO:
        problem = _typo(rng, problem)
        after = [_typo(rng, text) if rng.random() < 0.5 else text for text in after]
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
    return Text(subject, body, problem, category, priority, sentiment)


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
    return _article(rng, title, intro, answer, more)


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


def _placed(rng: random.Random, ticket: Text, right: Article, others: list[Article]) -> Made:
    """Put the right article among the others: retrieval has it first more often than not."""
    at = rng.choices(range(len(others) + 1), (0.5, 0.28, 0.22)[: len(others) + 1])[0]
    passages = [*others[:at], right, *others[at:]]
    return Made(ticket, tuple(passages), at + 1)


def _invented(rng: random.Random) -> Made:
    """Return a row about things that occur nowhere else: ticket and article share only words."""

    def named() -> str:
        brand, thing = (
            rng.choice(phrases("brand", held=False)),
            rng.choice(phrases("thing", held=False)),
        )
        return rng.choice((f"{brand} {thing}", thing, f"{thing} {brand}"))

    faults, titles = phrases("fault", held=False), phrases("fault-title", held=False)
    thing, at = named(), rng.randrange(len(faults))
    same = rng.random() < 0.3  # then the fault tells the articles apart, not the thing
    wrong: list[tuple[str, int]] = []
    while len(wrong) < 3:
        other = (
            (thing, rng.randrange(len(faults))) if same else (named(), rng.randrange(len(faults)))
        )
        if other != (thing, at) and other[0 if not same else 1] != (at if same else thing):
            wrong.append(other)

    def about(thing: str, at: int) -> Article:
        title = rng.choice((f"{thing}: {titles[at]}", f"{titles[at]} of the {thing}"))
        intro = rng.choice(
            (f"This page is about the {thing}.", f"The {thing} is used in many places.")
            if rng.random() < 0.5
            else (
                f"Sometimes the {thing} {faults[at]}.",
                f"A {thing} that {faults[at]} needs care.",
            )
        )
        answer, *more = (step(rng) for _ in range(rng.randint(2, 3)))
        return _article(rng, title[0].upper() + title[1:], [intro], answer, more)

    owner = rng.choice(("My", "Our", "The", "The new", "Your"))
    problem = f"{owner} {thing} {faults[at]}" + rng.choice(
        ("", " since Monday", " again", " today")
    )
    subject = rng.choice((f"{thing} {faults[at]}", f"{thing} problem", f"{titles[at]}: {thing}"))
    detail = expand(rng, rng.choice(rng.choice(issues()).lines("D", held=False)), held=False)
    ticket = _assembled(
        rng,
        subject,
        _sentence(rng, problem),
        [detail],
        second="",
        category="hardware",
        priority="normal",
        held=False,
        signed="",
        marks=True,
    )
    if rng.random() < 0.82:
        made = _placed(rng, ticket, about(thing, at), [about(*other) for other in wrong[:2]])
        return replace(made, invented=True)
    return Made(ticket, tuple(about(*other) for other in wrong), None, invented=True)


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
