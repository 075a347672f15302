"""The form of a report: what it offers, and that nothing in it is taken for markup."""

import re

from captiongen.data.feedback import REASONS
from captiongen.serving.report_view import report_script, report_view


def test_every_reason_can_be_chosen() -> None:
    """The options are the reasons that records know, in their order, and none."""
    assert re.findall(r'<option value="(\w*)">', report_view("r", with_picture=True)) == ["", *REASONS]


def test_the_receipt_is_text() -> None:
    """Whatever stands in a receipt, it ends no attribute."""
    form = report_view('"><script>', with_picture=False)
    assert "<script" not in form
    assert 'value="&quot;&gt;&lt;script&gt;"' in form


def test_every_field_has_a_label_and_the_rules_are_told() -> None:
    """Each visible field stands inside its label; what is kept, how long and how to undo it is said before sending."""
    form = report_view("r", with_picture=True)
    visible = re.findall(r'<(?:input type="(?!hidden)|select)', form)
    labels = re.findall(r"<label.*?</label>", form, flags=re.DOTALL)
    assert len(visible) == len(labels) == 3
    assert all(re.search("<(input|select)", label) for label in labels)
    assert form.index("until whoever runs this service deletes it") < form.index("<button")


def test_the_script_is_whole_and_asks_nobody_else() -> None:
    """It is one element, and names no other host."""
    script = report_script()
    assert script.count("</script>") == 1
    assert "://" not in script
