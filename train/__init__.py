"""Training: networks, losses, data and the two training commands. Needs torch."""

if __name__ == "train":  # `python -m train.NAME` in a checkout: one package, not two
    import sys

    import intrinsic_flow.train

    sys.modules["train"] = intrinsic_flow.train
