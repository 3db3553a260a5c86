"""From the options of one invocation to settings. Importing it costs nothing; using it does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clworker.core.app import setup

if TYPE_CHECKING:
    from clworker.core.settings import BrokerSettings, Settings, TaskSettings


@dataclass(frozen=True)
class Invocation:
    """The options given before the command; each method adds the command's own."""

    options: dict[str, str | None]

    def settings(self, **options: str | None) -> "Settings":
        """Load all settings and make logging ready. Raises SettingsError."""
        return setup.load_settings({**self.options, **options})

    def broker_settings(self, **options: str | None) -> "BrokerSettings":
        """Load what the broker needs. Raises SettingsError."""
        return setup.load_broker_settings({**self.options, **options})

    def task_settings(self) -> "TaskSettings":
        """Load what task discovery needs. Raises SettingsError."""
        return setup.load_task_settings(self.options)
