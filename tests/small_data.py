"""Small images and configs that several tests need."""
import numpy as np
from PIL import Image


def write_image(path, seed=0, size=(40, 30), **save):
    """Write noise of ``size`` (width, height); ``save`` goes to Pillow."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, **save)
