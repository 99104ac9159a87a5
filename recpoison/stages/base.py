"""What a stage is: something computed once, and found again by everything that can affect it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from recpoison.descriptions import digest
from recpoison.progress import Progress

Value = TypeVar("Value")


class Stage(ABC, Generic[Value]):
    """One step of a run. The store, the plan of a sweep and the run ask the same stage.

    A stage is cheap to make: it reads no file and computes nothing before ``compute``.

    Attributes:
        kind: Such as ``fit``; the store's folder and the column of costs.csv.
        priced_by: Names of those inputs on which its cost depends, beside its kind, its data and its device.
    """

    kind: ClassVar[str]
    priced_by: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def title(self) -> str:
        """What a reader is told; up to the parenthesis it is the same for all that cost about the same."""

    @property
    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """Everything that can affect its value, in plain values."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """The seed it belongs to."""

    @property
    def cell(self) -> str:
        """The square that needs it, ``attack/defense``; empty where all do."""
        return ""

    @abstractmethod
    def compute(self, progress: Progress) -> Value:
        """Make the value; loops in it go on from their checkpoints through the progress it is given."""

    @abstractmethod
    def save(self, value: Value, folder: Path) -> None:
        """Write the value into a folder."""

    @abstractmethod
    def load(self, folder: Path) -> Value:
        """Read back what ``save`` wrote."""

    @abstractmethod
    def promise(self, key: str) -> Value:
        """What stands for the value in a plan, where it is not known: later stages ask only for its fingerprint."""


class Obtain(Protocol):
    """Computes a stage, finds it, or only notes that it is needed."""

    def __call__(self, stage: Stage[Value], /) -> Value:
        """The value of a stage."""


class Promise:
    """Stands for data, a change or a choice of items that nobody has computed yet.

    All that can be asked of it is what tells it from others: the key of the stage that would make it.

    Args:
        fingerprint: That key, or something as distinct.
    """

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    @property
    def train(self) -> Promise:
        """Of a split: its training rows."""
        return Promise(f"{self.fingerprint}/train")

    def apply(self, data: Any) -> Promise:
        """Of a change: the changed data."""
        return Promise(digest([self.fingerprint, data.fingerprint]))

    def first(self, *of: Any) -> Promise:
        """Of a change: its first part."""
        return Promise(digest([self.fingerprint, "first", of]))

    def tolist(self) -> str:
        """Of items: which they are."""
        return self.fingerprint
