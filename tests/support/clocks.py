"""A clock that a test moves."""

from dataclasses import dataclass


@dataclass
class HandClock:
    """Seconds."""

    up: float = 1000.0
    unix: float = 1_700_000_000.0
    boot_id: str = "boot-1"

    def uptime(self):
        return self.up

    def wall(self):
        return self.unix

    def pass_time(self, seconds):
        """Both clocks go on."""
        self.up += seconds
        self.unix += seconds

    def reboot(self, seconds):
        """The machine starts again, and is up after so many seconds."""
        self.unix += seconds
        self.up = 1.0
        self.boot_id += "'"
