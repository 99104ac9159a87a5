"""Fake users learned through LightGCN: what it propagates over, and its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpoison.attacks.profiles.unrolled import UnrolledAttack
from recpoison.idle import Together
from recpoison.models.lightgcn import LightGCN
from recpoison.training.trainer import Trainer


def quick_lightgcn() -> LightGCN:
    """A surrogate of few large steps: 104 on ml_100k."""
    trainer = Trainer(8, 8192, optimizer="adam", learning_rate=0.05, eps=1e-8)
    return LightGCN(embedding_size=32, layers=2, trainer=trainer)


@dataclass(frozen=True, kw_only=True)
class BilevelLightGCNAttack(UnrolledAttack):
    """The injection attack of Tang, Wen and Wang 2020 with LightGCN as the surrogate; no paper has this one.

    A fake user's value of an item is the weight of their edge, x / sqrt(d_u d_i) in the normalised adjacency with
    degrees that are sums of values, and the weight of their pair in BPR. The objective is differentiated in all of it:
    the cells and the degrees, of fake users and of items, in the last propagation and in every unrolled step's two, and
    the weights in the loss, which a value has both as a positive and as a drawn negative. Published attacks on LightGCN
    learn embeddings and take a fake user's best items (FEO, GTA, CLeaR), so that no derivative goes through the graph.

    With ``unroll_steps: 0`` the gradient is the partial derivative: the trained tables are held, and only the last
    propagation is differentiated. It costs no more than a fit, and leaves out all that fake users do to the tables:
    that pairs are learned, and the graph that they were learned through. ``unroll_steps: n`` leaves out what they do
    before the last n steps, null nothing of it. Which pairs and negatives were drawn is never part of the gradient.

    Every iteration starts from the same initial values and draws, which come from streams of the attack, not of the
    victim. With zeros and ones the surrogate is LightGCN on the poisoned data, but for batches and negatives: see
    ``GraphInner``. An unrolled step costs about three steps of a fit.

    Args:
        surrogate: The attacker's own model, with ``sgd`` or ``adam``.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = LightGCN(4, layers=2, trainer=Trainer(epochs=10, optimizer="adam", learning_rate=0.1))
        >>> settings = {"n_fake_users": 2, "click_targets": True, "outer": OuterOptimizer(iterations=3)}
        >>> attack = BilevelLightGCNAttack(targets=Targets("list", [8]), surrogate=surrogate, **settings)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), (fakes.items == 8).sum().item()  # before and after each step; both click item 8
        (4, 2)
    """

    surrogate: LightGCN = field(default_factory=quick_lightgcn)

    def idle(self, parts: Together) -> dict[str, str]:
        """What is shifted in a surrogate that nobody shifts."""
        found = super().idle(parts) | {"surrogate.shifted": "nobody shifts the surrogate's embeddings"}
        if not self.surrogate.layers:
            found["surrogate.regularized"] = "layers is 0, so the final rows are those of layer 0"
        return found
