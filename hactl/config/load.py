"""cluster.yaml to the model, or every reason why not.

Import this where it is needed only: pydantic and ruamel.yaml cost some 100 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hactl.config.advice import with_advice
from hactl.config.errors import ConfigErrors, KeyPath, Problem, closest, show_path
from hactl.config.parts import sound_parts
from hactl.config.presets.expand import expand_presets
from hactl.config.rules.crosscheck import cross_check
from hactl.config.schema import Cluster
from hactl.config.translate import explain, known_keys
from hactl.config.yaml_tree import Tree, read_yaml
from hactl.model.cluster import ClusterSpec

# The end of the path of a mapping's key that is wrong, in pydantic's errors.
_OF_KEY = ("[key]",)
_WHOLE = "write the character itself"
_EMPTY = "begin with `cluster: NAME` and `nodes: [{name: n1, address: 10.0.0.11}]`"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound configuration. `warnings`: settings that are allowed but doubtful; `tree`: the places of all settings."""

    spec: ClusterSpec
    warnings: tuple[Problem, ...]
    tree: Tree


def load_cluster(path: Path) -> ClusterSpec:
    """Read cluster.yaml, with the timeouts that agents advise. Raises ConfigErrors with everything that is wrong."""
    return read_cluster(path).spec


def parse_cluster(text: str, file: str = "cluster.yaml") -> ClusterSpec:
    """The cluster of a text, without agents' advice; `file` is how errors call it."""
    return check_text(text, file).spec


def read_cluster(path: Path) -> Loaded:
    """As load_cluster, with warnings and places."""
    loaded = check_text(read_text(path), str(path))
    return replace(loaded, spec=with_advice(loaded.spec, loaded.tree))


def read_text(path: Path) -> str:
    """A configuration file's text. Raises ConfigErrors."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem, hint = f"is not UTF-8: byte {error.start} is not", "save it as UTF-8"
    except OSError as error:
        problem, hint = f"cannot be read: {error.strerror}", "see that it is there and may be read"
    raise ConfigErrors([Problem(str(path), "", problem, hint)])


def check_text(text: str, file: str) -> Loaded:
    """The same with warnings and places."""
    tree = read_yaml(text, file)
    if tree.data is None and not tree.problems:
        tree.problems.append(Problem(file, "", "is empty", _EMPTY))
    if not isinstance(tree.data, dict):
        raise ConfigErrors(tree.problems or [tree.problem((), "is no mapping", _EMPTY)])
    expand_presets(tree)
    return check_tree(tree)


def _halves(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where there is a text that no encoding can hold: YAML can write one."""
    if isinstance(value, str):
        if not value.isascii() and value != value.encode("utf-8", "replace").decode():
            yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _halves(str(key), (*path, str(key)))
            yield from _halves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _halves(inner, (*path, number))


def check_tree(tree: Tree) -> Loaded:
    """The same from a document that is a mapping."""
    halves = [tree.problem(path, "holds half a character (a lone surrogate)", _WHOLE) for path in _halves(tree.data)]
    if halves:
        raise ConfigErrors(halves)
    problems = list(tree.problems)
    spec: ClusterSpec | None = None
    try:
        spec = Cluster.model_validate(tree.data).spec()
    except ValidationError as error:
        problems += field_problems(tree, error)
    findings = cross_check(sound_parts(tree.data))
    problems += [tree.problem(finding.path, finding.problem, finding.hint) for finding in findings if finding.refused]
    if problems or spec is None:
        raise ConfigErrors(problems)
    warnings = [
        tree.problem(finding.path, finding.problem, finding.hint) for finding in findings if not finding.refused
    ]
    return Loaded(spec, tuple(warnings), tree)


def field_problems(tree: Tree, error: ValidationError) -> list[Problem]:
    """The problems within single settings, with their places. A key that is missing because it was misspelt is
    one problem, not two."""
    problems: list[Problem] = []
    missing: list[Problem] = []
    meant: set[str] = set()
    for detail in error.errors(include_url=False):
        path: KeyPath = tuple(detail["loc"])
        if path[:2] in tree.unresolved:
            continue
        unknown, absent, key = detail["type"] == "extra_forbidden", detail["type"] == "missing", path[-1:] == _OF_KEY
        path = path[:-1] if key else path
        problem = tree.problem(path, *explain(Cluster, detail), of_key=unknown or key)
        (missing if absent else problems).append(problem)
        if unknown and (guess := closest(str(path[-1]), known_keys(Cluster, path[:-1]))):
            meant.add(show_path((*path[:-1], guess)))
    return problems + [detail for detail in missing if detail.path not in meant]
