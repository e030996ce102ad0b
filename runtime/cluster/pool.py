"""Ray: the cluster, how many workers it holds, and units streamed through them."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from intrinsic_flow.cli.arguments import Settings
from intrinsic_flow.cluster.manifest import Report
from intrinsic_flow.cluster.units import Unit
from intrinsic_flow.cluster.worker import Worker
from intrinsic_flow.errors import InputError, MissingExtraError

#: How often Ray runs units again whose worker died, before they count as failed.
WORKER_DEATHS = 3
#: Ray keeps track of blocks of units, and tens of thousands of them are much for it.
MOST_BLOCKS = 10_000
DEFAULT_CORES = 4
_GPU_BACKENDS = ("cuda", "tensorrt", "tensorrt-rtx")


@dataclass(frozen=True)
class Pool:
    """workers: processes, each with `cores` CPU cores and `gpus` GPUs (0 or 1) to itself."""

    workers: int
    cores: int
    gpus: int


def import_ray() -> Any:
    """Ray without its telemetry, and quiet. Raises MissingExtraError."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray's own log goes to its session's folder; on the terminal it would bury this command's lines.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "cluster") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def cluster(address: str | None, cores: int | None, workers: int | None) -> Iterator[None]:
    """Connects to a running cluster, or (None) starts one on this machine that ends with the block.

    A local cluster has as many cores as this machine, or as the workers that are asked for need. Raises InputError for a
    cluster that does not answer, MissingExtraError.
    """
    ray = import_ray()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address is None:
        asked = (workers or 1) * (cores or 1)
        options |= {"num_cpus": max(os.cpu_count() or 1, asked), "include_dashboard": False}
    try:
        # Without an address Ray would join a cluster that RAY_ADDRESS names.
        ray.init("local" if address is None else address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(address or "local cluster", str(error), "the address of a Ray cluster, as host:6379") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_auto_log_stats = False
    # A unit whose worker dies again and again is reported as failed instead of ending the batch.
    context.max_errored_blocks = -1
    try:
        yield
    finally:
        ray.shutdown()


def size_pool(settings: Settings, cores: int | None, workers: int | None) -> Pool:
    """One worker per GPU where there are any and the backend can use them, else one per group of cores.

    Raises InputError where the cluster has no GPU and the backend needs one.
    """
    resources = import_ray().cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    if settings.backend in _GPU_BACKENDS and not gpus:
        raise InputError("cluster", "no GPU", f"one for --backend {settings.backend}")
    if gpus and (settings.backend in _GPU_BACKENDS or settings.backend == "auto"):
        return Pool(workers or gpus, cores or max(1, min(DEFAULT_CORES, cpus // gpus)), 1)
    cores = cores or min(DEFAULT_CORES, cpus)
    return Pool(workers or max(1, cpus // cores), cores, 0)


def run_units(units: Sequence[Unit], settings: Settings, pool: Pool, protected: frozenset[str]) -> Iterator[Report]:
    """Runs units on the pool; reports come as they are done. A unit whose worker died too often has none."""
    ray = import_ray()
    # Each worker sees its own GPU alone, and by that as number 0.
    settings = replace(settings, threads=settings.threads or pool.cores, device=0 if pool.gpus else settings.device)
    rows = [{"unit": unit.to_json()} for unit in units]
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
    with warnings.catch_warnings():
        # There is no other way yet to bound an actor's retries; the versions that the extra allows have this one.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        data = data.map(
            Worker,
            fn_constructor_args=(settings, protected),
            # One task in flight, or a worker would hold units back behind a long clip while others have nothing to do.
            compute=ray.data.ActorPoolStrategy(size=min(pool.workers, len(rows)), max_tasks_in_flight_per_actor=1),
            num_cpus=pool.cores,
            num_gpus=pool.gpus,
            max_task_retries=WORKER_DEATHS,
        )
    for row in data.iter_rows():
        yield Report.from_json(row["report"])
