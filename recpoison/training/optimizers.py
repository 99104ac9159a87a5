"""Update rules written out on a plain dict of tensors, so that a fit can be saved, continued and differentiated."""

from __future__ import annotations

import torch
from torch import Tensor

from recpoison.models.base import Params

State = dict[str, Tensor]
"""Everything a fit needs to go on: ``epoch``, ``param.NAME``, and per rule ``sum.NAME`` (Adagrad) or ``first.NAME``,
``second.NAME`` and ``step`` (Adam); with a monitor also ``best.NAME`` and ``best_score``, and ``seen.EPOCH``, what its
watch saw. Tensors only, so safetensors can hold it."""

OPTIMIZERS = ("sgd", "adagrad", "adam")
BETAS = (0.9, 0.999)
_KINDS = ("param", "sum", "first", "second")


def slots(state: State, kind: str) -> Params:
    """The tensors of ``state`` named ``kind.NAME``, by NAME; not copies."""
    return {key.removeprefix(kind + "."): tensor for key, tensor in state.items() if key.startswith(kind + ".")}


def initial_state(optimizer: str, initial_accumulator: float, params: Params) -> State:
    """A fresh state at epoch 0 that holds copies of ``params``."""
    state = {"epoch": torch.zeros((), dtype=torch.int64)}
    for name, tensor in params.items():
        state[f"param.{name}"] = tensor.detach().clone(memory_format=torch.contiguous_format)
        if optimizer == "adagrad":
            state[f"sum.{name}"] = torch.full_like(tensor, initial_accumulator)
        elif optimizer == "adam":
            state[f"first.{name}"] = torch.zeros_like(tensor)
            state[f"second.{name}"] = torch.zeros_like(tensor)
    if optimizer == "adam":
        state["step"] = torch.zeros((), dtype=torch.int64)
    return state


def step(optimizer: str, state: State, gradients: Params, learning_rate: float, eps: float) -> None:
    """One step on whole tables, in place: the arithmetic of ``torch.optim``'s SGD, Adagrad and Adam.

    The number of Adam's steps stays on the host, so nothing waits for the device.
    """
    if optimizer == "adam":
        state["step"] += 1
    for name, gradient in gradients.items():
        param = state[f"param.{name}"]
        if optimizer == "sgd":
            param.sub_(gradient, alpha=learning_rate)
        elif optimizer == "adagrad":
            total = state[f"sum.{name}"].addcmul_(gradient, gradient)
            param.addcdiv_(gradient, total.sqrt().add_(eps), value=-learning_rate)
        else:
            count = int(state["step"])
            first = state[f"first.{name}"].lerp_(gradient, 1 - BETAS[0])
            second = state[f"second.{name}"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            scale = (second / (1 - BETAS[1] ** count)).sqrt_().add_(eps)
            param.addcdiv_(first, scale, value=-learning_rate / (1 - BETAS[0] ** count))


def gather(state: State, rows: Params) -> State:
    """What a step reads and writes: copies of ``rows``, and all else itself."""
    part = {"step": state["step"]} if "step" in state else {}
    for key, tensor in state.items():
        kind, _, name = key.partition(".")
        if kind in _KINDS:
            part[key] = tensor.index_select(0, rows[name]) if name in rows else tensor
    return part


def write_back(state: State, part: State, rows: Params) -> None:
    """Put the rows of ``part``, as ``gather`` took them and a step left them, into ``state``."""
    for key, tensor in part.items():
        name = key.partition(".")[2]
        if name in rows:
            state[key].index_copy_(0, rows[name], tensor)
