"""deeplab-dpc fit; see --help."""

from deeplab_dpc.cli.main import run

if __name__ == "__main__":
    run("fit")
