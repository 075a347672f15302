"""`python -m captiongen` is the command `captiongen`: the form that `torchrun -m` starts."""

from captiongen.cli import main

if __name__ == "__main__":
    main()
