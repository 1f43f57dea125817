"""Several processes that work as one: a TPU pod slice, GPU hosts, or two processes on a laptop.

Every process runs the same command on its own devices; `jax.distributed` joins them. A batch is cut along its first
axis, each process reads its own part of the data, and process 0 alone writes logs and reports. A process that dies
takes the others with it, so that none waits for ever: start all again, and they go on from the last checkpoint.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import sys
import threading
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from genjax.config import field
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Which processes work together; by default this one alone."""

    coordinator: str = field("", "host:port of process 0, which all must reach; '' = none")
    count: int = field(1, "processes in the job")
    index: int = field(0, "number of this process, from 0")
    detect: bool = field(
        False, "take the three from the cluster: Cloud TPU, GKE, SLURM, Open MPI"
    )
    wait: int = field(300, "time for all to come together at the start [s]")
    lost: int = field(30, "silence after which a process counts as dead [s]")

    def join(self) -> None:
        """Joins the other processes, once in a process and before JAX's first backend starts.

        Raises UserError where flags contradict each other or joining fails. Where the others do not come within `wait`
        seconds, the process ends with a line on stderr and exit code 2: JAX does not return from that.
        """
        self.check()
        if not (self.coordinator or self.detect) or jax.distributed.is_initialized():
            return
        # "deactivate": what is said here counts, not what a cluster's variables say
        own = {
            "coordinator_address": self.coordinator,
            "num_processes": self.count,
            "process_id": self.index,
            "cluster_detection_method": "deactivate",
        }
        how = {} if self.detect else own
        if self.coordinator.startswith(("127.0.0.1:", "localhost:")):
            # else process 0 listens on all addresses
            how["coordinator_bind_address"] = self.coordinator
        times = {"heartbeat_timeout_seconds": self.lost, "shutdown_timeout_seconds": self.lost}
        who = f"process {self.index}"
        where = f"at {self.coordinator}"
        if self.detect:  # its number is not known before it has joined
            who = "this process"
            where = "by the cluster's own variables (--hosts.detect=true)"
        # a thread of our own: the call below may not return
        alarm = threading.Timer(self.wait, self._give_up, [who, where])
        alarm.daemon = True
        alarm.start()
        try:
            # 60 s more: the alarm must be the first to ring
            jax.distributed.initialize(**how, **times, initialization_timeout=self.wait + 60)
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"{who} cannot join the others {where}: {reason}. Start all {self.count} with the same "
                "--hosts.coordinator and --hosts.count, each with its own --hosts.index."
            ) from error
        finally:
            alarm.cancel()
        # waits for the others: the coordinator must be the last to go
        atexit.register(jax.distributed.shutdown)

    def _give_up(self, who: str, where: str) -> None:
        """Ends the process with one line; left alone, JAX's client aborts it with a stack of C++."""
        print(
            f"error: {who} waited {self.wait} s (--hosts.wait) for all to come together {where}: start "
            "all processes, and let the coordinator's port through.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)  # sys.exit would end this thread alone

    def check(self) -> None:
        """Raises UserError for flags that contradict each other."""
        host, _, port = self.coordinator.rpartition(":")
        whole = host and port.isdecimal() and 0 < int(port) < 65536
        if self.coordinator and not whole:
            raise UserError(
                f"--hosts.coordinator={self.coordinator} must be host:port, e.g. 10.0.0.1:8476."
            )
        if not 0 <= self.index < self.count:
            raise UserError(
                f"--hosts.index={self.index} must be 0 to {self.count - 1} for --hosts.count={self.count} processes."
            )
        if self.count > 1 and not self.coordinator:
            raise UserError(
                f"--hosts.count={self.count} needs --hosts.coordinator=host:port, where process 0 is."
            )
        if self.detect and self.coordinator:
            raise UserError(
                "--hosts.detect=true finds the coordinator itself: leave --hosts.coordinator out."
            )
        for name in ("wait", "lost"):
            seconds = getattr(self, name)
            if seconds < 1:
                raise UserError(f"--hosts.{name}={seconds} must be at least 1 second.")


def process() -> tuple[int, int]:
    """(number of this process, how many there are)."""
    return jax.process_index(), jax.process_count()


def from_first(value: Any) -> Any:
    """What process 0 passed, in every process; all must call it at the same point. `value`: whatever JSON can hold."""
    if jax.process_count() == 1:
        return value
    own = value if jax.process_index() == 0 else None  # the others' may be anything
    text = np.frombuffer(json.dumps(own).encode(), np.uint8)
    # arrays of one shape in all processes can be sent: first the length, then so many bytes
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    fitting = text[:size]
    padded = np.zeros(size, np.uint8)
    padded[: len(fitting)] = fitting
    sent = multihost_utils.broadcast_one_to_all(padded)
    return json.loads(sent.tobytes())
