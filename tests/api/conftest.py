"""What the examples find in their folder: DATA, RUN, photo.png and photos/."""

import pytest


@pytest.fixture(scope="session")
def examples_folder(tmp_path_factory):
    """A folder with a small data set, a run that was trained for two steps, and pictures."""
    from PIL import Image
    from tiny_network import GENOTYPE

    from deeplab_dpc import read_dataset, train
    from deeplab_dpc.data.spread import spread_images
    from deeplab_dpc.datasets.shapes import build_shapes

    folder = tmp_path_factory.mktemp("examples")
    build_shapes(folder / "DATA", num_train=6, num_val=3, image_size=(65, 81))
    dataset = read_dataset(folder / "DATA")
    train(
        folder / "RUN",
        dataset,
        model_variant="auto_deeplab",
        genotype=GENOTYPE,
        nas_stem_output_num_conv_filters=2,
        dense_prediction_cell="conv1x1",
        training_number_of_steps=2,
        train_batch_size=2,
        train_crop_size=(33, 33),
    )
    (folder / "photos").mkdir()
    for number, (_, image) in enumerate(spread_images(dataset, "val", 2)):
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    Image.open(folder / "photos" / "0.png").save(folder / "photo.png")
    return folder
