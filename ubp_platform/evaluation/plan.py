"""What an evaluation fits: the heads, representations, label budgets and seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.choices import ProtocolName
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.heads import HEADS, HeadName
from ubp_platform.evaluation.heads.boosting import WIDEST
from ubp_platform.evaluation.network import SEED
from ubp_platform.evaluation.representations import ORDERED, Kind, Representation
from ubp_platform.evaluation.tasks import Task

#: The smallest label budget: with fewer labels, the inner split holds out fewer than two clients.
FEWEST_LABELS = 10
# Representations that are compared in their own right: all but parts of the profile.
_COMPLETE: tuple[Kind, ...] = ("profile", "compact", "foreign", "baseline")


@dataclass(frozen=True)
class EvaluationPlan:
    """How representations are evaluated.

    Parameters
    ----------
    protocol : {"holdout", "challenge"}
    heads : sequence of {"network", "logistic", "boosting"}
        ``network`` alone under ``challenge``.
    seeds : sequence of int
        A seed determines the inner split, the network's initial weights and the labelled clients.
    budgets : sequence of int
        Numbers of labelled clients, in addition to all of them.
    """

    protocol: ProtocolName = "holdout"
    heads: Sequence[HeadName] = HEADS
    seeds: Sequence[int] = (SEED,)
    budgets: Sequence[int] = ()

    @property
    def skips_undefined(self) -> bool:
        """Whether classes with an undefined AUROC are left out of the mean."""
        return self.protocol != "challenge"

    def jobs(
        self, representations: Sequence[Representation], tasks: Sequence[Task]
    ) -> Iterator["Job"]:
        """Yield everything that is to be fitted."""
        for representation in representations:
            for task in tasks:
                for head in self.heads_of(representation):
                    for labels in self._labels(representation, task):
                        for seed in self.seeds:
                            yield Job(representation, task, head, labels, seed)

    def heads_of(self, representation: Representation) -> list[HeadName]:
        """Return the heads that are fitted on a representation.

        A profile without a block is compared with the full profile by a single head: logistic
        regression, which is deterministic except for the inner split.
        """
        heads = [
            name for name in self.heads if name != "boosting" or can_be_boosted(representation)
        ]
        if representation.kind != "without":
            return heads
        return ["logistic"] if "logistic" in heads else heads[:1]

    def _labels(self, representation: Representation, task: Task) -> list[int | None]:
        names = (Handcrafted.name, ORDERED)
        if representation.kind not in _COMPLETE and representation.name not in names:
            return [None]
        return [None, *(count for count in self.budgets if count < len(task.rows))]


@dataclass(frozen=True)
class Job:
    """One head on one representation, for one task, with one seed.

    Parameters
    ----------
    representation : Representation
    task : Task
    head : {"network", "logistic", "boosting"}
    labels : int, optional
        Number of labelled clients; None: all.
    seed : int
    """

    representation: Representation
    task: Task
    head: HeadName
    labels: int | None
    seed: int


def can_be_boosted(representation: Representation) -> bool:
    """Whether trees are fitted: on baselines, and on narrow representations but not on blocks."""
    if representation.kind == "baseline" or representation.name == Handcrafted.name:
        return True
    return representation.kind in _COMPLETE and representation.width <= WIDEST


def select_heads(names: Sequence[str], protocol: ProtocolName) -> tuple[HeadName, ...]:
    """Return the named heads in their usual order; by default all that the protocol has.

    Raises
    ------
    UBPError
        If a name is unknown, or the protocol does not have the head.
    """
    for name in names:
        if name not in HEADS:
            raise UBPError(f"no head is called {name!r}; there are {', '.join(HEADS)}")
    selected = tuple(head for head in HEADS if not names or head in names)
    if protocol == "challenge":
        if names and selected != ("network",):
            raise UBPError(
                f"--heads {','.join(names)}: the challenge has one head, the network; leave out "
                "--heads or --protocol challenge"
            )
        return ("network",)
    if selected == ("boosting",):
        raise UBPError(
            f"--heads boosting: profiles wider than {WIDEST} numbers are not boosted; add logistic "
            "or network"
        )
    return selected


def select_budgets(texts: Sequence[str], clients: int, protocol: ProtocolName) -> tuple[int, ...]:
    """Return label budgets; by default 100, 300, 1000, 3000, … below the number of clients.

    Parameters
    ----------
    texts : sequence of str
        Integers, or only ``all`` for no budget.
    clients : int
        Number of evaluated clients.
    protocol : {"holdout", "challenge"}
        The challenge has no budgets.

    Raises
    ------
    UBPError
        If a text is not an integer in the allowed range.

    Examples
    --------
    >>> select_budgets([], 5000, "holdout")
    (100, 300, 1000, 3000)
    >>> select_budgets(["300", "200"], 5000, "holdout"), select_budgets(["all"], 5000, "holdout")
    ((200, 300), ())
    """
    given = [] if set(texts) == {"all"} else texts
    for text in given:
        if not (text.isdecimal() and FEWEST_LABELS <= int(text) < clients):
            raise UBPError(
                f"--labels {','.join(texts)}: a budget is an integer of at least "
                f"{FEWEST_LABELS} and below the {clients:,} clients; 'all' alone means no budget"
            )
    if protocol == "challenge":
        if given:
            raise UBPError(
                f"--labels {','.join(texts)}: the challenge labels all clients; leave out --labels "
                "or --protocol challenge"
            )
        return ()
    if texts:
        return tuple(sorted({int(text) for text in given}))
    usual = (digit * 10**power for power in range(2, 12) for digit in (1, 3))
    return tuple(count for count in usual if count < clients)
