"""How well a model reads images that are worse, or different, than those it was made for.

corruptions.py  the 15 corruptions of MNIST-C, and which of them a run's augmentation is like
noise.py, blur.py, geometry.py, marks.py, clouds.py
                what they do to images
variations.py   shifts, rotations, sizes and strokes, from none to a lot
seeding.py      randomness that depends on what an image shows, not on where it lies
measure.py      accuracy and calibration under all of them
"""
