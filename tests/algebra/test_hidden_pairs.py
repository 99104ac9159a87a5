"""A network on all pairs, by the kernel, in blocks, and written out."""

import pytest
import torch

from recpoison.algebra import hidden_pairs
from recpoison.algebra.hidden_pairs import pair_scores, product_scores


def drawn(*shapes: tuple[int, ...], dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def test_by_hand():
    """Hidden (1+2, -3+1) = (3, -2 -> 0) and (1-5 -> 0, -3+4 = 1); output (2, 10)."""
    users, items = torch.tensor([[1.0, -3.0]]), torch.tensor([[2.0, 1.0], [-5.0, 4.0]])
    assert pair_scores(users, items, [], torch.tensor([2.0, 10.0])).tolist() == [[6.0, 10.0]]


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, torch.sigmoid])
@pytest.mark.parametrize("layers", [0, 2])
def test_blocks_and_kernel_equal_the_whole(layers, activation, monkeypatch):
    users, items, output, *more = drawn((7, 33), (1100, 33), (33,), (33, 33), (33,), (33, 33), (33,))
    further = [(more[0], more[1]), (more[2], more[3])][:layers]
    hidden = activation(users[:, None] + items)
    for weight, bias in further:
        hidden = activation(hidden @ weight.T + bias)
    monkeypatch.setattr(hidden_pairs, "CELLS", 7 * 33 * 100)
    found = pair_scores(users, items, further, output, activation)
    torch.testing.assert_close(found, hidden @ output, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 3])
def test_products_in_blocks_equal_the_whole(layers, monkeypatch):
    shapes = [(7, 6), (110, 6), (5, 6), (5,), (4, 5), (4,), (3, 4), (3,), ((5, 4, 3)[layers - 1],)]
    users, items, *more, output = drawn(*shapes, dtype=torch.float64)
    chosen = list(zip(more[::2], more[1::2], strict=True))[:layers]
    hidden = users[:, None] * items
    for weight, bias in chosen:
        hidden = torch.tanh(hidden @ weight.T + bias)
    monkeypatch.setattr(hidden_pairs, "CELLS", 7 * 5 * 12)
    found = product_scores(users, items, chosen, output, torch.tanh)
    torch.testing.assert_close(found, hidden @ output, atol=1e-12, rtol=1e-12)


def test_it_can_be_differentiated():
    users, items, output = (part.requires_grad_() for part in drawn((3, 4), (5, 4), (4,), dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda *parts: pair_scores(*parts[:2], [], parts[2]), (users, items, output))


def test_what_is_not_a_number_stays_visible():
    users, items = torch.tensor([[float("nan"), 1.0]]), torch.ones(1, 2)
    assert pair_scores(users, items, [], torch.ones(2)).isnan().all()
