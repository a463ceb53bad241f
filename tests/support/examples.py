"""How many examples a property test draws: all of them in `make test`, a tenth in `make unit`. An example has no
deadline: how long it takes says how busy the machine is."""

from __future__ import annotations

from hypothesis import settings

QUICK = "quick"
_ALL = settings.default.max_examples
settings.register_profile(QUICK, max_examples=_ALL // 10, deadline=None)
settings.register_profile("all", max_examples=_ALL, deadline=None)
settings.load_profile("all")


def examples(number: int) -> int:
    """`number`, or a tenth of it in the profile QUICK (`pytest --hypothesis-profile quick`)."""
    return max(1, number * settings.default.max_examples // _ALL)
