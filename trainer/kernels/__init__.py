"""How a training step is computed: as Keras does, with fused operations, or with convolutions as matrix products."""
