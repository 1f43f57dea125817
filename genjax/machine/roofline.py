"""The roofline of a program: the largest of the times of its arithmetic, its memory traffic and its messages.

Each is a count over a published rate (Williams et al. 2009, doi:10.1145/1498765.1498785), and no forecast: nothing
reaches all rates. Messages are the least that every device must send, whatever way they take. Arithmetic and traffic
are XLA's counts: of a loop's body once, and with what stays within the chip taken for traffic to its memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from genjax.machine import hlo
from genjax.machine.chips import Slice


class Work(NamedTuple):
    """What one device does in one run of a program."""

    flops: float
    traffic: float  # to and from its memory [byte]
    inside: float  # sent to devices of its slice [byte]
    outside: float  # sent to other slices [byte]


class Times(NamedTuple):
    """Seconds, each at the full rate of the chip."""

    compute: float
    memory: float
    network: float

    @property
    def step(self) -> float:
        return max(self)

    @property
    def by(self) -> str:
        """Which of the three it is."""
        return max(self._fields, key=lambda name: getattr(self, name))

    @property
    def share(self) -> float:
        """The share of the peak of arithmetic that is reached then, 0 to 1."""
        return self.compute / self.step if self.step else 0.0


def times(place: Slice, work: Work) -> Times:
    """The seconds of some work on a device; the network between slices counts where its rate is published."""
    chip = place.chip
    own = 1 / chip.devices  # of its chip
    compute = work.flops / (chip.flops * own)
    memory = work.traffic / (chip.bandwidth * own)
    # a chip at the edge of what does not wrap has fewest links, and the others wait for it
    rate = max(place.links, 1) * chip.link * own
    network = work.inside / rate
    if chip.outside:
        network = max(network, work.outside / (chip.outside * own))
    return Times(compute, memory, network)


def messages(collectives: Iterable[hlo.Collective]) -> tuple[float, float]:
    """Bytes that a device sends (within its slice, to other slices) for some collectives, all their times together."""
    inside = outside = 0.0
    for one in collectives:
        each = one.times * sent(one.kind, one.size, one.members)
        if one.between:
            outside += each
        else:
            inside += each
    return inside, outside


def sent(kind: str, size: float, members: int) -> float:
    """The least that each of `members` must send for a collective of `size` bytes."""
    if members < 2:
        return 0.0
    if kind in (hlo.PERMUTE, hlo.BROADCAST):
        return size
    once = size * (members - 1) / members
    # to reduce and then to gather, each of which moves all parts but one's own
    return 2 * once if kind == hlo.ALL_REDUCE else once
