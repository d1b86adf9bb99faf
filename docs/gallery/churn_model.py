"""A training set for a churn model, and a model on it.

The question: which of the clients seen so far will not visit in the next two weeks? The model is
fitted on one time and scored on a later one, so nothing that it is scored on was known when it was
fitted.
"""

import pandas as pd
from served_shop import HOME
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ubp_platform.store.retrieval import ProfileStore

WINDOW = pd.Timedelta("14D")
visits = pd.read_parquet("simulated_log/page_visit.parquet")


def entities(time: str) -> pd.DataFrame:
    """List the clients seen before a time, with their labels."""
    start = pd.Timestamp(time)
    before = visits["timestamp"] < start
    after = ~before & (visits["timestamp"] < start + WINDOW)
    clients = visits.loc[before, "client_id"].unique()
    returned = visits.loc[after, "client_id"].unique()
    return pd.DataFrame(
        {
            "client_id": clients,
            "event_timestamp": start,
            "churned": ~pd.Series(clients).isin(returned),
        }
    )


# Each row gets the profile that was known at its time. The models of the profile were fitted before
# the first row; otherwise `training_set` warns.
store = ProfileStore(HOME, width=16)
past = store.training_set(entities("2022-10-31"))
present = store.training_set(entities("2022-11-14"))

# Columns keep their scale: it is how much they matter (docs/concepts/profiles.md).
model = LogisticRegression(C=0.1, max_iter=1000)
model.fit(past.X, past.entities["churned"])
scores = model.predict_proba(present.X)[:, 1]
auroc = roc_auc_score(present.entities["churned"], scores)
print(f"{len(past.X)} rows to learn from, {len(present.X)} to predict")
print(f"{present.entities['churned'].mean():.0%} churned; AUROC {auroc:.3f}")
