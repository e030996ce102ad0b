"""Trains in two processes again and again: torch is loaded once, and each process of a training is a fork.

Reads a JSON line [module, arguments, ticks, killed] from standard input, as in
["train.vae", ["--steps", "3", "-o", "run"], null, null], and answers with a line [exit statuses, standard error of both].
ticks: for each process the seconds that its clock goes on whenever it is looked at; null: true clocks. killed: number of a
process that is killed at its first batch, as by the system where memory runs out; null: none. Environment and rendezvous
are those that torchrun gives its processes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable

import torch.distributed as dist

from intrinsic_flow.train import command, flow, loop, schedule, vae
from intrinsic_flow.train.run import Run

STAGES = {"train.vae": vae, "train.flow": flow}


class Clock:
    """Seconds that pass only when somebody looks."""

    def __init__(self, tick: float):
        self.tick, self.seconds = tick, 0.0

    def monotonic(self) -> float:
        self.seconds += self.tick
        return self.seconds


def fork(work: Callable[[], None]) -> int:
    """Process id of a child that works and ends."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        work()
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve_store(pipe: int) -> None:
    """The store that the processes meet at; this process has threads, so that it forks no other."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.write(pipe, str(store.port).encode())
    signal.pause()


def train(module: str, arguments: list[str], ticks: list[float] | None, killed: int | None) -> tuple[list[int], str]:
    ends = os.pipe()
    store = fork(lambda: serve_store(ends[1]))
    os.close(ends[1])
    port = os.read(ends[0], 16).decode()
    os.close(ends[0])
    with tempfile.TemporaryFile() as errors:

        def work(rank: int) -> None:
            os.dup2(errors.fileno(), 2)
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in place.items()}, TORCHELASTIC_USE_AGENT_STORE="True")
            if ticks:
                loop.time = schedule.time = vae.time = flow.time = Clock(ticks[rank])
            if rank == killed:
                STAGES[module].random_batch = lambda *batch: os.kill(os.getpid(), signal.SIGKILL)
            command.exit_with_one_line(lambda: STAGES[module].main(arguments))

        children = [fork(lambda rank=rank: work(rank)) for rank in range(2)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        os.kill(store, signal.SIGKILL)
        os.waitpid(store, 0)
        errors.seek(0)
        return statuses, errors.read().decode()


if __name__ == "__main__":
    Run.plot = lambda run: None
    for line in sys.stdin:
        print(json.dumps(train(*json.loads(line))), flush=True)
