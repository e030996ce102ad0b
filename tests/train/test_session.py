"""Buckets and the plan of steps: what is drawn when, alone and in several processes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from intrinsic_flow.train.config import ConfigError, VaeConfig
from intrinsic_flow.train.data.buckets import make_buckets, parse_size
from intrinsic_flow.train.distributed import Processes
from intrinsic_flow.train.session import open_session


def session_of(tiny_options, **changes):
    config = VaeConfig(**{**tiny_options, "steps": 1, **changes})
    config.check()
    return open_session(config)


@pytest.mark.parametrize(("text", "size"), [("256", (256, 256)), ("320x192", (192, 320)), (" 64x32 ", (32, 64))])
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "100", "192x", "x32", "32x40", "-32"])
def test_wrong_sizes_are_refused(text):
    with pytest.raises(ValueError, match="multiples of 32"):
        parse_size(text)


def test_buckets_keep_the_pixels_of_a_step():
    buckets = make_buckets(("256", "192x256", "320x256", "512", "192"), 64)
    assert buckets[0].batch == 64
    for bucket in buckets:
        assert bucket.height * bucket.width * bucket.batch == pytest.approx(64 * 256 * 256, rel=0.03)
    assert make_buckets(("32", "512"), 2)[1].batch == 1


def test_every_bucket_comes_once_a_round_in_an_order_from_the_seed(tiny_options):
    session = session_of(tiny_options, buckets=("64", "32x64", "64x32"))
    rounds = [[session.plan(3 * turn + place).size for place in range(3)] for turn in range(8)]
    for sizes in rounds:
        assert sorted(sizes) == [(32, 64), (64, 32), (64, 64)]
    assert len(set(map(tuple, rounds))) > 1
    again = session_of(tiny_options, buckets=("64", "32x64", "64x32"))
    assert [again.plan(step).size for step in range(24)] == [size for sizes in rounds for size in sizes]


def test_each_bucket_sees_every_view_once_an_epoch(tiny_options):
    session = session_of(tiny_options, buckets=("64", "32x64"))
    seen: dict[tuple[int, int], list[int]] = {}
    for step in range(8):
        plan = session.plan(step)
        assert len(plan.index) == plan.bucket.batch
        seen.setdefault(plan.size, []).extend(plan.index.tolist())
    for numbers in seen.values():
        for epoch in range(len(numbers) // 8):
            assert sorted(numbers[8 * epoch : 8 * epoch + 8]) == list(range(8))


def test_processes_share_the_rows_of_a_step(tiny_options):
    session = session_of(tiny_options, batch=5)
    whole = session.plan(3)
    parts = [dataclasses.replace(session, processes=Processes(rank, 2)).plan(3) for rank in range(2)]
    assert [len(part.index) for part in parts] == [3, 2]
    numbers, part_numbers = whole.draws.normal(2), [part.draws.normal(2) for part in parts]
    for rank in range(2):
        assert torch.equal(parts[rank].index, whole.index[rank::2])
        assert torch.equal(part_numbers[rank], numbers[rank::2])


def test_parts_average_to_the_mean_also_of_an_uneven_batch():
    values = torch.rand(5)
    ranks = [Processes(rank, 2) for rank in range(2)]
    for count in (1, 3, 5):
        mine = [values[p.rows(5)][: p.leading(count)] for p in ranks]
        assert min(map(len, mine)) >= 1
        parts = [p.share(part, count) for p, part in zip(ranks, mine)]
        torch.testing.assert_close(torch.stack(parts).mean(), values[:count].mean())


def test_a_bucket_that_no_view_is_large_enough_for_is_named(tiny_options, shard_folder):
    data = {"data": str(shard_folder)}
    with pytest.raises(ConfigError, match=r"views of 64x64.*96x64.*--max-enlargement"):
        session_of(tiny_options, **data, buckets=("64", "96x64"))
    session = session_of(tiny_options, **data, buckets=("64", "96x64"), max_enlargement=1.5)
    assert [len(numbers) for numbers in session.fitting] == [4, 4]


def test_a_batch_smaller_than_the_processes_is_refused(tiny_options, monkeypatch):
    monkeypatch.setattr("intrinsic_flow.train.session.join_processes", lambda kind: Processes(0, 8))
    with pytest.raises(ConfigError, match=r"64x64 \(4 images\).*8 processes"):
        session_of(tiny_options)


def test_a_norm_behind_frozen_layers_trains_channels_last(tiny_options):
    session = session_of(tiny_options)
    norm = session.place(torch.nn.GroupNorm(4, 48))
    x = torch.randn(2, 48, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.nn.functional.group_norm(x, 4)
    norm(x.contiguous(memory_format=torch.channels_last)).sum().backward()
    torch.testing.assert_close(norm.weight.grad, expected.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
