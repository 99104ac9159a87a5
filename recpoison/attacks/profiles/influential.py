"""Which users a model's predictions of the targets rest on."""

from __future__ import annotations

import torch
from torch import Tensor

from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.data.interactions import Interactions
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.influence import InverseCurvature
from recpoison.training.ratings import shares_of_scale


def influence_by_curvature(
    form: ClosedForm, data: Interactions, targets: Tensor, inverse: InverseCurvature, seeds: Seeds, progress: Progress
) -> Tensor:
    """What each user's ratings add to the targets' predictions over users who lack them (Koh and Liang, ICML 2017).

    With F the sum of these predictions and L the mean loss over N ratings, leaving out a rating z moves the solution by
    H^-1 grad l(z) / N, so the influence of a user is the sum over their ratings of -grad F' H^-1 grad l(z) / N. The
    part with H^-1 is the same for all: one system.

    Args:
        form: MF, as it was fitted to the real users.
        data: Their ratings.
        targets: ``(n_targets,)``.
        inverse: How the system is solved.
        seeds: Of its batches.
        progress: Hears where it is not solved to the end.

    Returns:
        ``(n_users,)``: how much lower the sum would be without them.
    """
    users, items = (torch.tensor(ids, device=form.users.device) for ids in (data.users, data.items))
    ratings = torch.from_numpy(shares_of_scale(data)).to(form.users)
    tables = {"user": form.users, "item": form.fitted_items}
    here = inverse.at(users, items, ratings, tables, form.regularization)
    lacking = form.lacking(targets)
    of_items = torch.zeros_like(form.fitted_items).index_copy_(0, targets, lacking.T @ form.users)
    slope = torch.cat([lacking @ form.fitted_items[targets], of_items])
    x_user, x_item = inverse.solve(here, slope, seeds, progress, "attack.inverse").split(
        [len(form.users), data.n_items]
    )
    moved = torch.empty_like(ratings)
    for cells in torch.arange(len(ratings), device=users.device).split(1 << 20):
        u, i = users[cells], items[cells]
        p, q, x_p, x_q = form.users[u], form.fitted_items[i], x_user[u], x_item[i]
        # x . grad l(z) of (p.q - r)^2 + regularization/2 (|p|^2 + |q|^2)
        moved[cells] = 2 * here.errors[cells] * (x_p * q + p * x_q).sum(1)
        moved[cells] += form.regularization * (x_p * p + x_q * q).sum(1)
    return torch.zeros_like(form.users[:, 0]).index_add_(0, users, -moved / len(ratings))


def influence_in_closed_form(form: ClosedForm, targets: Tensor) -> Tensor:
    """The same of a surrogate whose every item is a regression over all users, exactly: users' vectors are held.

    Without user k, of weight w and value x at a target, its vector moves by -(x - p_k.q) w A^-1 p_k / (1 - w p_k'A^-1
    p_k).

    Args:
        form: WRMF.
        targets: ``(n_targets,)``.

    Returns:
        ``(n_users,)``: how much lower the sum of the targets' predictions over users who lack them would be.
    """
    users, lacking = form.users, form.lacking(targets)
    inverses = torch.linalg.inv(form.lefts[targets])
    total = torch.zeros_like(users[:, 0])
    for number, (target, inverse) in enumerate(zip(targets.tolist(), inverses, strict=True)):
        has = 1 - lacking[:, number]
        weight = form.unrated + (1 - form.unrated) * has
        carried = users @ inverse
        change = weight * (has / weight - users @ form.clean[target]) / (1 - weight * (carried * users).sum(1))
        total += change * (carried @ (lacking[:, number] @ users))
    return total
