"""Whose numbers a table shows (the subjects of metrics, in the order of tables), and what may test them.

Nothing heavy is imported here.
"""

SUBJECTS = {
    "target": "promoted items",
    "test": "held-out items",
    "path": "held-out items, mean over the steps of the attack, compared with the clean test number",
    "surrogate": "promoted items on the attack's own model, not on the victim",
    "fake": "fake users, told from real ones",
    "removed": "users whom the defense suspected and took out of training, held against who was fake",
    "weighed": "users whose loss the defense multiplied by a weight, held against who was fake",
    "link": "edges",
    "node": "nodes",
}

# What a defense thought of users, and its metrics; both have the last.
OF_DEFENSE = REMOVED, WEIGHED = "removed", "weighed"
PRECISION, RECALL, LOST = "Precision", "Recall", "RealUsersLost"
FAKE_WEIGHT, REAL_WEIGHT = "FakeUsersWeight", "RealUsersWeight"
RANKED = "AUROC"

# Of targets, and made of three cells, so that no other cell has its like.
IMPROVEMENT = "RobustnessImprovement"

# What p-values are of, by the word of the setting ``paired_test``.
PAIRED_TESTS = {
    "t": "the paired t-test",
    "wilcoxon": "Wilcoxon's signed-rank test",
    "permutation": "the paired permutation test",
}


def in_words(subjects: set[str]) -> str:
    """What ``subjects`` mean, for a reader who meets them in a table."""
    return "; ".join(f"{name}: {words}" for name, words in SUBJECTS.items() if name in subjects)


def compared_with(subject: str) -> str:
    """The subject of the clean number that ``subject`` compares with: nobody attacks a clean cell in steps."""
    return "test" if subject == "path" else subject


def share_undone(origin: float, attacked: float, defended: float) -> float:
    """RI = 1 - (defended - origin) / (attacked - origin), of any rise that is not 0."""
    return 1 - (defended - origin) / (attacked - origin)
