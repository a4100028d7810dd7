"""Run keys: what a table's rows and answers depend on, and whether two runs may share one.

Knows nothing of where keys are kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from visioncli.errors import UsageError
from visioncli.io.sources import manifests
from visioncli.jobs.job import Job
from visioncli.provenance import Checkpoint

_SHORT = 80  # letters of a value in a sentence
_KNOWN_AS = {  # a name in a key, where it is not that of a flag -> what people know it by
    "mode": "the command",
    "task": "the command",
    "commit": "the model's files",
    "recipe": "the way pictures are prepared",
    "inputs": "INPUT",
    "texts": "--text",
    "manifests": "a manifest's size or time",
    "continued": "the output that is continued",
    "templates": "--template",
    "normalize": "normalisation (--no-normalize)",
    "image": "pictures beside texts",
    "exports": "--export",
    "size": "--depth-size",
    "focal_px": "--focal",
    "priors": "the prompts' priors",
    "upright": "turning pictures upright",
    "null_separated": "--null",
    "images": "pictures among the rows",
    "image_column": "--image-col",
    "id_column": "--id-col",
    "text_column": "--text-col",
    "focal_column": "--focal-col",
    "version_column": "--version-col",
}
_OF_PICTURES = frozenset({"decode", "max_bytes"})  # names of an answer's key
_WORDS = {None: "not given", True: "on", False: "off"}


def run_key(
    job: Job,
    options: Any,
    checkpoint: Checkpoint,
    rows: Mapping[str, Any],
    continued: list[int] | None,
    resolved: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the key of one run; `resolved` is known when the model is loaded, `continued` stamps an earlier output."""
    answers = answer_key(job, options, checkpoint.commit, checkpoint.id)
    parts = {
        "mode": job.policy.mode,
        "answers": answers,
        "rows": rows,
        "overlay": job.overlay,  # no answer depends on it, but half a run's pictures in another folder help nobody
        "continued": continued,
        "resolved": resolved,
    }
    key: dict[str, Any] = json.loads(json.dumps(parts))  # as it will be read back: tuples are lists
    return key


def answer_key(job: Job, options: Any, commit: str, model: str) -> dict[str, Any]:
    """Return what an answer depends on, before the model is loaded: equal keys may share a table."""
    decode = job.settings.decode
    return {
        "task": job.task,
        "model": model,
        "commit": commit,
        "parameters": asdict(options),
        "decode": asdict(decode),
        "max_bytes": job.settings.fetch.max_bytes,
    }


def row_key(job: Job) -> dict[str, Any]:
    """Return what decides which rows there are."""
    listing = asdict(job.listing)
    del listing["reserved"]
    return {
        "inputs": list(job.inputs),
        "texts": list(job.texts),
        "limit": job.limit,
        "columns": listing,
        "manifests": [_stamp(path) for name in job.inputs for path in manifests(name)],
    }


def _stamp(name: str) -> list[Any]:
    facts = os.stat(name)
    return [name, facts.st_size, facts.st_mtime_ns]


def is_same_command(stored: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    """Whether the run of `stored` did what a run of `key` is to do; both before their model is loaded."""
    old, new = _telling(stored), _telling(key)
    return all(old[name] == new[name] for name in ("mode", "answers", "rows"))


def refuse_other_run(stored: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    """Raise UsageError unless `key` may go on with the unfinished run of `stored`."""
    compared = [name for name in key if name != "resolved" or (stored["resolved"] and key["resolved"])]
    old, new = ({name: whole.get(name) for name in compared} for whole in (_telling(stored), _telling(key)))
    _refuse_differences(old, new, "the unfinished run was begun", "say --no-resume to begin anew")


def refuse_other_output(path: str, made_with: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    """Raise UsageError unless a run of `key` may take over answers of the finished output at `path`."""
    same_rows = key["mode"] == "retry-failed"
    old, new = (_lasting(_telling(whole), same_rows, bool(key["resolved"])) for whole in (made_with, key))
    _refuse_differences(old, new, f"{path} was made", "say --overwrite to ask all again")


def _telling(key: Mapping[str, Any]) -> Mapping[str, Any]:
    """A key without what its answers cannot depend on: those about texts alone, on how pictures are read."""
    answers = key["answers"]
    if answers.get("parameters", {}).get("image", True):
        return key
    return {**key, "answers": {name: value for name, value in answers.items() if name not in _OF_PICTURES}}


def _lasting(key: Mapping[str, Any], same_rows: bool, loaded: bool) -> dict[str, Any]:
    """What an output and its continuation must share: not the manifests' times, and not the batch size."""
    lasting = {"answers": key["answers"]}
    if same_rows:
        lasting["rows"] = {name: value for name, value in key["rows"].items() if name != "manifests"}
    if loaded:
        lasting["resolved"] = {name: value for name, value in key["resolved"].items() if name != "batch_size"}
    return lasting


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one phrase per value that differs, nested ones too, each by the flag that people know it by."""
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after)
        elif before != after:
            found.append("{} was {}, is {}".format(_known_as(name), *_apart(_worded(before), _worded(after))))
    return found


def _refuse_differences(old: Mapping[str, Any], new: Mapping[str, Any], what: str, advice: str) -> None:
    found = differences(old, new)
    if found:
        raise UsageError(f"{what} with other settings ({'; '.join(found)}); {advice}")


def _known_as(name: str) -> str:
    return _KNOWN_AS.get(name) or "--" + name.replace("_", "-")


def _worded(value: Any) -> str:
    """A value as people write it: lists with commas between."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value) or "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _apart(old: str, new: str) -> tuple[str, str]:
    """Two texts made short, from where they differ where that is far behind their beginning."""
    same = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    begin = 0 if same < _SHORT - 20 else same - 10
    return _short(old, begin), _short(new, begin)


def _short(text: str, begin: int) -> str:
    found = ("..." if begin else "") + text[begin:]
    return found if len(found) <= _SHORT else found[: _SHORT - 3] + "..."
