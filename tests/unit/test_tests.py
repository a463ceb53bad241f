"""Every test can fail: it asserts, expects an exception, or calls a helper that does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# Helpers of other files that fail the test: those that begin with `await_`, and these. With `fuzzed`, an exception of
# the code under test is the failure.
HELPERS = frozenset(
    {"assert_counts", "fail", "fuzzed", "judged", "looked", "promised", "raises", "until", "until_seen", "victim_first"}
    | {"wait_for", "wait_until", "warns"}
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def calls(tree: ast.AST) -> set[str]:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        call.attr if isinstance(call, ast.Attribute) else call.id
        for call in called
        if isinstance(call, ast.Attribute | ast.Name)
    }


def fails(function: ast.AST) -> bool:
    """Whether it can fail by an assertion, or by a helper's."""
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    return any(name in HELPERS or name.startswith("await_") for name in calls(function))


def vacuous(node: ast.Assert) -> bool:
    """Whether it holds whatever happens: a constant, a tuple that is not empty, a thing beside itself."""
    test = node.test
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Tuple | ast.List):
        return bool(test.elts)
    return (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and not calls(test)
        and ast.dump(test.left) == ast.dump(test.comparators[0])
    )


def cannot_fail(tree: ast.Module) -> list[str]:
    """Tests that neither assert nor call a function that does, here or in HELPERS; assertions that always hold."""
    known = {function.name: function for function in functions(tree)}
    failing = {name for name, function in known.items() if fails(function)}
    while more := {name for name, function in known.items() if calls(function) & failing} - failing:
        failing |= more
    tests = [name for name in known if name.startswith("test_") and name not in failing]
    return tests + [
        f"line {statement.lineno}"
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assert) and vacuous(statement)
    ]


FILES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("file", FILES)
def test_every_test_can_fail(file: str) -> None:
    assert cannot_fail(ast.parse((TESTS / file).read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n run()",
        "def test_a():\n helper()\ndef helper():\n run()",
        "assert True",
        "assert (a, 'message')",
        "assert a == a",
    ],
)
def test_what_cannot_fail_is_named(text: str) -> None:
    assert len(cannot_fail(ast.parse(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n assert run()",
        "def test_a():\n with pytest.raises(OSError):\n  run()",
        "def test_a():\n helper()\ndef helper():\n assert run()",
        "assert next(a) == next(a)",
    ],
)
def test_what_can_fail_is_not(text: str) -> None:
    assert cannot_fail(ast.parse(text)) == []
