"""Kind `manifest`: a file that a kubelet watches for."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from hactl.config.fields import FilePath, Name, Part, setting, wrong
from hactl.model import resources as of


class Manifest(Part):
    """A file that is in a directory while the group runs here: a static pod for the kubelet."""

    OF: ClassVar[Any] = of.ManifestOptions

    source: FilePath | None = setting("the file to copy, outside `directory`", None)
    content: str | None = setting("the text of the file, in place of `source`", None)
    directory: FilePath = setting("the directory that the kubelet watches", of.ManifestOptions().directory)
    name: Name | None = setting(
        "the file's name in `directory`; default: that of `source`, or the resource's name with `.yaml`", None
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source is None) == (self.content is None):
            given = "neither" if self.source is None else "both"
            raise wrong(f"has {given} of `source` and `content`", "give one of them")
        if self.source is not None and self.source.rpartition("/")[0] == self.directory.rstrip("/"):
            raise wrong(
                f"`source` {self.source} is in `directory`: it would run on every node",
                "keep the source elsewhere, such as /etc/kubernetes/hactl",
            )
        return self
