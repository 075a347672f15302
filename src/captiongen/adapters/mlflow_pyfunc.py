"""A captioner folder as an MLflow model that runs where captiongen is not installed."""

from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path

import captiongen

#: What a process needs to load and run a registered model, beside the code that is registered with it.
_RUNTIME = (
    "filelock", "numpy", "pandas", "pillow", "pyarrow", "pydantic", "pyyaml", "safetensors", "timm", "tokenizers",
    "torch", "torchvision", "tqdm",
)  # fmt: skip


def save_pyfunc(folder: Path, artifacts: Mapping[str, Path], example_image: bytes) -> None:
    """Writes a captioner as MLflow loads it: captiongen's code and the model's files beside each other, no pickle.

    Args:
        folder: must not exist yet.
        artifacts: name -> folder; `captioner` is the one that captions.
        example_image: an encoded picture, the model's input example.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    package = Path(captiongen.__file__).parent
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(package / "adapters" / "mlflow_model.py"),
        code_paths=[str(package)],
        artifacts={name: str(path.resolve()) for name, path in artifacts.items()},
        pip_requirements=[f"{name}=={installed_version(name).split('+')[0]}" for name in _RUNTIME],
        signature=ModelSignature(
            inputs=Schema([ColSpec("binary")]),  # without a name, so that a plain list of pictures does too
            outputs=Schema(
                [ColSpec("string", "caption"), ColSpec("double", "log_probability"), ColSpec("string", "alternatives")]
            ),
        ),
        input_example=pd.DataFrame({"image": [example_image]}),
    )
