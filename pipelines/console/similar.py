"""Similar clients and what is told of one, as tables for people."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from pipelines.console.output import say, show
from pipelines.console.tables import client_count, plain_table, when
from ubp_platform.similar.words import label, share, shown

# Features of a client that are shown: the most unusual ones.
_FEATURES = 12

if TYPE_CHECKING:
    from pipelines.retrieve import Described
    from pipelines.similar import Found
    from ubp_platform.similar.building import Built


def show_similar(found: "Found") -> None:
    """Show similar clients, with favourites that they share with the first one marked."""
    similar = found.similar
    liked = {name for client in found.to for name in client.categories}
    names = ", ".join(escape(str(one.client_id)) for one in found.to[:3])
    more = f" and {len(found.to) - 3:,} more" if len(found.to) > 3 else ""
    by = f", blocks {', '.join(similar.by)}" if similar.by else ""
    title = f"Similar to {names}{more} by profile {similar.version}{by}"
    numbers = ("similarity", "events")
    table = plain_table(title, ["client", "similarity", "last event", "events", "likes"], numbers)
    for one in similar.neighbours:
        client = one.client
        words = [
            f"[bold]{escape(name)}[/bold]" if name in liked else escape(name)
            for name in client.categories
        ]
        table.add_row(
            escape(str(client.client_id)),
            f"{one.similarity:.3f}",
            f"{client.last_event:%Y-%m-%d}" if client.last_event else "",
            f"{client.events:,}",
            "; ".join(words),
        )
    if not similar.neighbours:
        say("Nobody meets these conditions")
        return
    show(table)
    for shared in found.shared:
        say(
            f"{shared.clients} of {len(similar.neighbours)}: {shared.what} "
            f"({share(shared.of_all)} of all clients)"
        )


def show_index(built: "Built") -> None:
    """Show what indexes there are."""
    of = built.description
    new = f"{built.written:,} written" if built.written else "up to date"
    say(f"Similar clients: index of {client_count(of.clients)}, as of {when(of.cutoff)}, {new}")
    for one in of.indexes:
        if one.by:
            say(f"Also by {', '.join(one.by)}, of {client_count(one.clients)}")


def described_client(found: "Described") -> RenderableType:
    """Render a client: recency, favourites, the most unusual features, similar clients."""
    profile, client = found.profile, found.client
    parts: list[RenderableType] = []
    known = f"as of {when(profile.cutoff)}" if profile.known else "unknown: the mean profile"
    parts.append(
        Text(f"Client {profile.client_id}, profile {profile.version}, {known}", style="bold")
    )
    if client:
        last = f", the last one on {client.last_event:%Y-%m-%d %H:%M}" if client.last_event else ""
        parts.append(Text(f"{client.events:,} events{last}"))
        if client.categories:
            parts.append(Text(f"Likes {'; '.join(client.categories)}"))
    if found.features:
        table = plain_table(
            "Most unusual", ["feature", "value", "more than"], ("value", "more than")
        )
        for feature in found.features[:_FEATURES]:
            table.add_row(
                escape(label(feature.name)),
                shown(feature.name, feature.value),
                share(feature.percentile),
            )
        parts.append(table)
    if found.neighbours:
        names = ", ".join(
            f"{one.client.client_id} ({one.similarity:.2f})" for one in found.neighbours
        )
        parts.append(Text(f"Similar clients: {names}"))
    widths = ", ".join(f"{part.block} {part.width}" for part in found.parts)
    parts.append(Text(f"{len(profile.vector):,} numbers: {widths}; --json prints them"))
    return Group(*parts)
