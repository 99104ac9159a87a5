"""What adversarial training has in common, whatever shifts the embeddings."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import final

import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.adversarial import adversarial
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.optimizers import State, slots
from recpoison.training.trainer import Trainable, Trainer, result


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining(Defense):
    """Plain training, then training on the loss plus ``weight`` times the loss at shifted embeddings.

    The model's own trainer, batches and random streams are used, so that every epoch sees the pairs it would see
    without the defense. With weight 0 there is no defense: the model's own fit, without a restart. Where an epoch is
    selected, it is one of those with the adversary, as in the authors' code; a curve shows them all.

    Args:
        weight: Of the second loss; 1 in the paper.
        from_epoch: Epochs of plain training before the adversary comes in; None: half of the model's, as the authors
            did (1,000 of 2,000). A perturbation means little while embeddings are near 0.
        restart_optimizer: Whether the optimiser forgets its sums then: the authors built a new graph that read
            embeddings only, so Adagrad's sums restart and the first steps are large again.

    Raises:
        ConfigError: If a value is out of range.
    """

    weight: float = ranged(1.0, low=0.0)
    from_epoch: int | None = ranged(None, low=0, null="half")
    restart_optimizer: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "defense")
        self.inner_attack()

    def idle(self, parts: Together) -> dict[str, str]:
        """All but the weight where that is 0; a restart where nothing is remembered."""
        found = super().idle(parts)
        if self.weight == 0:
            others = (field.name for field in fields(self) if field.name != "weight")
            return found | dict.fromkeys(others, "weight is 0, which is plain training")
        trainer = parts.model.trainer
        if trainer.optimizer == "sgd":
            found["restart_optimizer"] = "model.trainer.optimizer is sgd, which remembers nothing"
        elif self._begin(trainer) == 0:
            found["restart_optimizer"] = "the adversary comes in at once"
        return found

    @property
    def perturbs(self) -> bool:
        """Where the second loss counts."""
        return self.weight != 0

    @property
    def reads_values(self) -> bool:
        """The model's own loss is all it looks at."""
        return False

    @abstractmethod
    def inner_attack(self) -> InnerAttack:
        """How embeddings are shifted."""

    @final
    def check_model(self, model: Model) -> None:
        """See whether ``model`` can be trained so.

        Raises:
            IncompatibleParts: If it has no gradient, or is not trained on what the settings need.
            ConfigError: If its trainer's settings leave no room for the adversary.
        """
        if not isinstance(model, Trainable) or not model.tables:
            raise IncompatibleParts(
                "adversarial training needs a model that names its embeddings and has a gradient, and "
                f"{type(model).__name__} does not: choose model=bprmf or mf, or another defense"
            )
        trainer, begin = model.trainer, self.from_epoch or 0
        if begin and begin >= trainer.epochs:
            raise ConfigError(
                f"defense.from_epoch is {begin}, but model.trainer.epochs is {trainer.epochs}, so the adversary would "
                "never come in: lower the one or raise the other"
            )
        if self.inner_attack().unit == "instance":
            self._check_instances(model, trainer)

    def _check_instances(self, model: Model, trainer: Trainer) -> None:
        """A shift of each triple's own rows needs triples of rows that are shifted."""
        name, setting = type(model).__name__, "defense.unit=instance"
        if not any(field.name == "unit" for field in fields(self)):
            setting = type(self).__name__
        if not isinstance(model, BPRMF | LightGCN):
            raise IncompatibleParts(
                f"{setting} needs a model trained on triples, and {name} is not: choose model=bprmf or lightgcn, or "
                "defense=apr with defense.unit=row_batch"
            )
        if isinstance(model, LightGCN) and model.shifted != "final":
            raise ConfigError(f"{setting} shifts the rows of a triple, after propagation: set model.shifted=final")
        if trainer.backend == "numba" and not self.inner_attack().in_one_step:
            raise ConfigError(f"{setting} has a numba kernel for one step alone: set model.trainer.backend=auto")

    @final
    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Fitted:
        """Fit ``model`` on ``data``, with the adversary from ``from_epoch`` on.

        Raises:
            IncompatibleParts: If the model cannot be trained so.
            Diverged: If a loss is no longer finite.
        """
        self.check_model(model)
        if self.weight == 0 or not isinstance(model, Trainable):
            return model.fitted(data, seeds, device, progress, monitor)
        trainer, plain = model.trainer, model.objective(data, seeds, device)
        params = model.start(data, seeds, device)
        begin = self._begin(trainer)
        watched = None if monitor is None else replace(monitor, score=None)
        state = replace(trainer, epochs=begin).run(plain, trainer.start(params), progress, watched)
        if self.restart_optimizer:
            state = _restarted(trainer, state)
        attacked = adversarial(plain, model, self.inner_attack(), self.weight)
        return Fitted(model, result(trainer.run(attacked, state, progress, monitor)), data)

    def _begin(self, trainer: Trainer) -> int:
        """Epochs without the adversary."""
        return trainer.epochs // 2 if self.from_epoch is None else self.from_epoch


def _restarted(trainer: Trainer, state: State) -> State:
    """The same epoch and parameters, and nothing else remembered."""
    return trainer.start(slots(state, "param")) | {"epoch": state["epoch"]}
