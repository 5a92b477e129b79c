"""Converts many files: worker processes, a manifest of what was done, a run that goes on where the last one stopped.

`plan` lists what is to be done, `choose` gives each file its voice, `worker` is the process that converts, `run` gives
out the work, `manifest` remembers it and checks a folder against it; `api` is for programs.
"""

from __future__ import annotations

from edgevc.batch.api import Mapper, convert_many
from edgevc.batch.run import Tally

__all__ = ["Mapper", "Tally", "convert_many"]
