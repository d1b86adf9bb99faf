"""From the log of a small shop to a served profile, and a lookup.

The other examples of this gallery import `HOME` from here, so that the shop is made once.
"""

from pathlib import Path

from cli import app
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

HOME = Path("gallery_home")


def ubp(*arguments: str) -> None:
    """Run a command, as `ubp …` does on a shell."""
    app([*arguments, "--home", str(HOME)], standalone_mode=False)


if not Home(home=HOME).warehouse.exists():
    # A simulated log, in the layout `challenge`; it ends with 27 November 2022.
    app(["simulate", "simulated_log", "--clients", "200", "--days", "80"], standalone_mode=False)
    ubp("ingest", "simulated_log")

    # Fit the default blocks on what happened before a cutoff. Models see nothing after it.
    ubp("train", "--cutoff", "2022-10-17")

    # Encode later times with the same models: two for training sets, and the end of the log.
    ubp("encode", "--cutoff", "2022-10-31", "--cutoff", "2022-11-14", "--cutoff", "2022-11-28")
    ubp("publish")

if __name__ == "__main__":
    store = ProfileStore(HOME)
    profile = store.lookup(7)
    print(f"client 7, profile {profile.version}: {len(profile.vector)} numbers")
    print(f"known: {profile.known}, as of {profile.cutoff}")

    # A client nobody has seen gets the mean profile.
    stranger = store.lookup(10**9)
    print(f"client {stranger.client_id} known: {stranger.known}")

    # The first numbers are the most informative.
    short = ProfileStore(HOME, width=16)
    print(short.lookup(7).vector.round(2))
