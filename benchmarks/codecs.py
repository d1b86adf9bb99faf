"""Which codec of names and queries is best? Alternatives to the one in use, 16 codes each.

LightFM is scored on later purchases of products that are new to a client, as by
`benchmarks/lightfm_codes.py`; gru_ae_sku_text by its loss and by the tasks of `ubp evaluate`. The
losses of two codecs are not comparable: codes with less information are easier to reconstruct.

    python -m benchmarks.codecs journey      # real names of a grocer's products; about half an hour
    python -m benchmarks.codecs simulated    # names and queries of made-up sentences of real words

`minhash` is the codec in use; `random` gives each text unrelated codes. The others quantize an
embedding, `lsa` (word counts by TF-IDF and SVD) or `minilm` (all-MiniLM-L6-v2), with a product
quantizer (`pq`) or a residual one (`rq`) of 16 × 256 centres, as in `faiss`.
"""

import argparse
import shutil
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from scipy.stats import ortho_group
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.arguments import count
from benchmarks.lightfm_codes import evaluate
from benchmarks.machine import report
from benchmarks.scoring import available_tasks, score
from pipelines.demo import GROCERY
from pipelines.ingest import ingest
from ubp_platform.blocks import language_model, model_files
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.evaluation.backtest import backtest, plan
from ubp_platform.evaluation.representations import Representation, parts_of
from ubp_platform.events import completejourney
from ubp_platform.events.schema import CODE_VALUES, CODES
from ubp_platform.events.text_codec import encode
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, bars
from ubp_platform.simulation.simulator import simulate
from ubp_platform.warehouse import Warehouse

CODECS = ("minhash", "random", "lsa-pq", "lsa-rq", "minilm-pq", "minilm-rq")
# Words of a made-up sentence, one for each of the first codes.
WORDS = 6
AXES = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shop", choices=["journey", "simulated"])
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=CODECS)
    parser.add_argument("--clients", type=count, default=3_000, help="of the simulated shop")
    parser.add_argument("--epochs", type=count, default=8, help="of LightFM")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        source = Home(home=root / "words")
        if options.shop == "journey":
            ingest(source, GROCERY.source)
        else:
            ingest(source, str(_with_words(root / "log", options.clients)))
        found = {
            codec: _evaluate(source, root / codec, codec, options.epochs, progress)
            for codec in options.codecs
        }
    print("| codec | LightFM precision@10 | AUC | gru_ae_sku_text, loss | sum |")
    print("|---" * 5 + "|")
    for codec, (precision, error, *rest) in found.items():
        numbers = [f"{precision:.4f} ± {error:.4f}", *(f"{number:.3f}" for number in rest)]
        print(f"| {codec} | {' | '.join(numbers)} |")
    best = max(found, key=lambda codec: found[codec][0])
    first = options.codecs[0]
    report(
        "codecs",
        f"Codes of names and queries, the shop {options.shop}",
        [
            (f"precision@10, {first}", f"{found[first][0]:.4f}"),
            (f"precision@10, the best, {best}", f"{found[best][0]:.4f}"),
            (f"{first} to the best", f"{found[first][0] / found[best][0]:.3f}×"),
        ],
        shop=options.shop,
        precision={codec: round(values[0], 4) for codec, values in found.items()},
        auc={codec: round(values[2], 4) for codec, values in found.items()},
        loss={codec: round(values[3], 4) for codec, values in found.items()},
        sums={codec: round(values[4], 4) for codec, values in found.items()},
        ratio=round(found[first][0] / found[best][0], 4),
    )


def _with_words(directory: Path, clients: int) -> Path:
    """Simulate a shop whose names and queries are sentences: one word per code, the first ones."""
    simulate(directory, clients, 120)
    log = completejourney.package_data()
    products = duckdb.sql(
        f"""SELECT DISTINCT unnest(regexp_extract_all(lower(concat_ws(' ', product_category,
                product_type)), '[a-z]{{3,}}')) AS word
            FROM '{log}/products.parquet' ORDER BY word"""
    ).fetchnumpy()["word"]
    words = np.random.default_rng(0).permutation(products)
    for name, column in (("product_properties", "name"), ("search_query", "query")):
        path = directory / f"{name}.parquet"
        table = pq.read_table(path)
        codes = np.stack(table[column].to_numpy(zero_copy_only=False))[:, :WORDS].astype(np.int64)
        codes += np.arange(WORDS) * CODE_VALUES
        sentences = [" ".join(row) for row in words[codes % len(words)].tolist()]
        index = table.column_names.index(column)
        pq.write_table(table.set_column(index, column, pa.array(sentences)), path)
    return directory


def _evaluate(
    source: Home, directory: Path, codec: str, epochs: int, progress: ProgressFactory
) -> tuple[float, ...]:
    """Recode all texts in a copy of a home; return precision, its error, AUC, loss and sum."""
    home = Home(home=directory)
    home.root.mkdir()
    shutil.copy(source.warehouse, home.warehouse)
    with duckdb.connect(str(home.warehouse)) as connection:
        _recode(connection, codec)
    split, clients = plan(home)
    with Warehouse(home.warehouse) as warehouse:
        block = LightFMBlock.from_preset("small", max_epochs=epochs)
        block.fit(warehouse.history(split.cutoff), progress)
        end = split.end + timedelta(microseconds=1)
        precision, auc = evaluate(block, warehouse, split.cutoff, end)
    tested = backtest(home, split, clients, ["gru_ae_sku_text"], progress=progress)
    parts = tuple(parts_of(tested.matrix, tested.version.widths))
    row = Representation("gru_ae_sku_text", "block", parts, 0)
    scores = score(home, [row], available_tasks(home, split, clients), progress)
    loss = Catalog(home).versions("gru_ae_sku_text")[-1].report.loss
    error = precision.std() / len(precision) ** 0.5
    means = (precision.mean(), error, auc.mean(), loss, scores.sums["gru_ae_sku_text"])
    return tuple(map(float, means))


def _recode(connection: duckdb.DuckDBPyConnection, codec: str) -> None:
    """Replace the codes of all names and queries."""
    texts = connection.execute(
        """SELECT DISTINCT words FROM (SELECT words FROM product_properties
                                       UNION ALL SELECT words FROM search_query)
           WHERE words IS NOT NULL ORDER BY words"""
    ).fetchnumpy()["words"]
    codes = pa.FixedSizeListArray.from_arrays(pa.array(_codes(tuple(texts), codec).ravel()), CODES)
    connection.register("coded", pa.table({"words": texts, "codes": codes}))
    for table, column in (("product_properties", "name"), ("search_query", "query")):
        connection.execute(
            f"""UPDATE {table} SET {column} = coded.codes::UTINYINT[] FROM coded
                WHERE {table}.words = coded.words"""
        )
    connection.unregister("coded")


def _codes(texts: tuple[str, ...], codec: str) -> np.ndarray:
    """Encode texts: (n_texts, 16)."""
    normal = [" ".join(text.lower().split()) for text in texts]
    if codec == "minhash":
        return encode(normal)
    if codec == "random":
        return np.random.default_rng(0).integers(0, CODE_VALUES, (len(texts), CODES), np.uint8)
    kind, quantizer = codec.split("-")
    vectors = lsa(tuple(normal)) if kind == "lsa" else minilm(tuple(normal))
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return (_product if quantizer == "pq" else _residual)(vectors)


@cache
def lsa(texts: tuple[str, ...]) -> np.ndarray:
    """Embed texts by latent semantic analysis: (n_texts, at most 128)."""
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[\w.%]+").fit_transform(texts)
    axes = min(AXES, counts.shape[1] - 1)
    return TruncatedSVD(axes, random_state=0).fit_transform(counts)


@cache
def minilm(texts: tuple[str, ...]) -> np.ndarray:
    """Embed texts by all-MiniLM-L6-v2: (n_texts, 384)."""
    model = language_model.load(model_files.PACKAGED)
    tokens = model.tokenize(texts, 64)
    vectors = np.empty((len(texts), model.width), np.float32)
    for rows in language_model.batches(np.array([len(ids) for ids in tokens]), 4096):
        vectors[rows] = model.embed(np.stack([tokens[row] for row in rows]), "mean")
    return vectors


def _product(vectors: np.ndarray) -> np.ndarray:
    """Quantize 16 groups of randomly rotated principal axes, which have similar variances."""
    axes = min(AXES, vectors.shape[1]) // CODES * CODES
    turned = PCA(axes, random_state=0).fit_transform(vectors)
    turned = turned @ ortho_group.rvs(axes, random_state=0)
    parts = np.split(turned, CODES, axis=1)
    return np.stack([_nearest(part) for part in parts], axis=1)


def _residual(vectors: np.ndarray) -> np.ndarray:
    """Quantize the residual of the previous codes, 16 times."""
    codes, left = [], vectors.astype(np.float64)
    for _ in range(CODES):
        centres = _centres(left)
        codes.append(centres.predict(left).astype(np.uint8))
        left = left - centres.cluster_centers_[codes[-1]]
    return np.stack(codes, axis=1)


def _nearest(vectors: np.ndarray) -> np.ndarray:
    return _centres(vectors).labels_.astype(np.uint8)


def _centres(vectors: np.ndarray) -> MiniBatchKMeans:
    kmeans = MiniBatchKMeans(CODE_VALUES, n_init=1, batch_size=4096, random_state=0)
    return kmeans.fit(vectors)


if __name__ == "__main__":
    main()
