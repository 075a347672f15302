"""Proposed corrections of the training data, and what people decide on them."""

import sys
import webbrowser
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.feedback_commands import open_feedback, tell_left_behind
from captiongen.cli.layout import Layout
from captiongen.data.corrections import Kind, Origin, Proposal
from captiongen.data.decisions import Outcome, Verdict
from captiongen.errors import UsageError
from captiongen.text.printable import printable

if TYPE_CHECKING:
    from captiongen.cli.corrections_desk import CorrectionsDesk

app = typer.Typer()
_group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(
    _group,
    name="corrections",
    rich_help_panel="Data",
    help="Proposed corrections of the training data: look at them, accept or reject; the next `dvc repro` follows.",
    epilog="Example: `captiongen corrections review`, then `dvc repro`",
)

KindOption = Annotated[Kind | None, typer.Option("--kind", help="Only proposals of this kind.")]
SourceOption = Annotated[Origin | None, typer.Option("--source", help="Only what this source proposes.")]
MinScore = Annotated[float, typer.Option(help="Only proposals whose source is at least so sure.", min=0.0, max=1.0)]
By = Annotated[str, typer.Option(help="Who decides: a name to be kept with the decision.")]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which proposals a command is about."""

    kind: Kind | None = None
    source: Origin | None = None
    min_score: float = 0.0

    def keep(self, proposals: Iterable[Proposal]) -> list[Proposal]:
        """Returns those that pass, in their order."""
        return [
            one
            for one in proposals
            if one.score >= self.min_score
            and (self.kind is None or one.kind == self.kind)
            and (self.source is None or one.source == self.source)
        ]


@_group.command("list", epilog="Example: `captiongen corrections list --kind drop_caption --min-score 0.9`")
def list_(
    kind: KindOption = None,
    source: SourceOption = None,
    min_score: MinScore = 0.0,
    num: Annotated[int, typer.Option(help="Undecided proposals to show, the surest first.", min=0)] = 20,
) -> None:
    """Counts proposals by source and kind, and shows the undecided ones, the surest first."""
    filters, decisions = Filters(kind, source, min_score), open_desk().decisions
    undecided = filters.keep(decisions.undecided())
    counts = {"undecided": _counted(undecided)} | {
        str(verdict): _counted(filters.keep(one.proposal for one in decisions.decided(verdict).values()))
        for verdict in Verdict
    }
    rows = sorted(set().union(*counts.values()))
    if not rows:
        typer.echo(
            "Nothing is proposed. Proposals come from the stages and, with `import`, from the service's feedback."
        )
        return
    typer.echo(f"{'source':<10}{'kind':<18}" + "".join(f"{name:>11}" for name in counts))
    for row in rows:
        typer.echo(f"{row[0]:<10}{row[1]:<18}" + "".join(f"{number[row]:>11,}" for number in counts.values()))
    for one in undecided[:num]:
        typer.echo(f"\n{one}\n  {one.source} is {one.score:.0%} sure: {printable(one.reason)}")
    if len(undecided) > num:
        typer.echo(f"\n... and {len(undecided) - num:,} more: --num {len(undecided)} shows all")


def _deciding(verdict: Verdict) -> Callable[..., None]:
    """Returns the command that accepts, or the one that rejects: they differ in nothing else."""

    def command(
        ids: Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings.", show_default=False)] = None,
        is_all: Annotated[bool, typer.Option("--all", help="All that is undecided and passes the filters.")] = False,
        is_sure: Annotated[bool, typer.Option("--yes", help="With --all: do not ask first.")] = False,
        kind: KindOption = None,
        source: SourceOption = None,
        min_score: MinScore = 0.0,
        by: By = "",
    ) -> None:
        _decide(verdict, ids, is_all, Filters(kind, source, min_score), is_sure=is_sure, by=by)

    return command


_group.command(
    "accept",
    help="Accepts proposals: the next `dvc repro` makes them true.",
    epilog="Examples: `captiongen corrections accept 4f1a` · "
    "`captiongen corrections accept --all --source audit --min-score 0.95 --by Ada`",
)(_deciding(Verdict.ACCEPTED))
_group.command(
    "reject",
    help="Rejects proposals: they are not shown again, and nothing becomes stale.",
    epilog="Examples: `captiongen corrections reject 4f1a` · "
    "`captiongen corrections reject --all --kind relabel_caption --yes`",
)(_deciding(Verdict.REJECTED))


@_group.command(epilog="Example: `captiongen corrections rewrite 4f1a 'two dogs run in the snow'`")
def rewrite(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Id of a proposal about a caption, or its beginning.")],
    caption: Annotated[str, typer.Argument(help="What is right.")],
    by: By = "",
) -> None:
    """Accepts your own words in the place of the caption that a proposal is about, whatever it proposes."""
    desk = open_desk()
    proposals = desk.decisions.proposals()
    [name] = _full_ids([id_], proposals)
    try:
        rewritten = proposals[name].rewritten(caption)
    except ValueError as error:
        raise UsageError(f"{proposals[name]}: {error}.") from error
    _tell(desk.decide(rewritten, Verdict.ACCEPTED, by=by), len(rewritten), Verdict.ACCEPTED)


@_group.command(epilog="Example: `captiongen corrections undo 4f1a`")
def undo(ids: Annotated[list[str], typer.Argument(help="Ids of decisions, or their beginnings.")]) -> None:
    """Takes decisions back: the proposals are open again, and what accepted ones changed changes back."""
    desk = open_desk()
    decided = {name for verdict in Verdict for name in desk.decisions.decided(verdict)}
    for decision in desk.undo(_full_ids(ids, decided, absent="which is not decided, or was taken back")):
        typer.echo(f"undone: {decision.proposal}")


@_group.command("import", epilog="Example: `captiongen corrections import .captiongen/feedback`")
def import_(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where the service keeps its feedback; .captiongen/feedback of this project by default.",
            envvar="CAPTIONGEN_FEEDBACK",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Proposes to learn from feedback: pictures that users gave, with the captions they wrote instead.

    What has been deleted from the feedback is no longer proposed.
    """
    feedback = open_feedback(folder)
    undecided = open_desk().import_feedback(feedback)
    typer.echo(f"{len(undecided):,} undecided proposals from {feedback.root}. Next: captiongen corrections review")
    tell_left_behind(feedback)


@_group.command(
    epilog="Example: `captiongen corrections review --source audit --open`",
)
def review(
    kind: KindOption = None,
    source: SourceOption = None,
    min_score: MinScore = 0.0,
    by: By = "",
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 7861,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Shows undecided proposals one by one on a page of this machine: picture, captions, reason.

    Each decision is kept at once. Runs until Ctrl-C.
    """
    from captiongen.cli.corrections_review import open_review
    from captiongen.cli.serve_commands import need_port
    from captiongen.serving.review_page import run

    need_port(port)
    desk = open_review(Layout(), open_desk(), keep=Filters(kind, source, min_score).keep, by=by)
    url = f"http://127.0.0.1:{port}/"

    def announce() -> None:
        typer.echo(f"{len(desk.undecided()):,} to decide at {url} (Ctrl-C ends)")
        if is_opened:
            webbrowser.open(url)

    run(desk, port=port, announce=announce)


def open_desk(layout: Layout | None = None) -> "CorrectionsDesk":
    """Opens the corrections of a project, by default of the one in this folder."""
    from captiongen.adapters.dvc_data import DvcData
    from captiongen.cli.corrections_desk import CorrectionsDesk
    from captiongen.data.decisions import Decisions

    layout = layout or Layout()
    decisions = Decisions(layout.corrections, lock=layout.state / "corrections.lock")
    return CorrectionsDesk(layout.corrections, decisions, store=DvcData(layout.root))


def _decide(
    verdict: Verdict, ids: Sequence[str] | None, is_all: bool, filters: Filters, *, is_sure: bool, by: str
) -> None:
    desk = open_desk()
    if bool(ids) == is_all:
        raise UsageError("Expected ids, or --all with or without filters. `captiongen corrections list` shows the ids.")
    if ids:
        if filters != Filters():
            raise UsageError("Expected filters with --all only: ids say already which proposals are meant.")
        known = {name: one.proposal for kind in Verdict for name, one in desk.decisions.decided(kind).items()}
        known |= desk.decisions.proposals()
        chosen = [known[one] for one in _full_ids(ids, known)]
    else:
        chosen = filters.keep(desk.decisions.undecided())
        _confirm(chosen, verdict, is_sure=is_sure)
    _tell(desk.decide(chosen, verdict, by=by), len(chosen), verdict)


def _tell(outcome: Outcome, num_chosen: int, verdict: Verdict) -> None:
    for one in outcome.changed:
        typer.echo(f"{verdict}: {one}")
    for one in outcome.replaced:
        typer.echo(f"replaced, no longer accepted: {one}")
    if left_out := len(outcome.left_out):
        typer.echo(f"{left_out:,} were left out, as another is accepted of the same thing.")
    if same := num_chosen - len(outcome.changed) - left_out:
        typer.echo(f"{same:,} were {verdict} before.")
    if outcome.changed and verdict is Verdict.ACCEPTED:
        typer.echo('Next: dvc repro && git add corrections dvc.lock && git commit -m "Correct the training data"')


def _confirm(proposals: Sequence[Proposal], verdict: Verdict, *, is_sure: bool) -> None:
    """Counts what would be decided, and asks whoever sits there. What is decided then is what was counted."""
    for (source, kind), number in sorted(_counted(proposals).items()):
        typer.echo(f"{number:>7,} x {kind} by {source}")
    if is_sure or not proposals:
        return
    what = f"{len(proposals):,} proposals are to be {verdict}"
    if not sys.stdin.isatty():
        raise UsageError(f"Expected a terminal to ask at whether {what}, found none. Say --yes.")
    typer.confirm(f"Sure that {what}?", abort=True)


def _counted(proposals: Iterable[Proposal]) -> Counter[tuple[str, str]]:
    return Counter((one.source, str(one.kind)) for one in proposals)


def _full_ids(ids: Iterable[str], known: Iterable[str], *, absent: str = "which none has") -> list[str]:
    found = []
    for given in ids:
        if not given:  # an unset variable of a script would mean them all
            raise UsageError("Expected the id of a proposal or decision, found an empty one.")
        match [one for one in known if one.startswith(given)]:
            case [one]:
                found.append(one)
            case []:
                raise UsageError(f"Expected the id of a proposal or decision, found {given!r}, {absent}.")
            case several:
                raise UsageError(f"Expected one id, found {given!r}, with which {len(several)} begin. Give more of it.")
    return list(dict.fromkeys(found))
