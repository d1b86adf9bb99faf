"""The log of the shop of README.md: one packed CSV file per day, with ids, words and money."""

from pathlib import Path

import numpy as np
import pandas as pd

DAYS = pd.date_range("2026-01-20", "2026-03-31")
WORDS = ("oak", "pine", "steel", "glass", "small", "round")
THINGS = ("table", "chair", "lamp", "shelf", "desk")


def write_log(directory: Path, clients: int = 130, sessions: int = 1000, seed: int = 0) -> Path:
    """Write the files of :data:`DAYS`; `user_00017` and `TB-0413` are in them."""
    rng = np.random.default_rng(seed)
    articles = [f"TB-{number:04}" for number in range(401, 441)]
    names = [f"{rng.choice(WORDS)} {rng.choice(THINGS)}" for _ in articles]
    prices = rng.integers(5, 300, len(articles))
    activity = rng.gamma(1.5, size=clients)
    rows = []
    for _ in range(sessions):
        client = f"user_{1 + rng.choice(clients, p=activity / activity.sum()):05}"
        time = rng.choice(DAYS) + pd.Timedelta(seconds=int(rng.integers(8 * 3600, 22 * 3600)))
        article = int(rng.choice(len(articles)))
        money = f"{prices[article]}.00"
        rows.append((client, time, "search", "", "", names[article]))
        rows.append((client, time + pd.Timedelta("32s"), "view", articles[article], money, ""))
        if rng.random() < 0.6:
            time += pd.Timedelta("8min")
            rows.append((client, time, "order", articles[article], money, ""))
    columns = ["customer", "happened_at", "action", "article", "price", "search"]
    log = pd.DataFrame(rows, columns=columns).sort_values("happened_at")
    directory.mkdir()
    for day, part in log.groupby(log["happened_at"].dt.date):
        times = part["happened_at"].dt.strftime("%Y-%m-%d %H:%M:%S+01:00")
        part.assign(happened_at=times).to_csv(directory / f"{day}.csv.gz", index=False)
    return directory
