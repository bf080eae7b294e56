"""The numbers of rows and jobs of each scenario."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """Numbers of rows, jobs and repetitions.

    Attributes:
        jobs: jobs to drain in most scenarios.
        many: jobs of a long queue, scheduled jobs, and jobs to prune.
        finished: rows of finished jobs.
        open_transaction: jobs to drain while a transaction is open.
        samples: jobs from which the pick-up latency is measured.
        repeat: drains, of which the best counts, as other work may disturb some.
    """

    jobs: int = 200_000
    many: int = 1_000_000
    finished: int = 10_000_000
    open_transaction: int = 300_000
    samples: int = 200
    repeat: int = 3

    @classmethod
    def quick(cls) -> Sizes:
        """Return the sizes of `--quick`."""
        return cls(20_000, 50_000, 100_000, 50_000, 50, 1)

    def changed(self, **sizes: int | None) -> Sizes:
        """Return a copy with some sizes replaced; None keeps a size."""
        return replace(self, **{name: size for name, size in sizes.items() if size is not None})
