"""The installed program as `python -m deeplab_dpc COMMAND --flags`, for where `deeplab-dpc` is not on the path."""

from deeplab_dpc.cli.main import main

if __name__ == "__main__":
    main()
