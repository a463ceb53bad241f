"""The template of HAProxy's configuration file, read once."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

# In a checkout `hactl/templates` is a link to the top level's; in a wheel it is a directory.
TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


@functools.cache
def template() -> jinja2.Template:
    """`templates/haproxy.cfg.j2`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("haproxy.cfg.j2")
