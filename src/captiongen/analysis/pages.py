"""Self-contained HTML pages: pictures, styles and scripts stand inside, and nothing is fetched from anywhere."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: object) -> str:
    """Renders a template of `captiongen.analysis`; values are escaped where the template does not say otherwise.

    Args:
        template: its file name; one that extends page.html.
        values: what it names; page.html itself names `dataset`.

    Raises:
        jinja2.UndefinedError: it names a value that is not given.
    """
    environment = Environment(
        loader=PackageLoader("captiongen.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
