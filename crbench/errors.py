"""The errors that crbench raises for its users; the command line turns each into one line and an exit code."""


class CrbenchError(Exception):
    """An error that the user can correct; the message says what was given, what was expected and what to do."""


class ConfigError(CrbenchError):
    """The request is wrong: an unknown name, option or parameter, or a value out of range."""


class DataError(CrbenchError):
    """Data or weights are missing, changed or unreadable."""


class MissingWeightsError(DataError):
    """A backbone has no weights to work with or to train from; the released ones that would do are named with it.

    Args:
        message: what needs weights, and how to give them.
        otherwise: what else the user may do, such as training.
    """

    def __init__(self, message: str, otherwise: str = "") -> None:
        super().__init__(f"{message}; {otherwise}" if otherwise else message)
        self.message = message
        self.otherwise = otherwise


class SystemFaultError(CrbenchError):
    """The machine refused: disk full, no permission, a file where a folder should be, out of memory or files."""


class PluginError(CrbenchError):
    """A plugin failed; the message names the plugin, its distribution and the stage."""


class ComparisonError(CrbenchError):
    """Numbers that must not be compared or trusted: leakage of test data into training, unequal protocols."""


class EvaluationError(CrbenchError):
    """Features cannot be scored: NaN or infinite values, mismatched shapes, no query with a match."""
