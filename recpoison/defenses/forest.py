"""P(fake) of each user by a random forest on features, from labels of some of them."""

from __future__ import annotations

import numpy as np


def chances(
    features: np.ndarray, fake: np.ndarray, genuine: np.ndarray, trees: int, criterion: str = "gini"
) -> np.ndarray:
    """P(fake) ``(n_users,)`` in [0, 1]; 0 for all where either label is missing.

    A user with a label is judged by the trees that did not see them, for a tree remembers those it grew on. Both labels
    weigh the same in all. The forest is drawn from the same numbers each time, and users are put in the order of their
    features first, so that numbering tells nothing.

    Args:
        features: ``(n_users, n_features)``, finite.
        fake: ``(n_users,)`` who is called fake.
        genuine: ``(n_users,)`` who is called genuine.
        trees: Of the forest.
        criterion: ``gini`` or ``entropy``.
    """
    from sklearn import ensemble  # a second to import

    found = np.zeros(len(features))
    if not (fake.any() and genuine.any()):
        return found
    order = np.lexsort((fake, *features.T))
    learned = order[(fake | genuine)[order]]
    forest = ensemble.RandomForestClassifier(
        trees, criterion=criterion, class_weight="balanced", random_state=0, bootstrap=True
    )
    forest.fit(features[learned], fake[learned])
    found[:] = forest.predict_proba(features)[:, 1]
    votes, unseen = _votes_of_others(forest, features[learned])
    found[learned] = np.where(unseen > 0, votes / np.maximum(unseen, 1), found[learned])
    return found


def _votes_of_others(forest: object, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over trees that did not see a row of its P(fake), and their number."""
    votes, unseen = np.zeros(len(features)), np.zeros(len(features))
    for tree, seen in zip(forest.estimators_, forest.estimators_samples_, strict=True):  # type: ignore[attr-defined]
        out = np.ones(len(features), dtype=bool)
        out[seen] = False
        if out.any():
            votes[out] += tree.predict_proba(features[out])[:, 1]
            unseen += out
    return votes, unseen
