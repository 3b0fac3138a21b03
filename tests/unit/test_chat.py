"""Chat templates: rendered as transformers renders them, and never with a message left out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pytest
from transformers.utils import chat_template_utils

from insights import errors
from insights.inference import chat_names
from insights.inference.chat import ChatTemplate
from insights.model import Message, Segment

BOS, EOS = "<s>", "</s>"


class Vocabulary:
    bos, eos = 0, 1

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return (BOS, EOS)[token].encode() if special else b""


FOLDER = Path(__file__).parent / "chat_templates"  # after the published ones
PUBLISHED = {
    **{path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.jinja"))},
    **{name: chat_names.text(name) for name in chat_names.listed().split(", ")},
}


def by_transformers(template: str, messages: Sequence[dict[str, Any]]) -> str:
    rendered, _ = chat_template_utils.render_jinja_template(
        conversations=[list(messages)],
        chat_template=template,
        add_generation_prompt=True,
        bos_token=BOS,
        eos_token=EOS,
    )
    return str(rendered[0])


def messages(*contents: tuple[str, str]) -> list[Message]:
    """Each content is template text, then data."""
    return [
        Message(
            role=role,
            segments=(
                Segment(text=content[: len(content) // 2], is_template=True),
                Segment(text=content[len(content) // 2 :], is_template=False, source="row.body"),
            ),
        )
        for role, content in contents
    ]


CONVERSATIONS: list[tuple[tuple[str, str], ...]] = [
    (("user", "What is it?\nSay."),),
    (("system", "Be brief. Be kind."), ("user", "  The printer \n\n is on fire \n ")),
    (("user", "first"), ("assistant", " it is so "), ("user", '"Größe" <b>\n')),
    (("system", " "), ("user", "\n \n")),
    (("system", "Be brief 0e 1f."), ("user", "a\r\n\r\nb c\n\nd 00ee ff\n")),
]
# Of a content: what templates do to it beside printing it.
CHANGED = {
    "replaced": "{{ c.replace('\r\n', '\n').replace('\n\n', '\n').replace('<b>', '') }}",
    "replaced by a filter": "{{ c | replace('\r\n', '\n') | replace('ff', '') }}",
    "replaced once": "{{ c.replace('\n', '!', 1) }}{{ c | replace('\n', '', 1) }}",
    "line by line": "{% for line in c.splitlines() %}> {{ line }}\n{% endfor %}",
    "between breaks": "{{ c.split('\n') | join('\n> ') }}",
    "word by word": "{{ c.split() | join(' ') }}",
    "indented": "{{ c | indent(2) }}|{{ c | indent('> ', first=true, blank=true) }}",
    "in a block": "{% set said %}{{ c }}\n{% endset %}{% filter trim %}{{ said }}{% endfilter %}",
    "formatted": "{{ '%s' | format(c) }}{{ '{}'.format(c) }}",
    "in another case": "{{ c | lower }}{{ c.upper() }}{{ c.title() }}{{ c | capitalize }}",
    "without an affix": "{{ c.removeprefix('What is it').removesuffix('fire') }}"
    "{{ c.removeprefix('fi').removesuffix(' \n') }}{{ c.removesuffix('ff\n') }}",
    "by names": "{{ c | replace(old='\n', new='!', count=1) }}{{ c | trim(chars='f\n') }}"
    "{{ c | replace('\n', '!', none) }}",
    "lines with their ends": "{{ c.splitlines(true) | join('|') }}"
    "{{ c.splitlines(keepends=true) | join('>') }}",
    "into two": "{{ c.split(maxsplit=1) | join('|') }}{{ c.split('\n', 1) | join('>') }}"
    "{{ c.split(sep='\n') | join('=') }}",
    "escaped": "{{ c | e }}{{ c | string | escape }}",
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_a_published_template_renders_as_in_transformers(
    name: str, conversation: tuple[tuple[str, str], ...]
) -> None:
    template = PUBLISHED[name]
    plain = [{"role": role, "content": content} for role, content in conversation]
    ours = ChatTemplate(template, Vocabulary())
    try:
        wanted = by_transformers(template, plain)
    except jinja2.TemplateError:  # it has no system role: then the user says it
        assert name in ("gemma-2", "gemma")
        (system, *_), (user, text) = plain[0].values(), plain[1].values()
        assert system == "system"
        joined = [{"role": user, "content": plain[0]["content"] + "\n\n" + text}]
        wanted = by_transformers(template, joined)
    if wanted.endswith("<think>\n"):  # nothing is thought
        wanted += "\n</think>\n\n"
    assert "".join(s.text for s in ours.render(messages(*conversation))) == wanted


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_what_changes_a_content_changes_its_data(
    name: str, conversation: tuple[tuple[str, str], ...]
) -> None:
    template = f"{{% for m in messages %}}{{% set c = m.content %}}{CHANGED[name]}{{% endfor %}}"
    plain = [{"role": role, "content": content} for role, content in conversation]
    said = ChatTemplate(template, Vocabulary()).render(messages(*conversation))
    assert "".join(s.text for s in said) == by_transformers(template, plain)
    if conversation[-1][1].strip():
        assert any(not s.is_template for s in said)


def test_data_stays_apart_from_what_the_template_prints() -> None:
    said = ChatTemplate(PUBLISHED["gemma-2"], Vocabulary()).render(
        messages(("user", "ab<end_of_turn>\n"))
    )
    data = [segment for segment in said if not segment.is_template]
    assert [segment.text for segment in data] == ["f_turn>"]
    assert data[0].source == "row.body"
    assert said[0].text == "<s><start_of_turn>user\nab<end_o"


@pytest.mark.parametrize(
    ("template", "how"),
    [
        ("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", "as they are"),
        (
            "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
            "the system message as the beginning of the user's",
        ),
        ("{{ messages[0].content }}", "the system message as the beginning of the user's"),
        (
            "{% if messages[1] %}{{ raise_exception('one') }}{% endif %}{{ messages[0].content }}",
            "the system message as the beginning of the user's",
        ),
    ],
)
def test_every_message_comes_out(template: str, how: str) -> None:
    chat = ChatTemplate(template, Vocabulary())
    assert chat.check(("system", "user")) == how
    said = "".join(s.text for s in chat.render(messages(("system", "rules"), ("user", "question"))))
    assert "rules" in said
    assert "question" in said


# SmolVLM's and LLaVA's, less their pictures: a content that is a text says nothing there.
_IN_PARTS = (
    (
        "{% for m in messages %}{{ m.role | capitalize }}{% if m.content[0]['type'] == 'image' %}:"
        "{% else %}: {% endif %}{% for part in m.content %}{% if part['type'] == 'text' %}"
        "{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}Assistant:"
    ),
    (
        "{% for m in messages %}{{ m.role.upper() }}: {% for part in m.content | "
        "selectattr('type', 'equalto', 'text') %}{{ part.text + ' ' }}{% endfor %}{% endfor %}"
    ),
)


@pytest.mark.parametrize("template", _IN_PARTS)
@pytest.mark.parametrize("conversation", CONVERSATIONS[:3])
def test_a_template_that_takes_parts_alone_gets_them(
    template: str, conversation: tuple[tuple[str, str], ...]
) -> None:
    chat = ChatTemplate(template, Vocabulary())
    assert chat.check([role for role, _ in conversation]) == "as they are, contents as parts"
    in_parts: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in conversation
    ]
    said = chat.render(messages(*conversation))
    assert "".join(segment.text for segment in said) == by_transformers(template, in_parts)


@pytest.mark.parametrize(
    ("opening", "end"),
    [
        ("{{ '<think>\n' }}", "A:<think>\n\n</think>\n\n"),
        ("[THINK]", "A:[THINK]\n\n[/THINK]\n\n"),
        ("<seed:think>", "A:<seed:think>\n\n</seed:think>\n\n"),
        ("{% if enable_thinking is false %}<think></think>{% else %}<think>{% endif %}",
         "A:<think></think>"),
        ("{% if enable_thinking is true %}<think>{% endif %}", "A:"),
        ("<think>{{ '</think>' }}", "A:<think></think>"),
    ],
)  # fmt: skip
def test_thinking_that_a_template_opens_is_closed(opening: str, end: str) -> None:
    """As MiniMax M2, QwQ and Nemotron open it: the answer, an object, would be thought."""
    template = "{% for m in messages %}{{ m.content }};{% endfor %}A:" + opening
    chat = ChatTemplate(template, Vocabulary())
    said = chat.render(messages(("user", "a <think>")))
    assert "".join(segment.text for segment in said) == f"a <think>;{end}"


def test_messages_of_one_role_in_a_row_are_joined_where_the_template_refuses_them() -> None:
    chat = ChatTemplate(PUBLISHED["mistral-7b"], Vocabulary())
    said = chat.render(messages(("user", "one"), ("user", "two")))
    assert "".join(segment.text for segment in said) == "<s>[INST] one\n\ntwo[/INST]"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}", "does not parse"),
        ("{{ nothing.at_all() }}", "cannot be rendered"),
        ("{{ raise_exception('no chat model') }}", "no chat model"),
        ("always the same", "leaves a message out"),
        ("{{ messages[0].content | length }}", "leaves a message out"),
        ("{{ messages[0].content }}{{ messages[0].content[:25] }}", "cuts a message"),
    ],
)
def test_a_template_that_cannot_say_a_message_is_refused(template: str, message: str) -> None:
    with pytest.raises(errors.ModelError, match=message) as caught:
        ChatTemplate(template, Vocabulary()).check()
    assert "chat_template" in caught.value.fix


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        (PUBLISHED["llama-3.1"], "llama3"),
        (PUBLISHED["qwen-2.5"], "chatml"),
        (PUBLISHED["gemma-3"], "gemma"),
        (PUBLISHED["phi-3"], "phi3"),
        (PUBLISHED["phi-4"], "phi4"),
        (PUBLISHED["mistral-small"], "mistral"),
        ("", None),
    ],
)
def test_a_vocabulary_tells_its_family_where_it_is_certain(tokens: str, name: str | None) -> None:
    assert chat_names.guess(lambda text: text in tokens or json.dumps(text) in tokens) == name


def test_a_setting_names_a_file_or_a_family(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    assert chat_names.resolve("own.jinja", tmp_path, where="x") == "{{ messages }}"
    assert chat_names.resolve("gemma", tmp_path, where="x") == chat_names.text("gemma")
    with pytest.raises(errors.SettingsError, match="chatml, gemma"):
        chat_names.resolve("gema", tmp_path, where="model.a.chat_template")
