"""A small problem of curvature, and its matrix."""

import torch

from recpoison.algebra.curvature import RatingCurvature

N_USERS, N_ITEMS, SIZE, DECAY = 7, 9, 3, 0.3
KINDS = [(curvature, blocks) for curvature in ("hessian", "gauss_newton") for blocks in ("full", "diagonal")]


def problem(curvature="hessian", blocks="full", damping=0.0, dtype=torch.float64, device="cpu") -> RatingCurvature:
    """Some ratings, two of them of one pair; a user and an item have none."""
    draw = torch.Generator().manual_seed(0)
    cells = (torch.rand(N_USERS - 1, N_ITEMS - 1, generator=draw) < 0.5).nonzero()
    users, items = torch.cat([cells, cells[:1]]).T.contiguous()
    ratings = torch.rand(len(users), generator=draw, dtype=torch.float64)
    tables = (torch.randn(n, SIZE, generator=draw, dtype=torch.float64) for n in (N_USERS, N_ITEMS))
    numbers = [tensor.to(device, dtype) for tensor in (ratings, *tables)]
    return RatingCurvature(users.to(device), items.to(device), *numbers, DECAY, curvature, blocks, damping)


def direction(seed=1, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(N_USERS + N_ITEMS, SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def matrix(here: RatingCurvature) -> torch.Tensor:
    """H + damping I as a matrix, from products with unit vectors."""
    units = torch.eye((N_USERS + N_ITEMS) * SIZE, dtype=torch.float64)
    return torch.stack([here.product(unit.view(-1, SIZE)).flatten() for unit in units], 1)
