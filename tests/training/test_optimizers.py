"""The written-out rules against torch.optim."""

import pytest
import torch

from recpoison.training.optimizers import initial_state, slots, step

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.1, eps=1e-8),
    "adam": lambda p: torch.optim.Adam(p, 0.1, eps=1e-8),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_equal_torch_optim(name):
    generator = torch.Generator().manual_seed(0)
    params = {"a": torch.randn(4, 3, generator=generator), "b": torch.randn(5, generator=generator)}
    theirs = {key: tensor.clone().requires_grad_() for key, tensor in params.items()}
    optimizer = OPTIMIZERS[name](theirs.values())
    state = initial_state(name, 0.1, params)
    for _ in range(6):
        gradients = {key: torch.randn(tensor.shape, generator=generator) for key, tensor in params.items()}
        for key, tensor in theirs.items():
            tensor.grad = gradients[key]
        optimizer.step()
        step(name, state, gradients, 0.1, 1e-8)
    for key, tensor in slots(state, "param").items():
        torch.testing.assert_close(tensor, theirs[key].detach(), atol=1e-6, rtol=1e-6)
        assert not torch.allclose(tensor, params[key])
