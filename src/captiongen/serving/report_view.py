"""The form under a caption with which a visitor reports it, and the script that sends it to `POST /feedback`."""

from html import escape
from pathlib import Path

from captiongen.data.feedback import Reason
from captiongen.serving.limits import MAX_CORRECTION_CHARACTERS, MAX_KEPT_PX

_REASONS: dict[Reason, str] = {
    "object": "a thing or creature is wrong or missing",
    "colour": "a colour is wrong",
    "count": "the number is wrong",
    "action": "what happens is wrong",
    "place": "the place is wrong",
    "language": "it is bad language: grammar, repetition, cut off",
    "offensive": "it is offensive",
    "other": "something else",
}
_CONSENT = f"""<label class="cg-consent"><input type="checkbox" name="consent" value="yes">
<span>Keep my picture with this report, so that a next model can learn from it. What is kept is a copy of at most
{MAX_KEPT_PX:,} pixels, without the place, time and camera that the file may tell. Tick this only if everybody in it
would agree.</span></label>"""


def report_view(receipt: str, *, with_picture: bool) -> str:
    """Shows the form, folded away.

    Args:
        receipt: of the caption.
        with_picture: offers to send the picture along.
    """
    options = "".join(f'<option value="{reason}">{words}</option>' for reason, words in _REASONS.items())
    return f"""<details class="cg-report"><summary>Report this caption</summary>
<form action="feedback" method="post" enctype="multipart/form-data">
<input type="hidden" name="receipt" value="{escape(receipt, quote=True)}">
<label>What would you say instead? <input type="text" name="correction" maxlength="{MAX_CORRECTION_CHARACTERS}"
autocomplete="off" placeholder="One sentence that describes the picture"></label>
<label>What is wrong? <select name="reason"><option value="">Choose, if you like</option>{options}</select></label>
{_CONSENT if with_picture else ""}
<p class="cg-hint">Kept until whoever runs this service deletes it: this caption, your answers and a fingerprint of the
file, by which the picture cannot be made but can be recognised. They delete it when you tell them the number of your
report.</p>
<button type="submit">Send report</button>
</form><p class="cg-sent" role="status" tabindex="-1"></p></details>"""


def report_script() -> str:
    """Returns the script as an element of the page's head."""
    return f"<script>{Path(__file__).with_name('report.js').read_text(encoding='utf-8')}</script>"
