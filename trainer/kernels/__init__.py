"""Kernels, which compute a training step by Keras's own operations, fused ones, or convolutions as matrix products."""
