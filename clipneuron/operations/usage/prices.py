"""What the use of cores, GPUs and storage costs at given prices."""

from dataclasses import dataclass

from clipneuron.operations.usage.accounts import Amounts


@dataclass(frozen=True)
class Prices:
    """Prices in one currency; what has none costs nothing here."""

    core_hour: float = 0.0
    gpu_hour: float = 0.0
    """Of a GPU alone, where its node's cores are paid as cores; else of a GPU with its share of the node."""
    thousand_writes: float = 0.0
    """Of a thousand requests that write."""
    gb_month: float = 0.0
    """Of a gigabyte (10^9 bytes) stored for a month."""

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return any((self.core_hour, self.gpu_hour, self.thousand_writes, self.gb_month))

    def work(self, amounts: Amounts) -> float:
        """What was paid once: time and requests.

        >>> Prices(core_hour=0.04, gpu_hour=0.8).work(Amounts(core_seconds=7200, gpu_seconds=1800))
        0.48
        """
        hours = self.core_hour * amounts.core_seconds + self.gpu_hour * amounts.gpu_seconds
        return hours / 3600 + self.thousand_writes * amounts.writes / 1000

    def month(self, amounts: Amounts) -> float:
        """What keeping the tables costs a month."""
        return self.gb_month * amounts.size / 1e9
