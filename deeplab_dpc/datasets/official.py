"""Constants of the official data sets and papers for the flags, apart from the converters, which load TensorFlow."""

ADE20K_PAGE = "http://sceneparsing.csail.mit.edu"
ADE20K_ARCHIVE = "ADEChallengeData2016.zip"
ADE20K_PAPER_MAX_SIDE = 513  # of training images; Auto-DeepLab (arXiv:1901.02985), Sec. 5.2.3
COCO_MIN_LABELLED_PIXELS = 1001  # more than 1000; arXiv:1706.05587, Sec. 4.3
COCO_CLASSES = ("auto", "voc", "own")  # values of --categories: whose categories become the classes
