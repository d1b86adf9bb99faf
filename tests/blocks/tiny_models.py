"""Language models of a few thousand random weights, with one token per character."""

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
ALPHABET = SPECIAL + [chr(code) for code in (9, 10, *range(32, 127))]
CONTEXT = 512


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Write an encoder; its tokenizer puts [CLS] before a text and [SEP] after it."""
    config = BertConfig(
        vocab_size=len(ALPHABET),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    ends = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _with_tokenizer(folder, ends)


def tiny_llama(folder: Path, seed: int = 0, width: int = 16) -> Path:
    """Write a decoder; its tokenizer adds nothing to a text."""
    config = LlamaConfig(
        vocab_size=len(ALPHABET),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaModel(config).save_pretrained(folder)
    return _with_tokenizer(folder, None)


def _with_tokenizer(folder: Path, ends: processors.TemplateProcessing | None) -> Path:
    vocabulary = {token: number for number, token in enumerate(ALPHABET)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    if ends is not None:
        tokenizer.post_processor = ends
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    return folder
