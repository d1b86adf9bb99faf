"""What an evaluation fits: which heads, on which representations, with how many labels."""

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

#: The fewest labels of a budget: of less than two of ten clients nothing can be held out.
FEWEST_LABELS = 10
_OWN: tuple[Kind, ...] = ("profile", "compact", "foreign", "baseline")


@dataclass(frozen=True)
class Plan:
    """How representations are judged.

    Parameters
    ----------
    protocol : {"holdout", "challenge"}
    heads : sequence of {"network", "logistic", "boosting"}
        Under ``challenge`` the network alone.
    seeds : sequence of int
        Each draws an inner split, the network's first weights, and who is labelled.
    budgets : sequence of int
        Numbers of labelled clients, beside all of them.
    """

    protocol: ProtocolName = "holdout"
    heads: Sequence[HeadName] = HEADS
    seeds: Sequence[int] = (SEED,)
    budgets: Sequence[int] = ()

    @property
    def skips_undefined(self) -> bool:
        """Whether classes without a yes or a no are left out of the mean AUROC."""
        return self.protocol != "challenge"

    def jobs(
        self, representations: Sequence[Representation], tasks: Sequence[Task]
    ) -> Iterator["Job"]:
        """Give all that is to be fitted."""
        for representation in representations:
            for task in tasks:
                for head in self.heads_of(representation):
                    for labels in self._labels(representation, task):
                        for seed in self.seeds:
                            yield Job(representation, task, head, labels, seed)

    def heads_of(self, representation: Representation) -> list[HeadName]:
        """Choose the heads of a representation.

        A profile without a block is compared with the whole one, both with one head: logistic
        regression, in which nothing is random but the inner split.
        """
        heads = [
            name for name in self.heads if name != "boosting" or can_be_boosted(representation)
        ]
        if representation.kind != "without":
            return heads
        return ["logistic"] if "logistic" in heads else heads[:1]

    def _labels(self, representation: Representation, task: Task) -> list[int | None]:
        if representation.kind not in _OWN and representation.name not in (
            Handcrafted.name,
            ORDERED,
        ):
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
        How many clients are labelled; None: all.
    seed : int
    """

    representation: Representation
    task: Task
    head: HeadName
    labels: int | None
    seed: int


def can_be_boosted(representation: Representation) -> bool:
    """Whether trees are grown on a representation: baselines, and what is narrow and no part."""
    if representation.kind == "baseline" or representation.name == Handcrafted.name:
        return True
    return representation.kind in _OWN and representation.width <= WIDEST


def choose_heads(names: Sequence[str], protocol: ProtocolName) -> tuple[HeadName, ...]:
    """Give the heads named, in their usual order; all by default, under ``challenge`` the network.

    Raises
    ------
    UBPError
        If there is no such head, or the protocol has it not.
    """
    for name in names:
        if name not in HEADS:
            raise UBPError(f"no head is called {name!r}; there are {', '.join(HEADS)}")
    chosen = tuple(head for head in HEADS if not names or head in names)
    if protocol == "challenge":
        if names and chosen != ("network",):
            raise UBPError(
                f"--heads {','.join(names)}: the challenge has one head, the network; leave out "
                "--heads or --protocol challenge"
            )
        return ("network",)
    if chosen == ("boosting",):
        raise UBPError(
            f"--heads boosting: profiles wider than {WIDEST} numbers are not boosted; name "
            "logistic or network beside it"
        )
    return chosen


def choose_budgets(texts: Sequence[str], clients: int, protocol: ProtocolName) -> tuple[int, ...]:
    """Give numbers of labelled clients: 100, 300, 1000, 3000, … below all of them by default.

    Parameters
    ----------
    texts : sequence of str
        Whole numbers, or ``all`` alone for none.
    clients : int
        How many are asked about.
    protocol : {"holdout", "challenge"}
        The challenge has no budgets.

    Raises
    ------
    UBPError
        If a text is no number, or one that makes no sense.

    Examples
    --------
    >>> choose_budgets([], 5000, "holdout")
    (100, 300, 1000, 3000)
    >>> choose_budgets(["300", "200"], 5000, "holdout"), choose_budgets(["all"], 5000, "holdout")
    ((200, 300), ())
    """
    given = [text for text in texts if text != "all"]
    for text in given:
        if (
            not text.isdecimal()
            or not FEWEST_LABELS <= int(text) < clients
            or len(given) < len(texts)
        ):
            raise UBPError(
                f"--labels {','.join(texts)}: a budget is a whole number from {FEWEST_LABELS} on "
                f"and below the {clients:,} clients; 'all' alone is none"
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
