"""The benchmarks of `scripts/bench.py`: one module each, with a function `run`, imported on demand."""

NAMES = {
    "speed": "a training step of Inkwell, Keras, PyTorch and Lightning on the same network and images",
    "overhead": "epochs of the trainer with its plugins against bare calls of the same compiled functions",
    "augment": "a training step without, with light and with strong augmentation",
    "scaling": "cost per image and memory, from 10,000 to 600,000 images, in batches of 32, 128 and 512",
    "startup": "from the start of fit.py to its first step, compared with importing TensorFlow",
    "inference": "predictions for 10,000 images, and for one",
    "race": "from process start to 99.2 % validation accuracy, against Keras and Lightning",
    "resume": "from the start of fit.py --resume to its first step, after 100 and after 100,000 steps",
    "save": "cost of checkpoints: the pause in training, and the share of a run",
    "tracking": "slowdown of a run caused by its mirror in MLflow",
}
"""The benchmarks, with a description of each."""

FILE, STOP_AT = "INKWELL_BENCH_FIRST_STEP", "INKWELL_BENCH_STOP_AT"
"""Environment variables that tell `scripts.benchmarks.first_step` what to do."""
