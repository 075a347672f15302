"""CaptionGen: from captioned photographs to a captioner in service."""

from captiongen import _torchvision

__version__ = "0.1.0"

_torchvision.install_import_hook()
