"""Where groups should run: one pure function for the whole cluster (docs/placement.md).

`rules` holds what the configuration says, `eligible` which nodes a group may run on now, `solve` finds the best
assignment, `plan` is what everybody else uses. `board` knows what relations forbid, for all of them.
"""
