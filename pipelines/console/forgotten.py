"""What ``ubp forget`` did, in words."""

from pipelines.console.output import say
from pipelines.forget import Removed

# The ids that are named, at most.
_SHOWN = 3


def show_forgotten(removed: Removed) -> None:
    """Print what was removed, and what was not."""
    if removed.resumed:
        say("An interrupted run was finished, too")
    rows = ", ".join(f"{count:,} of {table}" for table, count in removed.rows.items()) or "none"
    again = f", {removed.before:,} of them forgotten before" * bool(removed.before)
    say(f"Clients forgotten: {removed.clients:,} with events, of {removed.asked:,} named{again}")
    say(f"Rows removed from the warehouse: {rows}; snapshots written anew: {removed.snapshots:,}")
    if unknown := removed.nothing_of:
        some = ", ".join(map(repr, unknown[:_SHOWN])) + ", …" * (len(unknown) > _SHOWN)
        refused = "; their rows are refused from now on. If one is mistyped: "
        refused += "`ubp forget --allow-return CLIENT_ID`"
        refused = refused * (not removed.may_return)
        say(f"Of {len(unknown):,} nothing was found: {some}{refused}", wrap=False)
    if removed.may_return:
        say("Deliveries of all who were named are taken in from now on, with all that is in them")
    if removed.fits:
        fits = ", ".join(f"{fit} ({clients:,})" for fit, clients in sorted(removed.fits.items()))
        say(f"Fits keep what they learned of everybody, these clients included: {fits}")
    say("Source files, backups, exports and training sets outside of the home are not touched")
