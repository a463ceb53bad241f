"""Kind `manifest`: files that a kubelet watches for."""

from __future__ import annotations

from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from hactl.config.fields import Argv, FilePath, Name, Part, setting, wrong
from hactl.model import resources as of


class PodSight(Part):
    """How it is seen whether the pod has gone, or runs. Several together must all say so."""

    OF: ClassVar[Any] = of.PodSight

    command: Argv | None = setting(
        "a command whose exit status 0 says so", None, examples=[["/usr/local/sbin/no-container", "kube-scheduler"]]
    )
    kubelet: str | None = setting(
        "the URL of the kubelet's list of pods (its read-only port). It says what the kubelet wants to run: a pod may "
        "be missing in it while its containers are still being stopped",
        None,
        examples=["http://127.0.0.1:10255/pods"],
    )
    process: Name | None = setting(
        "the name of the pod's program. Every process of it on this machine counts as the pod's, and is killed where "
        "the pod must be stopped at once",
        None,
        examples=["kube-scheduler"],
    )

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if self.command is None and self.kubelet is None and self.process is None:
            raise wrong("says not how", "give `process`, `command` or `kubelet`")
        if self.kubelet is not None:
            try:
                parts = urlsplit(self.kubelet)
                good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
            except ValueError:
                good = False
            if not good:
                raise wrong(
                    f"`{self.kubelet}` is no URL that begins with http://", "such as `http://127.0.0.1:10255/pods`"
                )
        return self


class Manifest(Part):
    """Files that are in a directory while the group runs here: static pods for the kubelet."""

    OF: ClassVar[Any] = of.ManifestOptions

    source: FilePath | None = setting("the file to copy, outside `directory`", None)
    sources: list[FilePath] | None = setting(
        "several files to copy, in place of `source`: all of them or none", None, min_length=1
    )
    content: str | None = setting("the text of the file, in place of `source`", None)
    directory: FilePath = setting("the directory that the kubelet watches", of.ManifestOptions().directory)
    name: Name | None = setting(
        "the file's name in `directory`; default: that of `source`, or the resource's name with `.yaml`", None
    )
    gone: PodSight | None = setting(
        "how the pod is seen to have gone: only then the group is released; default: not at all", None
    )
    running: PodSight | None = setting(
        "how the pod is seen to run, after a start and by the monitor; default: not at all", None
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("source", "sources", "content") if getattr(self, name) is not None]
        if len(given) != 1:
            words = "none" if not given else "several"
            raise wrong(f"has {words} of `source`, `sources` and `content`", "give one of them")
        paths = self.sources or ([self.source] if self.source is not None else [])
        for path in paths:
            if path.rpartition("/")[0] == self.directory.rstrip("/"):
                raise wrong(
                    f"`{given[0]}` {path} is in `directory`: it would run on every node",
                    "keep the source elsewhere, such as /etc/kubernetes/hactl",
                )
        names = [path.rpartition("/")[2] for path in paths]
        if len(set(names)) != len(names):
            raise wrong("`sources` has two files of one name", "give each a name of its own")
        if self.sources is not None and self.name is not None:
            raise wrong("has `sources` and `name`", "leave out `name`: each file has the name of its source")
        return self

    def files(self, resource: str) -> list[str]:
        """The files that it puts into `directory`, as the resource of this name."""
        paths = self.sources or ([self.source] if self.source is not None else [])
        names = [self.name] if self.name else [path.rpartition("/")[2] for path in paths] or [f"{resource}.yaml"]
        return [f"{self.directory.rstrip('/')}/{name}" for name in names]
