"""A SentencePiece tokenizer for a model from scratch, trained on the project's own phrases in both languages."""

import io

import sentencepiece

from MediRoundLib.text import round_text
from training.data.dialogues import corpus_lines


def train_tokenizer(vocab_size: int) -> bytes:
    """Llama's kind of tokenizer (BPE with byte fallback, ids 0 to 2 for unk, bos and eos), as a serialised model.

    Args:
        vocab_size: number of pieces; MediRound's three tokens come on top.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(round_text(line, "") for line in corpus_lines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return model.getvalue()
