"""Writes language_models/: small GPT-2, BERT and RoBERTa as transformers saves them, and what it computes with them.

    pip install "transformers==5.23.0"            # no requirement of CaptionGen
    python tests/golden/make_language_models.py

Their weights are random, their tokenizers know the captions of `tests.tiny` and some other words. Each folder has the
three files of a pretrained model, and expected.safetensors: tokens, a memory to attend to, the attention to it by the
names it has in our decoder, and the logits of transformers' own decoder, all embeddings tied.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

import captiongen  # noqa: F401 - makes torchvision importable
from captiongen.text.normalise import normalise_caption
from tests.tiny import COLOURS, THINGS, tiny_captions

FOLDER = Path(__file__).parent / "language_models"
OTHER_WORDS = ("quarterly", "reports", "recommend", "cautious", "spending", "wherever", "possible", "t-shirt", "dog's")
WIDTH, NUM_LAYERS, NUM_HEADS, NUM_POSITIONS, NUM_MEMORY, NUM_TOKENS = 16, 2, 2, 32, 9, 7


def texts() -> list[str]:
    """What the tokenizers know."""
    captions = [caption for colour in COLOURS for thing in THINGS for caption in tiny_captions(colour, thing)]
    return [*map(normalise_caption, captions), " ".join(OTHER_WORDS)]


def byte_tokenizer(special: list[str]) -> Tokenizer:
    """As GPT-2 and RoBERTa have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def wordpiece_tokenizer() -> Tokenizer:
    """As BERT has it, with the truncation that many folders carry."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        texts(), trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    )
    tokenizer.enable_truncation(4)
    return tokenizer


def randomise(model: nn.Module) -> nn.Module:
    """Fills every weight, biases and norms too: a zero would hide what is added or scaled wrongly."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm_weight = parameter.ndim == 1 and name.endswith("weight")
            parameter.normal_(mean=float(is_norm_weight), std=0.2)
    return model.eval()


def gpt2(vocabulary_size: int) -> tuple[nn.Module, nn.Module]:
    """Returns the model as it is saved and, inside it, what computes hidden states."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_embd=WIDTH,
        n_layer=NUM_LAYERS,
        n_head=NUM_HEADS,
        n_positions=NUM_POSITIONS,
        bos_token_id=0,
        eos_token_id=0,
        add_cross_attention=True,
    )
    model = randomise(GPT2LMHeadModel(config))
    return model, model.transformer


def bert(vocabulary_size: int) -> tuple[nn.Module, nn.Module]:
    """Saved with the output layer of a language model around it."""
    from transformers import BertConfig, BertLMHeadModel

    model = randomise(BertLMHeadModel(BertConfig(**bert_sizes(vocabulary_size))))
    return model, model.bert


def roberta(vocabulary_size: int) -> tuple[nn.Module, nn.Module]:
    """Saved bare; its positions count from 2."""
    from transformers import RobertaConfig, RobertaModel

    sizes = bert_sizes(vocabulary_size)
    config = RobertaConfig(**sizes, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    model = randomise(RobertaModel(config, add_pooling_layer=False))
    return model, model


def bert_sizes(vocabulary_size: int) -> dict[str, object]:
    """Settings that BERT and RoBERTa share."""
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": WIDTH,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "intermediate_size": 4 * WIDTH,
        "max_position_embeddings": NUM_POSITIONS,
        "is_decoder": True,
        "add_cross_attention": True,
    }


def image_attention(base: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the attention to the memory, by the names they have in our decoder."""
    layers = base.h if hasattr(base, "h") else base.encoder.layer
    for number, layer in enumerate(layers):
        attention = layer.crossattention
        if hasattr(base, "h"):  # Conv1D: transposed
            linear = {"query": attention.q_attn, "key_value": attention.c_attn, "output": attention.c_proj}
            weights = {name: (one.weight.T, one.bias) for name, one in linear.items()}
            norm = layer.ln_cross_attn
        else:
            key, value = attention.self.key, attention.self.value
            weights = {
                "query": (attention.self.query.weight, attention.self.query.bias),
                "key_value": (torch.cat([key.weight, value.weight]), torch.cat([key.bias, value.bias])),
                "output": (attention.output.dense.weight, attention.output.dense.bias),
            }
            norm = attention.output.LayerNorm
        for name, (weight, bias) in weights.items():
            yield f"layers.{number}.cross_attention.{name}.weight", weight
            yield f"layers.{number}.cross_attention.{name}.bias", bias
        yield f"layers.{number}.cross_norm.weight", norm.weight
        yield f"layers.{number}.cross_norm.bias", norm.bias


@torch.no_grad()
def write(name: str, tokenizer: Tokenizer, model: nn.Module, base: nn.Module) -> None:
    """Writes one folder."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    known = {key: tensor for key, tensor in model.state_dict().items() if "cross" not in key}
    model.save_pretrained(folder, state_dict=known)
    (folder / "generation_config.json").unlink(missing_ok=True)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
    tokenizer.no_truncation()
    ids = tokenizer.encode(" a red box looks yellow there is one", add_special_tokens=False).ids
    tokens = torch.tensor([ids[:NUM_TOKENS]])
    memory = torch.randn(1, NUM_MEMORY, WIDTH)
    hidden = base(input_ids=tokens, encoder_hidden_states=memory, use_cache=False).last_hidden_state
    logits = hidden @ base.get_input_embeddings().weight.T
    tensors = {"tokens": tokens, "memory": memory, "logits": logits, **dict(image_attention(base))}
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, folder / "expected.safetensors")


def main() -> None:
    """Writes all folders."""
    torch.manual_seed(0)
    for name, make, tokenizer in (
        ("gpt2", gpt2, byte_tokenizer(["<|endoftext|>"])),
        ("bert", bert, wordpiece_tokenizer()),
        ("roberta", roberta, byte_tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])),
    ):
        write(name, tokenizer, *make(tokenizer.get_vocab_size()))


if __name__ == "__main__":
    main()
