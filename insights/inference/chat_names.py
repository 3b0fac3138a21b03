"""Chat templates by well-known names, and which one a model without any must have been trained on.

Each is the published one less its tools and pictures. Names are families': a model says in its card
which it belongs to.
"""

from collections.abc import Callable
from pathlib import Path

from insights import errors

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{{ bos_token }}{% for message in rest %}{% if message['role'] == 'user' %}"
    "{% if loop.last and system is defined %}{{ '[INST] ' + system + '\n\n' + message['content'] "
    "+ '[/INST]' }}{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_PHI_3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] "
    "+ '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_PHI_4 = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' "
    "+ message['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
_ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] "
    "+ eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% endif %}"
)
_TEMPLATES = {
    "chatml": _CHATML, "gemma": _GEMMA, "llama3": _LLAMA_3, "mistral": _MISTRAL, "phi3": _PHI_3,
    "phi4": _PHI_4, "zephyr": _ZEPHYR,
}  # fmt: skip

# Control tokens that only one family has: a model that was not trained on them has none of them.
_TELLING = (
    ("llama3", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    ("phi4", ("<|im_start|>", "<|im_sep|>", "<|im_end|>")),
    ("chatml", ("<|im_start|>", "<|im_end|>")),
    ("gemma", ("<start_of_turn>", "<end_of_turn>")),
    ("phi3", ("<|user|>", "<|assistant|>", "<|end|>")),
    ("mistral", ("[INST]", "[/INST]")),
)


def listed() -> str:
    """Return the names, for people."""
    return ", ".join(sorted(_TEMPLATES))


def text(name: str) -> str:
    """Return the chat template of a name."""
    return _TEMPLATES[name]


def guess(is_control: Callable[[str], bool]) -> str | None:
    """Return the name that a vocabulary is certain about; None where it is not.

    Args:
        is_control: Whether a text is one token of its own, and no ordinary one.
    """
    for name, tokens in _TELLING:
        if all(map(is_control, tokens)):
            return name
    return None


def of_model(
    own: str, is_control: Callable[[str], bool], *, chosen: str, where: str
) -> tuple[str, str]:
    """Return a model's chat template and where it comes from: the settings', its own, or a guess.

    Args:
        own: What its file carries; may be empty.
        is_control: As for `guess`.
        chosen: What the settings say; may be empty.
        where: Its file, for errors.

    Raises:
        errors.ModelError: If there is none, and none is certain.
    """
    if chosen:
        return chosen, "from the settings"
    if own:
        return own, "the file's own"
    name = guess(is_control)
    if name is None:
        raise errors.ModelError(
            "carries no chat template, and its vocabulary does not tell which it wants",
            where=where,
            fix=f"set model.<name>.chat_template: a file, or one of {listed()}",
        )
    return text(name), f"{name}, guessed from its vocabulary"


def resolve(value: str, folder: Path, *, where: str) -> str:
    """Return the chat template that a setting means: a well-known name, or a file's text.

    Raises:
        errors.SettingsError: If it is neither.
    """
    if value in _TEMPLATES:
        return _TEMPLATES[value]
    try:
        return (folder / value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.SettingsError(
            f"{value!r} is neither a well-known name nor a readable file ({type(exc).__name__})",
            where=where,
            fix=f"name a Jinja file, or one of {listed()}",
        ) from exc
