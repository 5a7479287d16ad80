"""Prediction of images of any size in bounded memory: overlapping windows, whose probabilities are averaged."""

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.models.image_predictor import ImagePredictor


class SlidingWindow:
    """Predicts windows of an image; an ImagePredictor.

    An image that is smaller than the window is predicted whole. Windows overlap by `window_overlap`, evenly spread, and
    the last ones end at the border. Only the rows of the windows that are being predicted are held.
    """

    def __init__(self, predictor: ImagePredictor, config: InferenceConfig):
        self.predictor = predictor
        self.num_classes = predictor.num_classes
        self.window = config.sliding_window
        self.overlap = config.window_overlap
