"""The story of one insight in words, from its row to what came after."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from insights.store.trail import Story

_STANDS = {
    None: "it was made before events had hashes: nobody can tell whether it was changed",
    False: "it stands as it was made",
    True: "IT IS NOT WHAT WAS MADE: somebody changed it in the store",
}


def words(story: Story) -> Iterator[str]:
    """Yield lines: what it is, from what, by what, the outcome, then all events of its row."""
    one = story.insight
    yield (
        f"Insight {one['insight_id']} of {one['stream']} {one['row_key']}, pipeline"
        f" {one['pipeline']}: {one['status']}; {_STANDS[story.changed]}."
    )
    if story.made is not None:
        yield from _making(story.made, one)
    if one["reason"]:
        yield f"Why: {one['reason']}."
    for note in one["notes"] or ():
        yield f"Noted: {note}."
    for cited in one["citations"]:
        passage = f", passage {cited['passage_id']} {cited['uri']}" if cited["passage_id"] else ""
        yield f"Cited for {cited['field']}: {cited['source']}{passage}."
    yield "What was done to its row:"
    for event in story.events:
        at = event["at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
        of = f" {event['insight_id']}" if event["insight_id"] else ""
        yield (
            f"  {at}  {event['action']}{of}, by {event['actor']} (login {event['login']}),"
            f" event {event['number']} of chain {event['chain_id']}"
        )


def _read_and_wrote(told: Mapping[str, Any]) -> str:
    (asked, answered), (queue, prompt, decode) = told["tokens"], told["ms"]
    return (
        f"{told['model']} ({told['route']}) read {asked} tokens and wrote {answered},"
        f" to {told['finish']}: {queue} ms waiting, {prompt} ms reading, {decode} ms writing."
    )


def _making(made: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[str]:
    told = made["details"]
    if "version" not in told:
        return
    yield f"Made from its inputs with hash {told['input']} by version {told['version']}"
    definition = one["definition"]
    stage, generator = told["stage"], definition.get("generator")
    yield f"  at stage {stage}: model {generator}, sampling {definition.get('sampling')},"
    for name in ("template", "schema"):
        yield f"  {name} {hashlib.sha256(str(definition.get(name)).encode()).hexdigest()}"
    if "prompt" in told:
        yield f"The model was asked what has the SHA-256 {told['prompt']}."
    else:
        yield "No model was asked."
    if shown := told.get("passages"):
        listed = ", ".join(f"{id_} (score {score})" for id_, score in shown)
        yield f"Passages shown: {listed}."
    if (earlier := told.get("reused")) is not None:
        yield f"It had been asked before: this is the generation of insight {earlier}."
    elif "model" in told:
        if "first" in told:
            yield _read_and_wrote(told["first"])
            yield f"It went on to the pipeline's larger model: {told['escalated']}."
        yield _read_and_wrote(told)
    if "output" in told:
        yield f"Its output has the SHA-256 {told['output']}."
