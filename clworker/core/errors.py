"""Every failure that a caller can act on, under one root.

A class's docstring is its default message. Which exit code a class means is told in
one place, ``clworker.cli.exits``.
"""

from collections.abc import Sequence


class ClworkerError(Exception):
    """clworker failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class SettingsError(ClworkerError):
    """A setting is missing or wrong."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class UsageFault(ClworkerError):
    """The request cannot be carried out as it was asked for."""


class TaskUnknown(UsageFault):
    """No installed plugin provides this task type."""


class ParamsRefused(UsageFault):
    """The task's schema refuses these parameters."""


class JobNotFound(UsageFault):
    """There is no job with this id."""


class SchemaMismatch(UsageFault):
    """The database holds tables that this version of clworker does not know."""


class DatabaseTrouble(ClworkerError):
    """The database cannot be used."""


class StoreUnavailable(DatabaseTrouble):
    """The database is out of reach."""


class DatabaseLost(DatabaseTrouble):
    """The database is damaged or was replaced by another one: no waiting helps."""


class BrokerUnavailable(ClworkerError):
    """The MQTT broker is out of reach."""

    def __init__(self, message: str | None = None, advice: str | None = None) -> None:
        """``advice`` says what to do, where the reason tells."""
        super().__init__(message)
        self.advice = advice


class NameTaken(UsageFault):
    """Another live worker has this worker id."""


class InstanceEnded(UsageFault):
    """This worker was ended by another one that took over its name."""


class StagingFailed(ClworkerError):
    """A job's files could not be put into place."""


class ClaimLost(ClworkerError):
    """The job is no longer ours: it was returned, claimed by another program or deleted."""


class PathRefused(ClworkerError):
    """A job names a path that it may not use."""


class ImportRefused(ClworkerError):
    """A line of an import describes no job that can be added."""


class InputMissing(PathRefused):
    """An input is not there, as far as this host can see."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class PluginHostFailed(ClworkerError):
    """The child process that imports the task plugins could not do its work."""


class Interrupted(ClworkerError):
    """Stopped by a signal."""

    def __init__(self, signal_number: int, message: str | None = None) -> None:
        super().__init__(message)
        self.signal_number = signal_number
