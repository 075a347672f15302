"""Captions as tasks for Label Studio, where people correct the errors that were found."""

import json
from collections.abc import Iterable

from captiongen.analysis.errors.caption_error import ErrorType
from captiongen.analysis.findings import AnalysedCaption

_CONFIG = """<View>
  <Image name="picture" value="$image" width="480px"/>
  <Header value="The model says"/>
  <Text name="caption" value="$caption"/>
  <Header value="People say"/>
  <Text name="references" value="$references"/>
  <Choices name="errors" toName="caption" choice="multiple" showInline="true">
%s
  </Choices>
  <TextArea name="correction" toName="caption" rows="2" maxSubmissions="1" placeholder="A better caption"/>
</View>
"""


def labelling_config() -> str:
    """Returns the labelling interface that `labelling_tasks` fills; it goes into the settings of the project."""
    return _CONFIG % "\n".join(f'    <Choice value="{kind.value}"/>' for kind in ErrorType)


def labelling_tasks(captions: Iterable[tuple[AnalysedCaption, str]], *, model: str) -> str:
    """Returns tasks that Label Studio imports, the errors found as predictions that a person corrects.

    Args:
        captions: with the `data:` URI of the picture.
        model: its name: the predictions' version.
    """
    tasks = [
        {
            "data": {
                "image": picture,
                "image_id": one.judged.image.image_id,
                "caption": one.judged.image.hypotheses[0].caption,
                "references": "\n".join(one.judged.image.references),
                "badness": round(one.judged.badness, 4),
            },
            "predictions": [
                {
                    "model_version": model,
                    "score": round(1.0 - one.judged.badness, 4),
                    "result": [
                        {
                            "from_name": "errors",
                            "to_name": "caption",
                            "type": "choices",
                            "value": {"choices": sorted({error.type.value for error in one.judged.judgement.errors})},
                        }
                    ],
                }
            ],
        }
        for one, picture in captions
    ]
    return json.dumps(tasks, indent=1) + "\n"
