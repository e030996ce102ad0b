"""Parts of the Triton Inference Server repository: model configurations and the model that unrolls the loop."""
