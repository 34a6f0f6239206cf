"""A clock that a test moves."""

from dataclasses import dataclass


@dataclass
class HandClock:
    up: float = 1000.0
    unix: float = 1_700_000_000.0
    boot: str = "boot-1"

    def uptime(self):
        return self.up

    def wall(self):
        return self.unix

    def boot_id(self):
        return self.boot

    def pass_time(self, seconds):
        """Both clocks go on."""
        self.up += seconds
        self.unix += seconds
