"""What the data contract expects of a manifest: the Great Expectations suites, one check after the other.

To add a check, add a line here; to relax one, change its limit in `validate:` of params.yaml or name it under
`validate.warn`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from captiongen.data.contract_tables import LEARNING_SPLITS
from captiongen.params import ValidateParams
from captiongen.types import SPLITS

Table = Literal["manifest", "images", "captions", "pairs_across_splits", "pairs_within_split", "splits", "vocabulary"]

_STRINGS = ("image_id", "path", "sha256", "perceptual_hash", "mode", "format", "decode_error", "split")
_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_STRINGS, ("str",)),
    "num_bytes": ("int64",),
    "width_px": ("int32", "int64"),
    "height_px": ("int32", "int64"),
    "is_decodable": ("bool",),
    "captions": ("list", "tuple", "ndarray"),
    "seam_strength": ("float32", "float64"),
}

# The patterns are read by two engines (re and RE2, by pandas' string storage): no look-around, no \u escapes in them.
_CONTROLS = "\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"
_LATIN = " -~\u00a0-\u024f\u0300-\u036f\u1e00-\u1eff\u2010-\u2027\u2030-\u205e\u20a0-\u20cf\u2122"
# UTF-8 read as Windows-1252: a lead byte (Ã, Â, â) before what a continuation byte became.
_CP1252 = (
    "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013-\u2026\u2030\u2039\u203a\u20ac\u2122"
)
_WRONG_ENCODING = f"\ufffd|[\u00c3\u00c2][{_CP1252}]|\u00e2[\u0080\u20ac]"
_OTHER_SCRIPTS = f"[^{_LATIN}{_CONTROLS}\ufffd]"
_HTML = r"<[a-zA-Z/!][^>]*>|&(?:#[0-9]+|#x[0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]{1,7});"
_PLACEHOLDER = r"(?i)^\s*(?:nan|none|null|n/a|#n/a|undefined)\s*$"
_FILE_NAME = r"(?i)^\S+\.(?:jpe?g|png|gif|webp|tiff?|bmp)(?:#[0-9]+)?$"
_SENTENCE = r"\S\s+\S+\s+\S+\s+\S"
_UNSAFE = f"(?:^|/)\\.\\.(?:/|$)|^/|^[a-zA-Z]:|\\\\|[{_CONTROLS}]|^\\s*$"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of the contract.

    Attributes:
        name: what findings carry and `validate.warn` lists; several expectations may share one.
        table: which of the contract's tables it judges.
        expected: ends the sentence "Expected ...".
        expectation: the Great Expectations object, with its severity.
    """

    name: str
    table: Table
    expected: str
    expectation: Any


def schema_checks() -> Iterator[Check]:
    """Yields what must hold before anything else can be judged: columns, types, and the form of the hashes."""
    import great_expectations.expectations as gxe

    columns = gxe.ExpectTableColumnsToMatchSet(column_set=sorted(_TYPES), exact_match=False)
    yield Check("schema_columns", "manifest", f"the columns {', '.join(sorted(_TYPES))}", columns)
    for column, types in _TYPES.items():
        of_type = gxe.ExpectColumnValuesToBeInTypeList(column=column, type_list=list(types))
        yield Check("schema_types", "manifest", f"{' or '.join(types)} values in {column}", of_type)
    for column, pattern in (("sha256", "^[0-9a-f]{64}$"), ("perceptual_hash", "^(?:[0-9a-f]{16})?$")):
        is_hash = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern)
        yield Check("schema_types", "manifest", f"hex digits ({pattern}) in {column}", is_hash)


def content_checks(params: ValidateParams) -> Iterator[Check]:
    """Yields everything that a manifest of the right schema must fulfil."""
    yield from _image_checks(params)
    yield from _split_checks(params)
    yield from _caption_checks(params)
    yield from _caption_set_checks(params)


def _image_checks(params: ValidateParams) -> Iterator[Check]:
    import great_expectations.expectations as gxe

    def check(name: str, expected: str, expectation: Any) -> Check:
        return Check(name, "images", expected, expectation)

    yield check("has_images", "at least one image", gxe.ExpectTableRowCountToBeBetween(min_value=1))
    for column in ("image_id", "path", "sha256", "num_bytes", "is_decodable", "split"):
        yield check("no_nulls", f"a value in {column}", gxe.ExpectColumnValuesToNotBeNull(column=column))
    for column, name in (("image_id", "unique_ids"), ("path", "unique_paths")):
        yield check(name, f"every {column} once", gxe.ExpectColumnValuesToBeUnique(column=column))
    for column, name in (("image_id", "safe_ids"), ("path", "safe_paths")):
        is_unsafe = gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=_UNSAFE)
        yield check(name, f"{column} to be a relative name without .., backslash or control characters", is_unsafe)
    is_sentence = gxe.ExpectColumnValuesToNotMatchRegex(column="image_id", regex=_SENTENCE)
    yield check("swapped_columns", "image ids that are names, not sentences (are columns swapped?)", is_sentence)
    decodes = gxe.ExpectColumnValuesToBeInSet(column="is_decodable", value_set=[True])
    yield check("decodable", "pictures that decode to their last pixel", decodes)
    shorter = gxe.ExpectColumnValuesToBeBetween(column="shorter_side_px", min_value=params.min_side_px)
    yield check("min_side", f"sides of at least {params.min_side_px} px", shorter)
    longer = gxe.ExpectColumnValuesToBeBetween(column="longer_side_px", max_value=params.max_side_px)
    yield check("max_side", f"sides of at most {params.max_side_px} px", longer)
    size = gxe.ExpectColumnValuesToBeBetween(column="num_bytes", min_value=1, max_value=params.max_bytes)
    yield check("file_size", f"files of 1 to {params.max_bytes} bytes", size)
    aspect = gxe.ExpectColumnValuesToBeBetween(column="aspect_ratio", max_value=params.max_aspect_ratio)
    yield check("aspect_ratio", f"a longer side of at most {params.max_aspect_ratio:g} times the shorter", aspect)
    seam = gxe.ExpectColumnValuesToBeBetween(
        column="seam_strength", max_value=params.max_seam_strength, severity="warning"
    )
    yield check("damaged_pictures", "no washed-out or blacked-out part below a seam (seam strength)", seam)
    exact = params.captions_per_image
    number = gxe.ExpectColumnValuesToBeBetween(column="num_captions", min_value=exact or 1, max_value=exact)
    yield check("captions_per_image", f"{exact or 'at least one'} captions an image", number)


def _split_checks(params: ValidateParams) -> Iterator[Check]:
    import great_expectations.expectations as gxe

    names = gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS))
    yield Check("split_names", "images", f"splits named {', '.join(SPLITS)}", names)
    for split, fraction in params.min_split_fractions.items():
        share = gxe.ExpectColumnMinToBeBetween(column=split, min_value=fraction)
        yield Check("split_fractions", "splits", f"at least {fraction:g} of the images in {split}", share)
    for split in LEARNING_SPLITS:
        filled = gxe.ExpectColumnMinToBeBetween(column=split, min_value=0, strict_min=True)
        yield Check("splits_present", "splits", f"images in {split}", filled)
    one = gxe.ExpectColumnValuesToBeBetween(column="num_splits", max_value=1)
    yield Check("split_leak_ids", "images", "each image id in one split", one)
    pairs: tuple[tuple[Table, str, str, str, str], ...] = (
        ("pairs_across_splits", "split_leak_files", "split_leak_lookalikes", "different splits", "critical"),
        ("pairs_within_split", "duplicate_files", "lookalikes", "one split", "warning"),
    )
    for table, files, looks, where, severity in pairs:
        differs = gxe.ExpectColumnValuesToBeInSet(column="is_same_file", value_set=[False], severity=severity)
        yield Check(files, table, f"no picture file twice in {where}", differs)
        bits = params.near_duplicate_distance
        far = gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=bits, strict_min=True, severity=severity)
        yield Check(looks, table, f"pictures in {where} to differ in more than {bits} bits of their hash", far)


def _caption_checks(params: ValidateParams) -> Iterator[Check]:
    import great_expectations.expectations as gxe

    def without(name: str, expected: str, pattern: str) -> Check:
        expectation = gxe.ExpectColumnValuesToNotMatchRegex(column="caption", regex=pattern)
        return Check(name, "captions", expected, expectation)

    present = gxe.ExpectColumnValuesToNotBeNull(column="caption")
    yield Check("caption_missing", "captions", "captions that are texts", present)
    yield without("caption_empty", "captions with words", r"^\s*$")
    yield without("caption_placeholder", "captions, no placeholders such as nan or null", _PLACEHOLDER)
    yield without("caption_encoding", "captions in one encoding (UTF-8 read as something else?)", _WRONG_ENCODING)
    yield without("caption_html", "no HTML in captions", _HTML)
    yield without("caption_control_characters", "no control or invisible characters in captions", f"[{_CONTROLS}]")
    yield without("swapped_columns", "captions that are sentences, not file names (are columns swapped?)", _FILE_NAME)
    if params.caption_script == "latin":
        yield without("caption_characters", "printable Latin characters (validate.caption_script: any)", _OTHER_SCRIPTS)


def _caption_set_checks(params: ValidateParams) -> Iterator[Check]:
    import great_expectations.expectations as gxe

    few, many, rare = params.min_caption_tokens, params.max_caption_tokens, params.max_short_captions_fraction
    short = gxe.ExpectColumnValuesToBeBetween(column="num_tokens", min_value=few, severity="warning")
    yield Check("short_captions", "captions", f"captions of at least {few} words", short)
    mostly = gxe.ExpectColumnValuesToBeBetween(column="num_tokens", min_value=few, mostly=1 - rare)
    yield Check("short_captions_fraction", "captions", f"at most {rare:g} of the captions under {few} words", mostly)
    long = gxe.ExpectColumnValuesToBeBetween(column="num_tokens", max_value=many)
    yield Check("long_captions", "captions", f"captions of at most {many} words", long)
    rare = params.max_duplicate_caption_fraction
    repeated = gxe.ExpectColumnValuesToBeBetween(column="num_repeated_captions", max_value=0, severity="warning")
    yield Check("repeated_captions", "images", "different captions of one image", repeated)
    seldom = gxe.ExpectColumnValuesToBeBetween(column="num_repeated_captions", max_value=0, mostly=1 - rare)
    yield Check("repeated_captions_fraction", "images", f"at most {rare:g} of the images to repeat a caption", seldom)
    words = gxe.ExpectColumnMinToBeBetween(column="num_train_words", min_value=params.min_vocabulary)
    yield Check("vocabulary", "vocabulary", f"at least {params.min_vocabulary} different words in train", words)
    limit = params.max_unseen_words_fraction
    unseen = gxe.ExpectColumnMaxToBeBetween(column="unseen_words_fraction", max_value=limit)
    yield Check("unseen_words", "vocabulary", f"at most {limit:g} of test's words to be unknown to train", unseen)
