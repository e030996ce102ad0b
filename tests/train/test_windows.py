"""Windows, block means and work on chosen rows, against torch's pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from intrinsic_flow.train.data.windows import block_means, on_rows, windows


def test_windows_are_those_of_pooling():
    x = torch.randn(2, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    assert torch.equal(windows(x, 5, torch.maximum), F.max_pool2d(x, 5, stride=1))
    assert torch.equal(windows(x, 5, torch.minimum), -F.max_pool2d(-x, 5, stride=1))
    torch.testing.assert_close(windows(x, 3, torch.add) / 9, F.avg_pool2d(x, 3, stride=1))


def test_block_means_of_codes_are_exact():
    codes = torch.randint(0, 256, (2, 2, 3, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block_means(codes, 2).flatten(0, 1), F.avg_pool2d(codes.float().flatten(0, 1), 2))


def test_rows_without_an_amount_are_not_computed():
    seen = []

    def add(x, amount):
        seen.append(len(x))
        return x + amount

    x, amount = torch.arange(4.0)[:, None, None, None], torch.tensor([0.0, 2.0, 0.0, 3.0])[:, None, None, None]
    assert on_rows(add, x, amount).flatten().tolist() == [0, 3, 2, 6] and seen == [2]
    assert on_rows(add, x, 0 * amount) is x and seen == [2]
