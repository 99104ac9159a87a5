"""What a user can get wrong. Every message is one sentence that names the setting, file or line and the remedy."""


class UserError(Exception):
    """A mistake the user can mend: the command prints the message alone and exits with code 2."""

    exit_code = 2


class ConfigError(UserError):
    """A setting is misspelt, missing, of the wrong type or out of range."""


class BudgetExceeded(UserError):
    """An attack asked for more than its budget."""


class IncompatibleParts(UserError):
    """Dataset, model, attack, defense and evaluation do not fit together."""


class DataError(UserError):
    """A data file is missing, broken or not what its name promises."""


class OutputError(UserError):
    """Results cannot be written where they were asked for."""
