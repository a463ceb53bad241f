"""YAML 1.2 as plain data, with the place of every key and value. Duplicate keys are problems, all at once.

Taken from ruamel.yaml's node graph, not from its round-trip types: the graph has a mark for every scalar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hactl.config.errors import KeyPath, Place, Problem, show_path

# Aliases may make a small text into a huge tree; no real configuration is near this.
_MAX_NODES = 200_000

_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Tree:
    """A document. `data`: plain dicts, lists and scalars; `keys`, `values`: where they are. `unresolved`: the paths of
    services and groups whose preset is not there, so that nothing else can be said of them."""

    file: str
    data: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unresolved: set[KeyPath] = field(default_factory=set)

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place | None:
        """Where `path` is, or the nearest thing around it that is there; `of_key`: its key, not its value."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path)

    def problem(self, path: KeyPath, problem: str, hint: str, *, of_key: bool = False) -> Problem:
        """A problem at `path`."""
        return Problem(self.file, show_path(path), problem, hint, self.place(path, of_key=of_key))


def read_yaml(text: str, file: str) -> Tree:
    """Read one document. A text that is not YAML gives a tree with that problem and no data."""
    tree = Tree(file)
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        hint = "put a text that begins with `*` or `&` in quotes" if "alias" in reason else ""
        tree.problems.append(Problem(file, "", f"is not YAML: {reason}", hint, _place(mark) if mark else None))
    except (YAMLError, RecursionError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        tree.problems.append(Problem(file, "", f"is not YAML: {first_line}", ""))
    else:
        if root is not None:
            tree.data = _Builder(tree).build(root, ())
    return tree


def _place(mark: StreamMark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Builder:
    """Walks the node graph; keeps the nodes it is inside of, to refuse an alias to one of them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._inside: set[int] = set()
        self._count = 0

    def build(self, node: Node, path: KeyPath) -> Any:
        self._tree.values.setdefault(path, _place(node.start_mark))
        self._count += 1
        if self._count > _MAX_NODES or id(node) in self._inside:
            if self._count <= _MAX_NODES + 1:
                self._add(path, "is an alias that makes the document endless", "write out what is meant")
            return None
        self._inside.add(id(node))
        try:
            return self._construct(node, path)
        finally:
            self._inside.discard(id(node))

    def _construct(self, node: Node, path: KeyPath) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(element, (*path, index)) for index, element in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._add(path, "has a key that is no text", "write `key: value`", _place(key_node.start_mark))
                continue
            key = str(key_node.value)
            here, place = (*path, key), _place(key_node.start_mark)
            if key in data:
                first = self._tree.keys[here].line
                self._add(here, f"is there twice, first in line {first}", "leave out one of them", place)
                continue
            self._tree.keys[here] = place
            data[key] = self.build(value_node, here)
        return data

    def _scalar(self, node: Node, path: KeyPath) -> Any:
        text, tag = str(node.value), str(node.tag)
        try:
            match tag.removeprefix(_TAG):
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return _int(text)
                case "float":
                    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
                case "str" | "timestamp":
                    return text
        except ValueError:
            return text
        self._add(path, f"has the tag {tag}, which means nothing here", "leave it out")
        return None

    def _add(self, path: KeyPath, problem: str, hint: str, place: Place | None = None) -> None:
        self._tree.problems.append(
            Problem(self._tree.file, show_path(path), problem, hint, place or self._tree.place(path))
        )


def _int(text: str) -> int:
    plain = text.replace("_", "")
    return int(plain, 0) if plain.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else int(plain)
