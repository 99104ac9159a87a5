"""A second device made of CPU memory: it refuses what CUDA refuses, and counts where CUDA's host would wait.

``torch.device("pretend")`` is PyTorch's PrivateUse1 backend under a name. A tensor there wraps one of the CPU, and each
operation runs on what is inside. A backend once registered stays for the life of the process, so that what uses it has
a process of its own.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretend"
PACKAGE = Path(__file__).parents[1] / "recpoison"
CPU = torch.device("cpu")

_WAITING = {
    "_local_scalar_dense": "reads a number",
    "nonzero": "counts",
    "_unique": "counts",
    "_unique2": "counts",
    "unique_dim": "counts",
    "unique_consecutive": "counts",
    "unique_dim_consecutive": "counts",
    "masked_select": "counts",
    "bincount": "counts",
    "_coalesce": "counts",
    "equal": "reads a number",
    "linalg_eig": "works on the host",
    "_linalg_eigh": "works on the host",
    "_linalg_svd": "works on the host",
    "linalg_lstsq": "works on the host",
    "_linalg_check_errors": "reads a number",
}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_TAKES_NUMBERS = {"fill_", "where", "masked_fill", "masked_fill_", *_INDEXING}
_COPYING = {"copy_", "_to_copy"}

_modes: list[Pretending] = []


def missing() -> str:
    """Why there can be no such device here; empty where there can."""
    if hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        return ""
    return f"torch {torch.__version__} cannot have a backend registered from Python"


def device() -> torch.device:
    """The device, registered from now on."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        backend_registration._setup_privateuseone_for_python_backend(NAME)
    return torch.device(NAME)


class Mixed(RuntimeError):
    """Devices met that CUDA keeps apart."""


class PretendTensor(Tensor):
    """A tensor of the device; ``held`` holds its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        if held.layout == torch.strided:
            how: dict[str, Any] = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        else:
            how = {"layout": held.layout}
        outer = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=f"{NAME}:0", **how)
        outer.held = held
        return outer

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"{self.held!r} on {NAME}"

    def tolist(self) -> Any:
        """By way of the CPU, as on CUDA; torch refuses to list a subclass."""
        return self.to(CPU).tolist()

    def new_tensor(self, numbers: Any, **options: Any) -> Tensor:
        """Torch makes it below Python."""
        return torch.tensor(numbers, **{"dtype": self.dtype, "device": self.device} | options)

    def untyped_storage(self) -> torch.UntypedStorage:
        """Of what is inside: two views of the same numbers are known by it."""
        return self.held.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """An operation where no mode is on: in a thread that the package started."""
        return _run(func, args, kwargs or {}, _modes[-1].waits)


class _Runs:
    """Not in the mode itself: what a mode defines is wrapped by torch, which takes seconds to import the wrapper."""

    waits: Counter[str]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self.waits)


class Pretending(_Runs, TorchDispatchMode):
    """Runs each operation on the device of its tensors or the one it names.

    Attributes:
        waits: How often the host waited, by ``file:line: operation``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits = Counter()


class Generator(torch.Generator):
    """A generator of the CPU, known as the device's where that is asked for."""

    ours: ClassVar[weakref.WeakValueDictionary[int, Generator]] = weakref.WeakValueDictionary()

    def __new__(cls, device: Any = "cpu") -> Generator:
        found = super().__new__(cls)
        if _is_ours(device):
            cls.ours[found._cdata] = found  # an operation is given another Python object of the same generator
        return found

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return torch.device(NAME, 0) if self._cdata in self.ours else CPU


@contextmanager
def pretending() -> Iterator[Pretending]:
    """Inside, tensors can be made on the device."""
    with ExitStack() as stack:
        for name in ("tensor", "as_tensor"):
            stack.enter_context(patch.object(torch, name, _by_way_of_the_cpu(getattr(torch, name))))
        stack.enter_context(patch.object(torch, "Generator", Generator))
        # in this thread, so that a wait in a backward pass is told by the line that asked for it
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        mode = stack.enter_context(Pretending())
        _modes.append(mode)
        stack.callback(_modes.pop)
        yield mode


def _run(func: Any, args: Any, kwargs: dict[str, Any], waits: Counter[str]) -> Any:
    given: list[Tensor] = []
    plain, options = _inside(args, given), {name: _inside(value, given) for name, value in kwargs.items()}
    asked = kwargs.get("device")
    ours = any(type(tensor) is PretendTensor for tensor in given)
    here = ours if asked is None else _is_ours(asked)
    _check_generator(kwargs.get("generator"), here)
    if not ours and not here:
        return func(*args, **kwargs)
    name = func.overloadpacket.__name__
    _check_devices(func, name, args, given)
    if (why := _wait(func, name, args, kwargs, here)) and (place := where()):
        waits[f"{place}: {name} {why}"] += 1
    if asked is not None:
        options["device"] = CPU
    found = func(*plain, **options)
    if name == "_to_copy" and found is plain[0]:
        found = found.clone()
    known = {id(getattr(tensor, "held", tensor)): tensor for tensor in given}
    return _outside(found, known, here)


def _inside(value: Any, given: list[Tensor]) -> Any:
    """An argument as the CPU takes it; its tensors join ``given``."""
    if isinstance(value, Tensor):
        given.append(value)
        return getattr(value, "held", value)
    if isinstance(value, list | tuple):
        return type(value)(_inside(part, given) for part in value)
    return value


def _outside(found: Any, known: dict[int, Tensor], here: bool) -> Any:
    """A result on its device: what was changed in place is what was given."""
    if isinstance(found, Tensor):
        return known.get(id(found)) if id(found) in known else PretendTensor(found) if here else found
    if isinstance(found, list | tuple):
        return type(found)(_outside(part, known, here) for part in found)
    return found


def _check_devices(func: Any, name: str, args: Any, given: list[Tensor]) -> None:
    """CUDA's rules: a number of the CPU joins arithmetic, an index of the CPU is taken, all else is refused."""
    others = [tensor for tensor in given if type(tensor) is not PretendTensor]
    if not others or name in _COPYING:
        return
    changed = name.endswith("_") and type(args[0]) is not PretendTensor
    if name in _INDEXING:
        changed = type(args[0]) is not PretendTensor
        others = [tensor for tensor in args[2:3] if type(tensor) is not PretendTensor and isinstance(tensor, Tensor)]
    takes_numbers = torch.Tag.pointwise in func.tags or name in _TAKES_NUMBERS
    if changed or any(other.ndim or not takes_numbers for other in others):
        told = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in given)
        raise Mixed(f"{name} was given tensors of two devices: {told}")


def _check_generator(generator: torch.Generator | None, here: bool) -> None:
    if generator is not None and (generator._cdata in Generator.ours) != here:
        raise Mixed(f"a generator {'of' if here else 'not of'} the CPU draws on {NAME if here else 'the CPU'}")


def _wait(func: Any, name: str, args: Any, kwargs: dict[str, Any], here: bool) -> str:
    """Why CUDA's host would wait for the operation; empty where it would not."""
    if name in _COPYING:
        source, onto = (args[0], here) if name == "_to_copy" else (args[1], type(args[0]) is PretendTensor)
        if onto == (type(source) is PretendTensor):
            return ""
        if not onto:
            return "to the CPU"
        return "" if kwargs.get("non_blocking") or True in args[2:] else "to the device"
    if name in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return "by a mask counts"
        if any(isinstance(value, Tensor) and type(value) is not PretendTensor for value in args[2:3]):
            return "of a number of the CPU"
        return "" if all(type(index) is PretendTensor for index in indices) else "by an index of the CPU"
    if name == "repeat_interleave":
        return "" if kwargs.get("output_size") is not None else "counts"
    return _WAITING.get(name, "")


def where() -> str | None:
    """The innermost line of the package on the stack, ``training/trainer.py:12``; None outside of it."""
    frame = sys._getframe(1)
    root = f"{PACKAGE}/"
    while frame is not None:
        if frame.f_code.co_filename.startswith(root):
            return f"{frame.f_code.co_filename.removeprefix(root)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _is_ours(device: Any) -> bool:
    return torch.device(device).type == NAME


def _by_way_of_the_cpu(make: Any) -> Any:
    """``torch.tensor`` and ``torch.as_tensor`` copy to a device below Python; this copies where it is seen."""

    def made(data: Any, **options: Any) -> Tensor:
        device, grad = options.pop("device", None), options.pop("requires_grad", False)
        if isinstance(data, PretendTensor):
            data = data.to(CPU) if device is not None and not _is_ours(device) else data
        found = make(data, **options) if not isinstance(data, PretendTensor) else data.to(options.get("dtype"))
        found = found if device is None else found.to(device)
        return found.requires_grad_() if grad else found

    return made
