"""What can go wrong with a bed, in words for the person who asked for it."""


class BedError(Exception):
    """A bed cannot do what was asked; the message says what failed and what to do next."""


class NotAnswering(BedError):
    """Nobody answers at an instance's port, or not in a way that says who it is."""


class ProgramFailed(BedError):
    """A program ended with an error; `output` holds what it printed."""

    def __init__(self, command: str, code: int, output: str) -> None:
        self.command = command
        self.code = code
        self.output = output
        super().__init__(
            f"`{command}` ended with exit code {code}: {output.strip() or 'no output'}"
        )
