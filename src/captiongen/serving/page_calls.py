"""What the page may ask through Gradio's queue, checked before Gradio sees it.

Gradio answers a function that is not there with a 500 and a traceback, and malformed arguments with the words of the
library that checks them.
"""

import json
from collections.abc import Mapping
from typing import Any

from gradio.data_classes import ImageData
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captiongen.serving.limits import BadCall, Refused

_JOIN = "/gradio_api/queue/join"
_REMEDY = "This route is the page's own; programs send pictures to POST /caption."


class PageCalls:
    """ASGI middleware: answers 400 to a call that the page would not make.

    Args:
        app: the web application with the page.
        num_inputs: how many arguments each of the page's functions takes, by its index.
    """

    def __init__(self, app: ASGIApp, num_inputs: Mapping[int, int]) -> None:
        self._app = app
        self._num_inputs = num_inputs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/") != _JOIN:
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        try:
            check_call(body, self._num_inputs)
        except Refused as refused:
            await refused.response()(scope, receive, send)
            return
        is_replayed = False

        async def replay() -> Message:
            nonlocal is_replayed
            if is_replayed:
                return await receive()
            is_replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


def check_call(body: bytes, num_inputs: Mapping[int, int]) -> None:
    """Checks the body of a call; arguments as `PageCalls`.

    Raises:
        BadCall: it is no JSON object, names no function of the page, or its arguments have another form.
    """
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        raise BadCall(f"Expected a JSON object, found {len(body)} bytes of something else. {_REMEDY}") from None
    if not isinstance(call, dict):
        raise BadCall(f"Expected a JSON object, found {_kind(call)}. {_REMEDY}")
    index, data, event = call.get("fn_index"), call.get("data"), call.get("event_data")
    if type(index) is not int or index not in num_inputs:
        known = ", ".join(map(str, num_inputs))
        raise BadCall(f"Expected one of {known} as `fn_index`, found {_shown(index)}. {_REMEDY}")
    if not isinstance(call.get("session_hash"), str):
        raise BadCall(f"Expected a string as `session_hash`, found {_kind(call.get('session_hash'))}. {_REMEDY}")
    if not isinstance(data, list) or len(data) != num_inputs[index]:
        found = f"{len(data)}" if isinstance(data, list) else _kind(data)
        raise BadCall(f"Expected a list of {num_inputs[index]} in `data`, found {found}. {_REMEDY}")
    if not all(map(_is_picture, data)):
        raise BadCall(f"Expected an uploaded picture, or null, in `data`, found something else. {_REMEDY}")
    # A function without arguments is told by the event which picture was chosen.
    if not data and not (isinstance(event, dict) and type(event.get("index")) is int and "value" in event):
        raise BadCall(f"Expected an object with `index` and `value` as `event_data`, found {_kind(event)}. {_REMEDY}")


def _is_picture(value: object) -> bool:
    try:
        return value is None or (isinstance(value, dict) and isinstance(ImageData.model_validate(value), ImageData))
    except ValidationError:
        return False


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a JSON {type(value).__name__}"


def _shown(value: object) -> str:
    return str(value)[:20] if isinstance(value, int) else _kind(value)
