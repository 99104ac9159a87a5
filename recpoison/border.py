"""Where the package meets code of a user's: how it is called, and how what comes back is taken or told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recpoison.errors import UserError, some_of


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function``, a method that may be a user's, gives.

    Raises:
        UserError: If it does not take these arguments.
    """
    try:
        return function(*arguments)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from inside the function
        raise UserError(
            f"{method(function)} does not take the {len(arguments)} arguments that it is called with ({error}): "
            "define it with those of its base class"
        ) from error


def method(function: Callable[..., Any]) -> str:
    """``Class.name`` of a method, by the class of its object."""
    return f"{type(getattr(function, '__self__', None)).__name__}.{getattr(function, '__name__', 'call')}"


def as_tensor(given: object) -> Tensor | None:
    """What is given as a tensor without a gradient, None for what is neither a tensor nor an array of real numbers."""
    if isinstance(given, Tensor):
        return given.detach()
    if isinstance(given, np.ndarray) and given.dtype.kind in "buif":
        small = given.dtype.kind == "f" and given.dtype.itemsize <= 4
        return torch.from_numpy(np.require(given, np.float32 if small else np.float64, ["C", "W"]))
    return None


def is_plain(tensor: Tensor, device: torch.device) -> bool:
    """Whether a tensor holds real numbers, each in its place, on ``device`` or the CPU."""
    return (
        not tensor.is_complex()
        and not tensor.is_quantized
        and tensor.layout == torch.strided
        and (tensor.device.type == "cpu" or _is_on(tensor, device))
    )


def _is_on(tensor: Tensor, device: torch.device) -> bool:
    """Whether it is there; a ``device`` without a number, such as ``cuda``, is any of its kind."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def in_words(given: object) -> str:
    """What was given, such as ``a tensor of shape (3, 4) and type float32 on cpu``."""
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape} and type {given.dtype}"
    if not isinstance(given, Tensor):
        return "None" if given is None else f"an object of type {type(given).__name__}"
    layout = "" if given.layout == torch.strided else f" ({str(given.layout).removeprefix('torch.')})"
    dtype = str(given.dtype).removeprefix("torch.")
    return f"a tensor{layout} of shape {tuple(given.shape)} and type {dtype} on {given.device}"


def named_tensors(given: object, source: str, device: torch.device) -> dict[str, Tensor]:
    """Parameters that a user's code gave, on ``device``, without a gradient, and no two in the same memory.

    Arrays are taken too, and so is any mapping.

    Args:
        given: What it gave.
        source: What gave it, such as ``MyModel.fit``.
        device: Where they are wanted.

    Raises:
        UserError: If it is anything else, or a number is not finite.
    """
    if not isinstance(given, Mapping):
        hint = " (its state_dict() is one)" if isinstance(given, torch.nn.Module) else ""
        raise UserError(f"{source} gave {in_words(given)}: a dict from names to tensors is expected{hint}")
    found: dict[str, Tensor] = {}
    held: set[int] = set()
    for name, value in given.items():
        if not isinstance(name, str):
            raise UserError(f"{source} gave a dict with the key {name!r}: names are expected, each of a tensor")
        tensor = _parameter(value, f"{source} gave {name!r} as", device)
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in held else tensor
        held.add(place)
    if not finite(found.values()):
        name, tensor = next((name, tensor) for name, tensor in found.items() if not finite([tensor]))
        odd = tensor[~tensor.isfinite()][0].item()
        raise UserError(
            f"{source} gave {name!r} as {in_words(given[name])} with {odd} in it: finite numbers are expected; where a "
            "fit diverged, lower its learning rate"
        )
    return found


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are; the host waits once."""
    found = [tensor.isfinite().all() for tensor in tensors]
    return not found or bool(torch.stack(found).all())


def _parameter(value: object, said: str, device: torch.device) -> Tensor:
    tensor = as_tensor(value)
    if tensor is None or not is_plain(tensor, device):
        raise UserError(f"{said} {in_words(value)}: a dense tensor of real numbers on {device} is expected")
    return tensor.to(device, non_blocking=True)


def check_tables(params: Mapping[str, Tensor], tables: Collection[str], owner: str, source: str) -> None:
    """Refuse parameters without the embedding tables that a model names.

    Args:
        params: The parameters.
        tables: The names.
        owner: The model's class.
        source: What gave the parameters, such as ``MyModel.init``.

    Raises:
        UserError: If one is missing, or is no table of floating-point numbers.
    """
    for name in tables:
        if name not in params:
            raise UserError(
                f"{owner}.tables names {name!r}, but {source} gave {some_of(params.keys()) or 'nothing'}: "
                "name tables as the parameters are named"
            )
        if params[name].ndim != 2 or not params[name].is_floating_point():
            raise UserError(
                f"{source} gave the table {name!r} as {in_words(params[name])}: one row an embedding and "
                "floating-point numbers are expected"
            )
