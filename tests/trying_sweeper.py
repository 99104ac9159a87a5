"""A sweeper that decides as it goes, as simple as can be: it stands in for Optuna's, and keeps what it is told."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class Trying(Sweeper):
    """Tries seeds one after the other; a job that raised is a failure, whatever it returned."""

    told: ClassVar[list[float | str | None]] = []

    def __init__(self, direction: str, seeds: list[int], gives_up: bool) -> None:
        self.seeds, self.gives_up = seeds, gives_up

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        for number, seed in enumerate(self.seeds):
            (done,) = self.launcher.launch([[*arguments, f"seed={seed}"]], initial_job_idx=number)
            try:
                Trying.told.append(done.return_value)
            except Exception as error:
                Trying.told.append(str(error))
                if self.gives_up:
                    raise


Trying.__module__ = "hydra_plugins.trying"  # Hydra takes plugins from there alone
Plugins.instance().register(Trying)
sys.modules["hydra_plugins.trying"] = sys.modules[__name__]
node = {"_target_": "hydra_plugins.trying.Trying", "direction": "maximize", "seeds": [0, 1, 2], "gives_up": False}
ConfigStore.instance().store(group="hydra/sweeper", name="trying", node=node)
