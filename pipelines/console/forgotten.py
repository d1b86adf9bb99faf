"""What ``ubp forget`` did, in words."""

from pipelines.console.output import say
from pipelines.forget import Removed


def show_forgotten(removed: Removed) -> None:
    """Print what was removed, and what was not."""
    if removed.resumed:
        say("Finished what was interrupted")
    rows = ", ".join(f"{count:,} of {table}" for table, count in removed.rows.items()) or "none"
    say(f"Clients forgotten: {removed.clients:,} with events, of {removed.asked:,} named")
    say(f"Rows removed from the warehouse: {rows}; snapshots written anew: {removed.snapshots:,}")
    if removed.fits:
        fits = ", ".join(f"{fit} ({clients:,})" for fit, clients in sorted(removed.fits.items()))
        say(f"Fits keep what they learned of everybody, these clients included: {fits}")
    say("Source files, backups, exports and training sets outside of the home are not touched")
