"""The embedded sample data set: small drawn scenes, rendered from a seed, whose truth is known to the last object.

Reading order: `world` (what there is), `scene`, `compose` and `placement` (one scene as values), `figures` and
`surroundings` (how it looks), `render` (the picture), `language` (what five people say of it), `dataset` (the files).
"""
