"""What a bundle computes: albedo VAE, conditioning encoder, velocity UNet and the configurations that size them, and the
two stages without weights that make shading of the albedo (`low_shading`, `guided_upsampler`)."""
