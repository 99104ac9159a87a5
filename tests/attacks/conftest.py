"""A fitted model that attacks on embeddings shift."""

import pytest
import torch

from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer


@pytest.fixture
def victim(planted) -> Fitted:
    """BPR-MF that has learned the planted blocks; item 40 belongs to nobody."""
    model = BPRMF(embedding_size=8, initial_std=0.1, trainer=Trainer(epochs=30, batch_size=64))
    return Fitted(model, model.fit(planted.train, Seeds(0), torch.device("cpu"), Progress()), planted.train)
