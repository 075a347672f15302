"""The embedded sample data set: small drawn scenes, rendered from a seed, whose truth is known to the last object.

Reading order: `world` (what there is), `layout` (one scene, composed), `figures` and `surroundings` (how it looks),
`render` (the picture), `language` (what five people say of it), `dataset` (the files).
"""
