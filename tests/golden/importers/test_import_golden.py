"""Files of HAProxy's as they are imported, and what hactl makes of them.

`NAME.cfg` becomes `NAME.yaml`, with what was said in `NAME.notes`, and is rendered as `NAME.rendered`.
`HACTL_UPDATE_GOLDEN=1 pytest tests/golden/importers` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hactl.config.load import parse_cluster
from hactl.config.yaml_tree import read_yaml
from hactl.importers.haproxy.imported import Imported, import_text
from hactl.importers.haproxy.written import as_yaml, report

HERE = Path(__file__).parent

NAMES = sorted(file.stem for file in HERE.glob("*.cfg"))

OF_HACTL = ("#", "global", "defaults hactl")

CLUSTER = "cluster: demo\nnodes: [{name: n1, address: 10.0.0.11}]\n"


def imported(name: str) -> Imported:
    return import_text((HERE / f"{name}.cfg").read_text(), f"{name}.cfg")


def of_the_file(rendered: str) -> str:
    """What was rendered without what hactl writes into every file."""
    return "\n\n".join(part for part in rendered.split("\n\n") if not part.startswith(OF_HACTL))


@pytest.mark.parametrize("name", NAMES)
def test_as_it_was_imported(name: str) -> None:
    result = imported(name)
    made = {
        f"{name}.yaml": as_yaml(result),
        f"{name}.notes": "\n".join(report(result.notes)) + "\n",
        f"{name}.rendered": of_the_file(result.rendered),
    }
    if os.environ.get("HACTL_UPDATE_GOLDEN"):
        for file, text in made.items():
            (HERE / file).write_text(text)
    assert made == {file: (HERE / file).read_text() for file in made}


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_is_that_of_the_import_and_is_taken(name: str) -> None:
    text = (HERE / f"{name}.yaml").read_text()
    assert read_yaml(text, name).data == imported(name).document
    assert len(parse_cluster(CLUSTER + text).services) == len(imported(name).document["services"])


@pytest.mark.parametrize("name", NAMES)
def test_what_was_rendered_is_imported_to_the_same(name: str) -> None:
    result = imported(name)
    again = import_text(result.rendered, name)
    assert again.document["services"] == result.document["services"] and again.whole
    for key in ("sections", "userlists", "defaults"):
        assert again.document["haproxy"].get(key) == result.document["haproxy"].get(key)
