"""Curvature of the squared error over observed ratings, as products with vectors.

For the mean over N ratings of  (p_u.q_i - r)^2 + regularization/2 (|p_u|^2 + |q_i|^2),  with the error e = p_u.q_i - r
and a direction (V_P, V_Q), the Hessian's product is

    user row   1/N sum over the user's ratings of 2 (v_p.q + p.v_q) q + 2 e v_q + regularization v_p
    item row   1/N sum over the item's ratings of 2 (v_p.q + p.v_q) p + 2 e v_p + regularization v_q.

Gauss-Newton leaves out the terms with e and has no negative eigenvalue. Both tables stand in one, users above items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.curvature_kernels import add_curvature, add_slopes, errors_of

CURVATURES = ("hessian", "gauss_newton")
BLOCKS = ("full", "diagonal")
_CELLS = 1 << 20  # ratings handled at once where there is no kernel


@dataclass(frozen=True, eq=False)
class RatingCurvature:
    """(H + damping I) v of the rating loss at two tables, on their device: a numba kernel on a CPU, torch elsewhere.

    With ``blocks=diagonal`` the product of the user table with itself and that of the item table with itself remain;
    what couples a user with an item is dropped (as the APT authors' code does, which differentiates each table on its
    own). A score is linear in either table, so the terms with e stand in the dropped part alone: then ``hessian`` and
    ``gauss_newton`` are the same, and no eigenvalue is negative.

    Args:
        users: ``(n,)`` int64 row of each rating; sorted by user they are read quickest.
        items: ``(n,)`` int64.
        ratings: ``(n,)`` of the tables' type.
        user_table: ``(n_users, size)``, float32 or float64.
        item_table: ``(n_items, size)``.
        regularization: Weight of half the squared length of the two rows of a rating.
        curvature: ``hessian`` or ``gauss_newton``.
        blocks: ``full`` or ``diagonal``.
        damping: Added to the diagonal.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)  # loss (p q - 3)^2 at p = q = 1
        >>> here = RatingCurvature(torch.tensor([0]), torch.tensor([0]), torch.tensor([3.0]).double(), one, one)
        >>> here.gradient().flatten().tolist()
        [-4.0, -4.0]
        >>> here.product(torch.tensor([[1.0], [0.0]]).double()).flatten().tolist()  # 2 q q; 2 p q + 2 (p q - 3)
        [2.0, -2.0]
    """

    users: Tensor
    items: Tensor
    ratings: Tensor
    user_table: Tensor
    item_table: Tensor
    regularization: float = 0.0
    curvature: str = "hessian"
    blocks: str = "full"
    damping: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("curvature", CURVATURES), ("blocks", BLOCKS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        for name in ("user_table", "item_table"):
            object.__setattr__(self, name, getattr(self, name).detach().contiguous())

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Rows of the user table, which stand first in a joint one."""
        return len(self.user_table)

    @cached_property
    def errors(self) -> Tensor:
        """``(n,)`` p_u.q_i - r."""
        errors = torch.empty_like(self.ratings)
        if self._on_cpu:
            errors_of(*self._tables, *self._rows, self.ratings.numpy(), errors.numpy())
            return errors
        for cells in self._all.split(_CELLS):
            p, q = self._gathered(self.user_table, self.item_table, cells)
            errors[cells] = (p * q).sum(1) - self.ratings[cells]
        return errors

    def gradient(self) -> Tensor:
        """Of the loss, ``(n_users + n_items, size)``."""
        gradient = self.weighted(2 / len(self) * self.errors)
        if self.regularization:
            gradient.add_(self._decay(torch.cat([self.user_table, self.item_table])))
        return gradient

    def weighted(self, slopes: Tensor) -> Tensor:
        """Gradient of the sum over ratings of ``slopes`` ``(n,)`` times the score, ``(n_users + n_items, size)``."""
        sums = self._zeros()
        user, item = sums[: self.n_users], sums[self.n_users :]
        slopes = slopes.to(self.ratings.dtype)
        if self._on_cpu:
            add_slopes(*self._tables, *self._rows, slopes.numpy(), user.numpy(), item.numpy())
            return sums
        for cells in self._all.split(_CELLS):
            p, q = self._gathered(self.user_table, self.item_table, cells)
            slope = slopes[cells].unsqueeze(1)
            user.index_add_(0, self.users[cells], slope * q)
            item.index_add_(0, self.items[cells], slope * p)
        return sums

    def product(self, v: Tensor, chosen: Tensor | None = None) -> Tensor:
        """(H + damping I) ``v``.

        Args:
            v: ``(n_users + n_items, size)``, users first.
            chosen: Places of ratings; H is then that of their mean, as on a batch. None: all.
        """
        v = v.to(self.ratings.dtype).contiguous()
        sums = self.damping * v
        if self.regularization:
            sums.add_(self._decay(v, chosen))
        chosen = self._all if chosen is None else chosen
        (self._add_by_kernel if self._on_cpu else self._add_in_bulk)(v, chosen, sums)
        return sums

    def _add_by_kernel(self, v: Tensor, chosen: Tensor, sums: Tensor) -> None:
        n, errors = self.n_users, self.errors.numpy()
        v_user, v_item, user, item = (part.numpy() for whole in (v, sums) for part in (whole[:n], whole[n:]))
        tables = (*self._tables, v_user, v_item)
        figures = (errors.dtype.type(2 / len(chosen)), self._coupled, self._bent)
        add_curvature(*tables, *self._rows, errors, chosen.numpy(), *figures, user, item)

    def _add_in_bulk(self, v: Tensor, chosen: Tensor, sums: Tensor) -> None:
        n, scale = self.n_users, 2 / len(chosen)
        for cells in chosen.split(_CELLS):
            p, q = self._gathered(self.user_table, self.item_table, cells)
            v_p, v_q = self._gathered(v[:n], v[n:], cells)
            left, right = scale * (v_p * q).sum(1, keepdim=True), scale * (p * v_q).sum(1, keepdim=True)
            if self._coupled:
                left = right = left + right
            user, item = left * q, right * p
            if self._bent:
                bend = scale * self.errors[cells].unsqueeze(1)
                user, item = user + bend * v_q, item + bend * v_p
            sums.index_add_(0, self.users[cells], user).index_add_(0, self.items[cells] + n, item)

    def _decay(self, joint: Tensor, chosen: Tensor | None = None) -> Tensor:
        """What the regulariser of the ``chosen`` ratings makes of a joint table."""
        users, items = (self.users, self.items) if chosen is None else (self.users[chosen], self.items[chosen])
        n, n_items = self.n_users, len(self.item_table)
        counts = torch.cat([self._occurrences(users, n), self._occurrences(items, n_items)])
        return self.regularization / len(users) * counts.to(joint.dtype).unsqueeze(1) * joint

    def _occurrences(self, numbers: Tensor, n: int) -> Tensor:
        """How often each number below ``n`` is there; the host waits for a device's ``bincount``."""
        if self._on_cpu:
            return torch.bincount(numbers, minlength=n)
        return torch.zeros(n, dtype=torch.int64, device=numbers.device).index_add_(0, numbers, torch.ones_like(numbers))

    @property
    def _coupled(self) -> bool:
        return self.blocks == "full"

    @property
    def _bent(self) -> bool:
        return self.blocks == "full" and self.curvature == "hessian"

    @property
    def _on_cpu(self) -> bool:
        return self.user_table.device.type == "cpu"

    @property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        return self.user_table.numpy(), self.item_table.numpy()

    @property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        return self.users.numpy(), self.items.numpy()

    @cached_property
    def _all(self) -> Tensor:
        return torch.arange(len(self), device=self.users.device)

    def _zeros(self) -> Tensor:
        return self.user_table.new_zeros(self.n_users + len(self.item_table), self.user_table.shape[1])

    def _gathered(self, user: Tensor, item: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        return user.index_select(0, self.users[cells]), item.index_select(0, self.items[cells])
