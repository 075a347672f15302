"""What the documents say is there, and can be typed."""

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from commands import all_commands

ROOT = Path(__file__).resolve().parents[2]
#: Written by runs, not by people: a document may name them, a fresh clone does not have them.
PRODUCTS = ("data/raw/", "data/interim", "data/processed", "models/", "reports/", ".captiongen", ".bentoml", ".venv")
FOLDERS = ("src/", "tests/", "flows/", "docs/", "tools/", "benchmarks/", ".ci/", ".dvc/", "data/")


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in _tracked("*.md")]


def _fences(text: str) -> list[tuple[str, str]]:
    """Returns (language, content) of each code fence."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _command_lines(text: str) -> list[str]:
    """Returns what a reader may type: code spans, and the lines of shell fences without comments."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [
        re.split(r"\s#", line)[0].strip().removeprefix("$ ")
        for language, content in _fences(text)
        if language in ("", "bash", "sh", "console")
        for line in content.replace("\\\n", " ").splitlines()
    ]
    return spans + lines


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_lead_somewhere(name: str):
    """Each relative link or picture of a document is a file or folder of the repository."""
    document = ROOT / name
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    relative = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in relative if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_paths_exist(name: str):
    """Each path in a code span that starts with a folder of ours exists, unless a run writes it."""
    spans = re.findall(r"`([\w./-]+)`", (ROOT / name).read_text())
    paths = [span for span in spans if span.startswith(FOLDERS) and not span.startswith(PRODUCTS)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_make_targets_exist(name: str):
    """Each `make X` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in _command_lines((ROOT / name).read_text()):
        if line.startswith("make "):
            words = [word for word in shlex.split(line)[1:] if re.fullmatch(r"[a-z-]+", word)]
            assert set(words) <= targets, line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_commands_and_their_options_exist(name: str):
    """Each `captiongen X --option` is a command with that option."""
    commands = all_commands()
    for line in _command_lines((ROOT / name).read_text()):
        if not re.match(r"captiongen [a-z]", line):
            continue
        words = shlex.split(line.replace("...", ""))
        named = [name for name in commands if words[1 : 1 + len(name.split())] == name.split()]
        assert named, line
        parameters = commands[named[0]].params
        known = {option for parameter in parameters for option in [*parameter.opts, *parameter.secondary_opts]}
        used = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
        assert used <= known | {"--help"}, line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_code_fences_are_valid(name: str):
    """Python, YAML and JSON fences parse."""
    parsers = {"python": ast.parse, "yaml": yaml.safe_load, "json": json.loads}
    for language, content in _fences((ROOT / name).read_text()):
        if language in parsers:
            parsers[language](content)


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in _tracked("*.yaml", "*.yml", "*.dvc")])
def test_yaml_files_are_valid(name: str):
    """Every YAML file of the repository parses."""
    yaml.safe_load((ROOT / name).read_text())


def test_no_file_names_a_path_of_one_machine_or_a_registry():
    """What is committed works anywhere: no absolute path of a machine, no address of a package registry."""
    places = ["wor" + "k/", "op" + "t/", "roo" + "t/", "tm" + "p/cg"]
    pattern = re.compile(r"(?<![\w.~-])/(" + "|".join(places) + r")|py" + r"pi\.org|python" + r"hosted")
    found = []
    for path in _tracked():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    assert found == []


def test_the_product_needs_nothing_beside_the_repository():
    """Code, flows, settings and tools name no folder outside of the repository."""
    product = _tracked("src", "flows", "tools", "Makefile", "*.yaml")
    assert [path for path in product if "../" + "shared" in path.read_text(errors="ignore")] == []
