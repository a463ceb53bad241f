"""The documents are true: commands exist, generated pages are current, the examples of deploy/ load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT, UNITS, etcd_settings
from tools.grafana.rows import ROWS


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
@pytest.mark.parametrize(
    "words",
    [("check", "rules", "deploy/prometheus/alerts.yaml"), ("test", "rules", "tests/golden/prometheus/alerts.yaml")],
    ids=["syntax", "what fires"],
)
def test_alerts_as_promtool_sees_them(words: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_the_dashboards_expressions_as_promtool_sees_them(tmp_path: Path) -> None:
    exprs = [query.expr.replace("@", 'cluster="c"') for row in ROWS for panel in row.panels for query in panel.queries]
    plain = [expr.replace("$__rate_interval", "5m").replace("$__range", "1h") for expr in exprs]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(plain)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    argv = ["promtool", "check", "rules", "--lint=none", str(tmp_path / "rules.json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("etcd") is None, reason="needs etcd")
def test_etcd_knows_its_settings() -> None:
    shown = subprocess.run(["etcd", "--help"], capture_output=True, text=True, timeout=30, check=False)
    flags = set(re.findall(r"--([a-z][a-z-]+)", shown.stdout + shown.stderr))
    assert {etcd_setting.removeprefix("ETCD_").lower().replace("_", "-") for etcd_setting in etcd_settings()} <= flags


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", list(UNITS))
def test_units_as_systemd_sees_them(unit: str, tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", (ROOT / UNITS[unit]).read_text(), flags=re.MULTILINE)
    if unit.endswith(".timer"):
        (tmp_path / unit).with_suffix(".service").write_text("[Service]\nExecStart=/bin/true\n")
    elif "ExecStart=" not in text:  # a drop-in
        text = text.replace("[Service]", "[Service]\nExecStart=/bin/true")
    (tmp_path / unit).write_text(text)
    argv = ["systemd-analyze", "verify", "--man=no", "--generators=no", str(tmp_path / unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if unit in line]
    assert complaints == []
