"""The curvature of the rating loss against autograd, finite differences and the matrix itself."""

from dataclasses import replace

import pytest
import torch
from small_curvature import DECAY, KINDS, N_ITEMS, N_USERS, SIZE, direction, matrix, problem

from recpoison.algebra.curvature import RatingCurvature


def loss(here: RatingCurvature, joint: torch.Tensor, chosen=slice(None), scores=None) -> torch.Tensor:
    """As ``models.mf`` writes it."""
    p, q = joint[here.users[chosen]], joint[here.n_users + here.items[chosen]]
    scores = (p * q).sum(1) if scores is None else scores
    return ((scores - here.ratings[chosen]).square() + DECAY / 2 * (p.square().sum(1) + q.square().sum(1))).mean()


def joint_tables(here: RatingCurvature) -> torch.Tensor:
    return torch.cat([here.user_table, here.item_table])


def dense_hessian(here: RatingCurvature, scores_of=None) -> torch.Tensor:
    def value(flat):
        joint = flat.view(-1, SIZE)
        return loss(here, joint, scores=None if scores_of is None else scores_of(joint))

    return torch.autograd.functional.hessian(value, joint_tables(here).flatten())


def dense_gauss_newton(here: RatingCurvature) -> torch.Tensor:
    """J'J of the scores with the regulariser."""
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: (flat.view(-1, SIZE)[here.users] * flat.view(-1, SIZE)[here.n_users + here.items]).sum(1),
        joint_tables(here).flatten(),
    )
    rows = torch.cat([here.users, here.n_users + here.items])
    counts = torch.bincount(rows, minlength=N_USERS + N_ITEMS).double().repeat_interleave(SIZE)
    return 2 / len(here) * jacobian.T @ jacobian + torch.diag(DECAY / len(here) * counts)


def without_cross(whole: torch.Tensor) -> torch.Tensor:
    kept, n = whole.clone(), N_USERS * SIZE
    kept[:n, n:] = kept[n:, :n] = 0
    return kept


def test_hand_arithmetic():
    # One rating of 3 at p = (1, 2), q = (1, 0): e = -2. Along v_p = (1, 1), v_q = 0: v_p.q = 1,
    # user row 2 q = (2, 0), item row 2 p + 2 e v_p = (2, 4) + (-4, -4) = (-2, 0).
    tables = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[1.0, 0.0]]).double()
    here = RatingCurvature(torch.tensor([0]), torch.tensor([0]), torch.tensor([3.0]).double(), *tables)
    v = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double()
    assert here.product(v).tolist() == [[2.0, 0.0], [-2.0, 0.0]]
    assert replace(here, curvature="gauss_newton").product(v).tolist() == [[2.0, 0.0], [2.0, 4.0]]
    assert replace(here, blocks="diagonal", damping=0.5).product(v).tolist() == [[2.5, 0.5], [0.0, 0.0]]
    assert here.gradient().tolist() == [[-4.0, 0.0], [-4.0, -8.0]]


def test_gradient_is_autograds():
    here = problem()
    joint = joint_tables(here).requires_grad_()
    torch.testing.assert_close(here.gradient(), torch.autograd.grad(loss(here, joint), joint)[0], rtol=1e-12, atol=0)


def test_product_is_autograds_double_backward():
    here = problem()
    joint = joint_tables(here).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(here, joint), joint, create_graph=True)
    (expected,) = torch.autograd.grad(gradient, joint, direction())
    torch.testing.assert_close(here.product(direction()), expected, rtol=1e-8, atol=1e-14)


def test_product_is_the_finite_difference_of_the_gradient():
    """The gradient is a cubic polynomial, so the central difference is off by the third derivative alone: h^2."""
    here, v, h = problem(), direction(), 1e-5

    def gradient(sign: int) -> torch.Tensor:
        moved = joint_tables(here) + sign * h * v
        return replace(here, user_table=moved[:N_USERS], item_table=moved[N_USERS:]).gradient()

    difference = (gradient(1) - gradient(-1)) / (2 * h)
    assert (here.product(v) - difference).norm() < 1e-8 * difference.norm()


@pytest.mark.parametrize(("curvature", "blocks"), KINDS)
def test_each_kind_is_the_matrix_it_says(curvature, blocks):
    here = problem(curvature, blocks, damping=0.7)
    whole = dense_hessian(here) if curvature == "hessian" else dense_gauss_newton(here)
    whole = whole if blocks == "full" else without_cross(whole)
    expected = whole + 0.7 * torch.eye(len(whole), dtype=torch.float64)
    torch.testing.assert_close(matrix(here), expected, rtol=1e-10, atol=1e-13)


def test_gauss_newton_and_diagonal_blocks_have_no_negative_eigenvalue_but_the_hessian_has():
    smallest = {kind: torch.linalg.eigvalsh(matrix(replace(problem(*kind), regularization=0.0)))[0] for kind in KINDS}
    assert smallest.pop(("hessian", "full")) < -1e-3
    assert all(value > -1e-14 for value in smallest.values())


def test_without_cross_blocks_both_curvatures_are_one():
    one, other = (problem(curvature, "diagonal").product(direction()) for curvature in ("hessian", "gauss_newton"))
    assert torch.equal(one, other)


@pytest.mark.parametrize(("curvature", "blocks"), KINDS)
def test_a_batch_is_the_loss_of_its_ratings_alone(curvature, blocks):
    here, chosen = problem(curvature, blocks, 0.1), torch.tensor([3, 0, 8, 2])
    alone = replace(here, users=here.users[chosen], items=here.items[chosen], ratings=here.ratings[chosen])
    torch.testing.assert_close(here.product(direction(), chosen), alone.product(direction()), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("curvature", "blocks"), KINDS)
def test_in_bulk_is_the_kernel(curvature, blocks, monkeypatch):
    """What a GPU runs, on a CPU and in blocks of 4 ratings."""
    here, chosen = problem(curvature, blocks, 0.1), torch.tensor([3, 0, 8, 2, 1])
    slopes = torch.arange(len(here)).double()
    expected = here.product(direction()), here.product(direction(), chosen), here.gradient(), here.weighted(slopes)
    monkeypatch.setattr("recpoison.algebra.curvature._CELLS", 4)
    monkeypatch.setattr(RatingCurvature, "_on_cpu", False)
    here = problem(curvature, blocks, 0.1)
    found = here.product(direction()), here.product(direction(), chosen), here.gradient(), here.weighted(slopes)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_single_precision_is_as_good_as_it_can_be():
    single, double = problem(dtype=torch.float32), problem()
    assert single.product(direction(dtype=torch.float32)).dtype == torch.float32
    torch.testing.assert_close(single.product(direction()).double(), double.product(direction()), rtol=1e-4, atol=1e-6)


def test_weighted_is_the_gradient_of_weighted_scores():
    here, slopes = problem(), torch.linspace(-1, 2, len(problem()), dtype=torch.float64)
    joint = joint_tables(here).requires_grad_()
    scores = (joint[here.users] * joint[here.n_users + here.items]).sum(1)
    torch.testing.assert_close(here.weighted(slopes), torch.autograd.grad((slopes * scores).sum(), joint)[0])


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="choose one of hessian, gauss_newton"):
        problem("fisher")
    with pytest.raises(ValueError, match="choose one of full, diagonal"):
        problem(blocks="none")
