"""HAProxy's file for each preset; HAProxy accepts it. `HACTL_UPDATE_GOLDEN=1 pytest tests/golden/presets` writes the
files anew: one preset of each kind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hactl.config.load import check_text, parse_cluster
from hactl.config.presets import presets
from hactl.haproxy.control.files import find_haproxy
from tests.golden.presets.test_presets_golden import HEAD, rendered, with_preset
from tests.support.control_plane import CERTIFICATE, EXAMPLES, write_certificate

SERVICES = [name for name, preset in presets().items() if preset.kind == "service"]

needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


def complaints(text: str, place: Path) -> str:
    """HAProxy's objections to the file; its warnings, too."""
    (place / "haproxy.health").write_text("1\n")
    file = place / "haproxy.cfg"
    file.write_text(text)
    argv = [find_haproxy("haproxy"), "-c", "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ALERT" in line or "WARNING" in line]
    return "\n".join(said) or ("" if done.returncode == 0 else done.stderr)


@needs_haproxy
@pytest.mark.parametrize("name", SERVICES)
def test_haproxy_takes_it(name: str, tmp_path: Path) -> None:
    assert complaints(rendered(with_preset(name), tmp_path), tmp_path) == ""


@needs_haproxy
def test_haproxy_takes_all_of_them_together(tmp_path: Path) -> None:
    listed = "".join(f"  - {{preset: {name}, binds: [10.0.0.{40 + i}]}}\n" for i, name in enumerate(SERVICES))
    assert complaints(rendered(parse_cluster(f"{HEAD}services:\n{listed}"), tmp_path), tmp_path) == ""


@needs_haproxy
@pytest.mark.parametrize("name", ["openstack", "kubernetes"])
def test_the_examples(name: str, tmp_path: Path) -> None:
    """Without a complaint of ours or HAProxy's, but for the files that are not on this machine."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    loaded = check_text(text, f"{name}.yaml")
    assert loaded.warnings == ()
    certificate = tmp_path / "cloud.pem"
    write_certificate(certificate)
    config = rendered(loaded.spec, tmp_path).replace(CERTIFICATE, str(certificate))
    assert complaints(config, tmp_path) == ""
