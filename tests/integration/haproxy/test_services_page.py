"""Every example of docs/services.md is one that works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from hactl.config.load import check_text
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from tests.golden.haproxy.test_haproxy_themes import CLUSTER
from tests.integration.haproxy.test_themes import TLS_FILES
from tests.support.haproxy_accepts import SETTINGS, make_tls_files, objections

PAGE = Path(__file__).parents[3] / "docs" / "services.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def whole(example: str) -> str:
    """A cluster with the example; groups of its own come before those of the cluster."""
    groups, services, rest = example.partition("services:\n") if example.startswith("groups:\n") else ("", "", example)
    return (CLUSTER.replace("groups:\n", groups, 1) if groups else CLUSTER) + services + rest


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_accepted(number: int, tmp_path: Path) -> None:
    loaded = check_text(whole(EXAMPLES[number]), "services.md")
    assert [str(warning) for warning in loaded.warnings if "switch off" not in str(warning)] == []
    text = render(loaded.spec, Routing(frozenset({"n1", "n2", "n3"})), "n1", SETTINGS)
    assert objections(text.replace(TLS_FILES, str(make_tls_files(tmp_path))), tmp_path) == []
