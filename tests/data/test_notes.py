from recpoison.data.notes import Heard, over_seeds
from recpoison.progress import Loop, Progress, always


class Said(Progress):
    def __init__(self) -> None:
        self.said: list[object] = []

    def stage(self, name: str):
        self.said.append(name)
        return super().stage(name)

    def step(self, done: int, total: int, **figures: float) -> None:
        self.said.append((done, total, figures))

    def reused(self, name: str) -> None:
        self.said.append(name)

    def note(self, text: str) -> None:
        self.said.append(text)

    def loop(self, work: object, fits=always) -> Loop:
        self.said.append(work)
        return super().loop(work, fits)


def test_everything_is_passed_on_and_notes_are_kept():
    said = Said()
    heard = Heard(said)
    with heard.stage("read"):
        heard.step(1, 2, loss=0.5)
        heard.note("2 rows dropped")
    heard.reused("split")
    heard.loop(7)
    assert said.said == ["read", (1, 2, {"loss": 0.5}), "2 rows dropped", "split", 7]
    assert heard.notes == ["2 rows dropped"]


def test_what_all_seeds_have_is_said_once_and_the_rest_by_seed():
    notes = {3: ("merged", "5 rows"), 4: ("merged", "6 rows"), 5: ("merged", "5 rows", "5 rows")}
    assert over_seeds(notes) == ["merged", "seed 3, 5: 5 rows", "seed 4: 6 rows"]
    assert over_seeds({0: ("one seed",)}) == ["one seed"]
    assert over_seeds({}) == []
