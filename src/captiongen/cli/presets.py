"""Writes params.yaml from a preset: comments stay, and what changed is told."""

import io
from collections.abc import Mapping
from pathlib import Path

import yaml

from captiongen.errors import ParamsError
from captiongen.files import write_atomically
from captiongen.params import Params, load_params, parse_params

PRESETS = ("scenes", "flickr8k", "starter")


def read_preset(name: str) -> Params:
    """Reads a preset; `name` is one of `PRESETS`."""
    return load_params(_file(name))


def write_params(path: Path, preset: str, changes: Mapping[str, object], *, keeps_settings: bool = False) -> list[str]:
    """Writes a preset to `path`, with `changes` by dotted key ("train.encoder.name") on top.

    Without changes the file is the preset, byte for byte. With `keeps_settings` the changes are made in the file as it
    stands, and the preset is not used.

    Returns:
        A line for each setting whose effective value differs from what it was before.

    Raises:
        ParamsError: the changes do not give valid params; then the file is left as it is.
    """
    former = path if keeps_settings else _file(preset)
    text = _changed(former.read_text("utf-8"), changes)
    after = _flat(
        parse_params(yaml.safe_load(text), origin=f"{path if keeps_settings else f'preset {preset}'}").model_dump(
            by_alias=True
        )
    )
    try:
        before = _flat(load_params(path).model_dump(by_alias=True))
    except ParamsError:
        before = {}
    write_atomically(path, text)
    return [
        f"{key}: {before.get(key, '(none)')} -> {value}" for key, value in after.items() if before.get(key) != value
    ]


def _file(preset: str) -> Path:
    return Path(__file__).parent.parent / "presets" / f"{preset}.yaml"


def _changed(text: str, changes: Mapping[str, object]) -> str:
    if not changes:
        return text
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 120
    editor.indent(mapping=2, sequence=4, offset=2)
    document = editor.load(text)
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
        if last in section or not section:
            section[last] = value
        else:
            # Not at the end: the blank line between two sections belongs to the last key.
            section.insert(len(section) - 1, last, value)
    stream = io.StringIO()
    editor.dump(document, stream)
    return stream.getvalue()


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, list | tuple) and any(isinstance(entry, dict) for entry in value):
        value = {str(number): entry for number, entry in enumerate(value, start=1)}
    if not isinstance(value, dict):
        return {prefix: value}
    inner = {f"{prefix}.{key}" if prefix else str(key): item for key, item in value.items()}
    return {key: leaf for name, item in inner.items() for key, leaf in _flat(item, name).items()}
