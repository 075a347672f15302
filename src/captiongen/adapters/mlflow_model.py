"""The captioner as MLflow runs it: pictures in, captions out.

MLflow stores this file as the model's code ("models from code") and executes it when the model is loaded, with the
copy of `captiongen` that was registered beside it. Only MLflow imports it; the last line hands the model over.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

ARTIFACT = "captioner"
INPUT_COLUMN = "image"
_BATCH_SIZE = 16


class RegisteredCaptioner(PythonModel):  # type: ignore[misc]
    """Captions encoded pictures; loads its weights from the registered folder, never from a pickle."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the captioner folder, checking its hashes.

        Raises:
            CheckpointError: the folder is damaged.
        """
        from captiongen.inference import CaptionEngine

        self._engine = CaptionEngine.load(Path(context.artifacts[ARTIFACT]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Captions pictures.

        Args:
            context: unused.
            model_input: encoded pictures (JPEG, PNG, ...) as bytes or base64 text, in a column `image` or the only one;
                MLflow makes such a table of a list. Paths and addresses are refused: nothing is read or fetched.
            params: unused.

        Returns:
            One row per picture: `caption`, `log_probability` (natural log, of all its tokens), and `alternatives`, a
            JSON list of the runners-up as {caption, log_probability}, best first.

        Raises:
            UsageError: an element is neither bytes nor base64 text.
            ImageDecodeError: bytes that are no readable picture.
        """
        from captiongen.data.images import decode_image

        column = INPUT_COLUMN if INPUT_COLUMN in model_input.columns else model_input.columns[0]
        pictures = [decode_image(_as_bytes(element)) for element in model_input[column]]
        results = [
            result
            for start in range(0, len(pictures), _BATCH_SIZE)
            for result in self._engine.caption(pictures[start : start + _BATCH_SIZE])
        ]
        return pd.DataFrame(
            {
                "caption": [result.best.caption for result in results],
                "log_probability": [result.best.log_probability for result in results],
                "alternatives": [
                    json.dumps(
                        [{"caption": h.caption, "log_probability": h.log_probability} for h in result.hypotheses[1:]]
                    )
                    for result in results
                ],
            }
        )


def _as_bytes(element: object) -> bytes:
    from captiongen.errors import UsageError

    if isinstance(element, bytes | bytearray):
        return bytes(element)
    if isinstance(element, str):
        try:
            return base64.b64decode(element, validate=True)
        except (binascii.Error, ValueError):
            pass  # a path or an address, most likely
    raise UsageError(
        f"Expected the bytes of a picture, or their base64 text, found {str(element)[:80]!r}. Read the file first; "
        "paths and addresses are not opened."
    )


set_model(RegisteredCaptioner())
