"""Caption metrics as coco-caption computes them, with intervals, human ceiling and floor.

Everything here is numpy and plain Python, so that scoring starts at once and needs neither Java nor torch. The one
exception is `captiongen.metrics.cider_metric`, which subclasses `torchmetrics.Metric` and is a module of its own for
that reason: whoever wants the metric imports it by name, nothing else in this package does.

Values are in the scale of papers: BLEU, ROUGE-L and METEOR 0..100, CIDEr-D 0..1000 (100 is about human).
"""
