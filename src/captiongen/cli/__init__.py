"""The command line, and the composition root: the only place that wires vendors to stages.

Each module of this package holds one family of commands; nothing heavy is imported before a command needs it.
"""

from captiongen.cli.app import main

__all__ = ["main"]
