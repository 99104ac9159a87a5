"""CopyAttack: windows, the tree, the policies, the source domain, queries, and that rewards move choices."""

import numpy as np
import pytest
import torch
from kept_loop import Kept

from recpoison.attacks.profiles.copy import CopyAttack
from recpoison.attacks.profiles.copy_policy import Policies, clustered
from recpoison.attacks.profiles.copy_rounds import Choice, Copied, Game, Spies, profiles, regret, returns
from recpoison.attacks.profiles.copy_source import Source, in_order, other_users, read_map, some_users
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError, DataError
from recpoison.models.item_knn import ItemKNN
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU, QUIET = torch.device("cpu"), Progress()
NOTHING = torch.zeros(())


def clicks(profiles: list[list[int]], n_items: int, **more) -> Interactions:
    rows = [(user, item) for user, own in enumerate(profiles) for item in own]
    users, items = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions(users, items, np.ones(len(users)), len(profiles), n_items, **more)


def source(profiles: list[list[int]], n_items: int) -> Source:
    return in_order(clicks(profiles, n_items))


@pytest.mark.parametrize(
    ("share", "target", "expected"),
    [
        (0.1, 7, [7]),
        (0.3, 4, [3, 4, 5]),
        (0.25, 4, [3, 4, 5]),  # 2.5 rows are three
        (0.5, 0, [0, 1, 2, 3, 4]),  # moved into the profile
        (0.5, 9, [5, 6, 7, 8, 9]),
        (1.0, 3, list(range(10))),
        (0.2, 99, [4, 5]),  # the profile's own middle
    ],
)
def test_a_window_is_centred_on_the_target(share, target, expected):
    them = source([[5, 6], list(range(10))], 100)
    assert them.data.items[them.window(1, target, share)].tolist() == expected


def test_profiles_are_in_the_order_of_time_and_hold_each_item_once():
    times = np.array([5.0, 1, 3, 2, 9])
    data = Interactions([3, 3, 3, 0, 3], [7, 8, 9, 1, 7], np.ones(5), 5, 10, times=times)
    them = in_order(data)
    assert them.data.n_users == 2
    assert them.data.items[them.begin[1] : them.begin[2]].tolist() == [8, 9, 7]


def test_a_tree_is_balanced_and_everybody_is_at_the_end_of_one_way():
    rng = np.random.default_rng(0)
    for n, depth in ((1, 1), (2, 3), (7, 2), (50, 3), (50, 1)):
        tree = clustered(rng.standard_normal((n, 2)), depth, rng)
        ways = {tuple(zip(tree.nodes[u], tree.branches[u], strict=True)) for u in range(n)}
        assert len(ways) == n
        counts = tree.below(np.ones(n, dtype=bool))
        assert counts[0].sum() == n
        assert counts[0].max() - counts[0][counts[0] > 0].min() <= 1
        assert (tree.children[counts == 1] == -1).all()


def test_those_who_are_alike_are_in_one_cluster():
    vectors = np.array([[0.0, 0], [9, 9], [0, 1], [9, 8]])
    tree = clustered(vectors, 2, np.random.default_rng(0))
    assert tree.branches[0, 0] == tree.branches[2, 0] != tree.branches[1, 0] == tree.branches[3, 0]


def policies(n: int = 9, depth: int = 2) -> Policies:
    rng = np.random.default_rng(1)
    users, items = (torch.from_numpy(rng.standard_normal((m, 3))).float() for m in (n, 5))
    return Policies(clustered(users.numpy(), depth, rng), users, items, hidden_size=4)


def test_before_anything_is_learned_all_who_are_allowed_are_equally_likely_and_nobody_else_is_drawn():
    ours, rng = policies(), np.random.default_rng(0)
    params = ours.start(Seeds(0))
    allowed = np.isin(np.arange(9), [0, 1, 2, 5, 8])
    drawn = [ours.user(params, ours.nobody(), 0, allowed, rng) for _ in range(600)]
    assert {round(chance.item(), 5) for _, chance in drawn} == {round(-np.log(5), 5)}
    counts = np.bincount([user for user, _ in drawn], minlength=9)
    assert (counts[~allowed] == 0).all()
    assert counts[allowed] / 600 == pytest.approx(0.2, abs=0.06)


def test_probabilities_of_all_users_add_up_to_one_whatever_the_numbers():
    ours, rng = policies(7, 3), np.random.default_rng(0)
    params = {
        name: torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        for name, x in ours.start(Seeds(0)).items()
    }
    found = {}
    for _ in range(300):
        user, chance = ours.user(params, ours.nobody(), 2, np.ones(7, dtype=bool), rng)
        found[user] = chance.exp().item()
    assert len(found) == 7
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


def test_returns_and_regret_by_hand():
    assert returns(np.array([1.0, 0.0, 0.5]), 0.6).tolist() == pytest.approx([1 + 0.36 * 0.5, 0.6 * 0.5, 0.5])
    chances = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    copied = [Copied(0, 0, 1.0, chance) for chance in chances]
    loss = regret(copied, 2, np.array([10.0, -1.0]))  # two of the first group, one of the second
    assert loss.item() == pytest.approx(10 + 20 - 3)
    assert torch.autograd.grad(loss, chances)[0].tolist() == [-10, -10, 1]


class Favourite(Spies):
    """Pays for copies of user 2 with windows of at most .3."""

    def __init__(self):
        self.targets, self.data, self.asked = np.array([0]), clicks([[0, 1]], 12), 0

    def ask(self, fakes):
        self.asked += 1
        rows = np.split(fakes.items, np.flatnonzero(np.diff(fakes.profile)) + 1)
        return float(np.mean([11 in row and len(row) <= 4 for row in rows])), 0.0


def test_rewards_move_the_policies_to_who_and_what_is_paid_for():
    them = source([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] * 2 + [[11, 0, *range(1, 9)]] + [[0, 2, 3, 4, 5]] * 6, 12)
    ours = policies()
    spies = Favourite()
    game = Game(Choice(ours, True, True, None), them, spies, False, 2, 0.6, 0.1)
    trace = game.play(60, 6, Seeds(0), QUIET, None).trace[:, 0]
    assert spies.asked == 180
    assert trace[-10:].mean() > 0.6
    assert trace[:15].mean() < 0.15
    still = Game(Choice(ours, False, True, None), them, Favourite(), False, 2, 0.6, 0.05).play(
        80, 6, Seeds(0), QUIET, None
    )
    assert still.trace[-15:, 0].mean() < 0.15


def test_copies_hold_the_window_and_with_clicks_all_targets():
    data = Interactions([0], [0], [4.0], 1, 6, Scale(1, 5, 1))
    rows = Interactions([0] * 4, [1, 2, 3, 4], [2.0, 3, 4, 1], 1, 6, Scale(1, 5, 1))
    copied = [Copied(0, 3, 0.75, NOTHING)]
    plain = profiles(copied, in_order(rows), data, np.array([3, 5]), click=False)
    assert (plain.items.tolist(), plain.values.tolist()) == ([2, 3, 4], [3, 4, 1])
    clicked = profiles(copied, in_order(rows), data, np.array([3, 5]), click=True)
    assert (clicked.items.tolist(), clicked.values.tolist()) == ([2, 4, 3, 5], [3, 1, 5, 5])


def test_spies_are_asked_by_hand():
    """Popularity: items 0 to 3 have 4, 3, 2 and 1 users; what a spy has is not counted."""
    data = clicks([[0, 1, 2, 3], [0, 1, 2], [0, 1], [0]], 5)
    spies = Spies(Popularity(), data, np.array([3]), 9, 2, Seeds(0), CPU)
    assert spies.users.tolist() == [1, 2, 3]
    nobody = FakeProfiles.none(np.array([3]))
    hit_ratio, log_place = spies.ask(nobody)  # places 1, 2 and 3 (of unseen items)
    assert hit_ratio == pytest.approx(2 / 3)
    assert log_place == pytest.approx(np.log2([1, 2, 3]).mean())
    four = FakeProfiles(np.arange(4), np.full(4, 3), np.ones(4), 4, np.array([3]))
    assert spies.ask(four) == (1.0, 0.0)
    assert spies.asked == 2


def attack(**settings) -> CopyAttack:
    given = {"targets": Targets("list", [0]), "n_fake_users": 4, "queried": ItemKNN(), "queries": 12, "spies": 6}
    return CopyAttack(**(given | {"group_size": 2} | settings))


def blocks(n: int = 20) -> Interactions:
    return clicks([[i for i in range(n) if i % 2 == u % 2 and i != u] for u in range(n)], n)


def crafted(data: Interactions, progress: Progress = QUIET, **settings) -> FakeProfiles:
    return attack(**settings).poison(data, np.array([0]), Seeds(0), CPU, progress)


class Counted(Popularity):
    """A popularity that counts how often it is fitted."""

    fits = 0

    def fit(self, data, seeds, device, progress, monitor=None):
        Counted.fits += 1
        return super().fit(data, seeds, device, progress, monitor)


@pytest.mark.parametrize("policy", ["tree", "random"])
@pytest.mark.parametrize(("queries", "expected"), [(12, 12), (13, 12), (2, 2)])
def test_queries_are_fits_and_capped(policy, queries, expected):
    """Rounds of 4 copies in groups of 2 take two."""
    Counted.fits = 0
    change = crafted(blocks(), queried=Counted(), queries=queries, policy=policy)
    assert Counted.fits == expected
    assert len(change.trace["HR"]) == expected // 2


def test_fewer_queries_than_a_round_takes_are_refused():
    with pytest.raises(ConfigError, match=r"attack\.queries is 1, but a round of 4 copies in groups of 2 takes 2"):
        crafted(blocks(), queries=1)


def test_masking_copies_owners_alone():
    """Odd users have no even item but what targets add."""
    masked, open_to_all = (crafted(blocks(), masking=m, kept_share=1.0, policy="random") for m in (True, False))
    assert (masked.items % 2 == 0).all()
    assert (open_to_all.items % 2 == 1).any()


def test_the_best_round_is_kept():
    change = crafted(blocks(), queries=40)
    hit_ratio, log_place = change.trace["HR"], change.trace["Objective"]
    assert change.best == max(range(20), key=lambda n: (hit_ratio[n], -log_place[n]))
    spies = Spies(ItemKNN(), blocks(), np.array([0]), 6, 20, Seeds(0).child("attack"), CPU)
    assert spies.ask(change) == (hit_ratio[change.best], pytest.approx(log_place[change.best]))


def test_nobody_who_has_the_target_is_refused():
    data = clicks([[1, 2], [1, 3]], 4)
    with pytest.raises(ConfigError, match="nobody of the source has target 0: set it to false"):
        crafted(data)


def test_a_share_of_the_users_is_known():
    data = blocks()
    them = some_users(data, 0.3, Seeds(0))
    assert them.data.n_users == 6
    everybody = {tuple(own) for own in np.split(data.items, np.flatnonzero(np.diff(data.users)) + 1)}
    assert all(tuple(them.data.items[a:b]) in everybody for a, b in zip(them.begin[:-1], them.begin[1:], strict=True))


def others(tmp_path, lines: str) -> str:
    path = tmp_path / "others.csv"
    path.write_text("user,item,rating\n" + lines)
    return str(path)


def test_another_domain_is_joined_by_its_map_and_its_ratings_are_put_on_our_scale(tmp_path):
    """x and y are our b and a; z is nowhere. 10 of 10 is our 5, 4 of 10 our 2."""
    data = clicks([[0, 1]], 3, scale=Scale(1, 5, 1), item_labels=np.array(["a", "b", "c"], dtype=object))
    path = others(tmp_path, "1,x,10\n1,y,4\n1,z,2\n2,z,2\n2,y,2\n")
    (tmp_path / "map.csv").write_text("source,target\nx,b\ny,a\n")
    settings = (f"path={path}", "rating=rating", "low=1", "high=10")
    notes = []

    class Listener(Progress):
        def note(self, text):
            notes.append(text)

    them = other_users("csv", settings, str(tmp_path / "map.csv"), data, Seeds(0), Listener())
    assert them.data.users.tolist() == [0, 0, 1]
    assert them.data.items.tolist() == [1, 0, 0]
    assert them.data.values.tolist() == [5, 2, 1]
    assert any("2 of 3 items are in the target domain, and with them 3 of 5 rows" in note for note in notes)
    same = clicks([[0]], 1, item_labels=np.array(["z"], dtype=object))
    assert other_users("csv", settings, None, same, Seeds(0), QUIET).data.users.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("source,item\na,b\n", "has no column target"),
        ("source,target\na,b\nc,d\na,e\n", r"line 4: a is mapped twice"),
        ("source,target\na,b\nc,b\n", r"line 3: b is mapped twice"),
        ("", "cannot be read"),
    ],
)
def test_broken_maps_are_refused(tmp_path, content, words):
    path = tmp_path / "map.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_map(path)


def test_a_source_without_common_items_is_refused(tmp_path):
    data = clicks([[0]], 1, item_labels=np.array(["nothing"], dtype=object))
    settings = (f"path={others(tmp_path, '1,x,1' + chr(10) + '1,y,1' + chr(10))}",)
    with pytest.raises(ConfigError, match="nobody is left to copy"):
        other_users("csv", settings, None, data, Seeds(0), QUIET)


def test_files_of_the_source_are_what_the_change_depends_on(tmp_path):
    path = others(tmp_path, "1,x,1\n1,y,1\n")
    one = attack(source="csv", source_settings=(f"path={path}",))
    before = one.reads
    others(tmp_path, "1,x,1\n1,z,1\n")
    assert before != one.reads
    assert attack().reads is None


def test_rounds_go_on_where_they_were_killed():
    first = Kept()
    whole = crafted(blocks(), first)
    assert len(first.states) == 6
    again = crafted(blocks(), Kept(first.states[2]))
    assert whole.items.tolist() == again.items.tolist()
    assert whole.trace["Objective"].tolist() == again.trace["Objective"].tolist()
    assert whole.best == again.best


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"policy": "flat"}, r"attack\.policy is 'flat': choose one of tree, random"),
        ({"queries": 0}, r"attack\.queries is 0: give 1 or more"),
        ({"kept_share": 0.0}, r"attack\.kept_share is 0: give more than 0 and at most 1"),
        ({"source_share": 1.5}, r"attack\.source_share is 1\.5: give more than 0 and at most 1"),
        ({"discount": 2.0}, r"attack\.discount is 2: give 0 to 1"),
        ({"learning_rate": 0.0}, r"attack\.learning_rate is 0: give a finite number above 0"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        attack(**setting)
