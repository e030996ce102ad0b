"""The three networks: albedo VAE, conditioning encoder, velocity UNet; and the configurations that size them."""
