"""Robustness of a model to images that are worse than, or different from, its training images.

corruptions.py  the 15 corruptions of MNIST-C, and which of them a run's augmentation resembles
noise.py, blur.py, geometry.py, marks.py, clouds.py
                implementations of the corruptions
variations.py   shifts, rotations, sizes and stroke widths, in steps
seeding.py      randomness that depends on the content of an image, not on its position
measure.py      accuracy and calibration under all of them
"""
