"""A loop that can be broken off anywhere: what it offered, and one that goes on from there."""

from recpoison.progress import Loop, Progress


class Kept(Progress):
    """A loop that begins with ``state`` and remembers all that it could go on from."""

    def __init__(self, state=None):
        self.state, self.states = state, []

    def loop(self, work, fits):
        assert self.state is None or fits(self.state)
        assert not fits({})
        loop = Loop()
        loop.state = self.state
        loop.keep = lambda state: self.states.append({name: tensor.clone() for name, tensor in state().items()})
        return loop
