"""`globalconv generate`: a trained language model continues a text, byte after byte."""

import codecs
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import torch
from rich.console import Console

from globalconv.decoding import Choice, LanguageModelState, likeliest, next_token, recomputes, sampler, stream
from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.host.devices import device_line, device_memory, resolve_device
from globalconv.measure.memory import peak_bytes
from globalconv.models import LanguageModel
from globalconv.options import SEEDS, check_range
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.tasks.text import Text, byte_signature

MOST_TOKENS = 10**9
"""At a thousand tokens a second, twelve days."""
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class GenerateRequest:
    """Which run continues what, and how its bytes are drawn. ``temperature`` 0: always the likeliest."""

    run: Path
    prompt: str
    tokens: int = 256
    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Generated:
    """What was written, without the prompt, and the seconds that reading and writing took."""

    content: bytes
    prompt_seconds: float
    seconds: float
    ended: Literal["complete", "interrupted"]

    @property
    def tokens_per_second(self) -> float:
        return len(self.content) / max(self.seconds, 1e-9)

    @property
    def undecodable(self) -> int:
        """Bytes that are no part of a UTF-8 character."""
        return sum("\udc80" <= c <= "\udcff" for c in self.content.decode(errors="surrogateescape"))


def run_generate(request: GenerateRequest, out: TextIO, *, notes: Console) -> Generated:
    """Write the prompt and its continuation to ``out`` as it comes, and what there is to say of it to ``notes``.

    Ctrl-C ends it and keeps what was written. Raises InputError for what is no run on text, and for options that
    cannot be used, before anything is written.
    """
    prompt = request.prompt.encode(errors="surrogateescape")  # as the shell gave it, UTF-8 or not
    request = replace(request, device=resolve_device(request.device))
    choose = _choice(request, prompt)
    model, length = _language_model(request.run)
    model = model.to(request.device)
    _check_memory(request, model, length, len(prompt) + request.tokens)
    notes.print(device_line(request.device), highlight=False, soft_wrap=True)
    for note in _notes(model, length, len(prompt) + request.tokens):
        notes.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)

    written = bytearray()
    ended: Literal["complete", "interrupted"] = "complete"
    started = read = time.perf_counter()
    text = _Writer(out)
    try:
        text.write(prompt)
        state = LanguageModelState(model, batch=1, longest=len(prompt) + request.tokens)
        tokens = torch.tensor([list(prompt)], device=model.head.weight.device)
        logits = state.prefill(tokens)
        read = time.perf_counter()
        for token in islice(stream(next_token, logits, state, choose), request.tokens):
            written.append(int(token))
            text.write(written[-1:])
    except KeyboardInterrupt:
        ended = "interrupted"
    except BrokenPipeError:
        # Whoever read has left (| head). What the stream still holds must go somewhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        ended = "interrupted"
    text.end()
    generated = Generated(bytes(written), read - started, time.perf_counter() - read, ended)
    for line in _summary(generated, len(prompt)):
        notes.print(line, highlight=False, markup=False, soft_wrap=True)
    return generated


class _Writer:
    """Bytes to text, as soon as a character is whole; what a terminal would obey or cannot show is replaced."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.encoding = out.encoding or "utf-8"
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def write(self, content: bytes | bytearray, *, final: bool = False) -> None:
        characters = self.decoder.decode(bytes(content), final=final)
        shown = "".join(c if c.isprintable() or c in "\n\t" else UNPRINTABLE for c in characters)
        self.out.write(shown.encode(self.encoding, "replace").decode(self.encoding))
        self.out.flush()

    def end(self) -> None:
        self.write(b"", final=True)
        self.out.write("\n")
        self.out.flush()


def _choice(request: GenerateRequest, prompt: bytes) -> Choice:
    """How a byte is chosen; InputError for options that cannot be used."""
    if not prompt:
        raise InputError(
            "--prompt is empty, and the model continues what is there: give at least a character."
        )
    check_range("--tokens", request.tokens, 1, MOST_TOKENS)
    check_range("--seed", request.seed, *SEEDS)
    if not 0 <= request.temperature < math.inf:
        raise InputError(f"--temperature {request.temperature}: give 0 (always the likeliest byte), or more.")
    if request.top_k is not None and request.top_k < 1:
        raise InputError(f"--top-k {request.top_k}: give at least 1, or leave it out to draw from all bytes.")
    if request.temperature == 0:
        if request.top_k is not None:
            raise InputError("--top-k: with --temperature 0 nothing is drawn; leave either out.")
        return likeliest
    generator = torch.Generator(request.device).manual_seed(request.seed)
    return sampler(generator, temperature=request.temperature, top_k=request.top_k)


def _language_model(run: Path) -> tuple[LanguageModel, int]:
    """The model of a run on text, and the length that it was trained for. Its text need not be there any more."""
    spec = read_spec(run, kinds=[Text.kind])
    if spec.task.kind != Text.kind:
        raise InputError(
            f"{run} was trained on {spec.task.name}, and only a language model of bytes can write: name a run of a "
            "study on text (globalconv compare text, or a text file of yours)."
        )
    length = spec.task.options.get("length")
    if not isinstance(length, int) or length < 1:
        raise InputError(f"{run / 'spec.json'}: task.options.length is no length. Name another run.")
    model = load_model(run, spec.model, byte_signature(length))
    assert isinstance(model, LanguageModel)
    return model, length


def _check_memory(request: GenerateRequest, model: LanguageModel, length: int, longest: int) -> None:
    """Refuse more tokens than what the model keeps of each has room for."""
    near, far = 2 * length, 4 * length
    if longest <= far:
        return
    short, long = (
        peak_bytes(partial(LanguageModelState, model, batch=1, longest=n), device=request.device)
        for n in (near, far)
    )
    per_token = (long - short) / (far - near)
    needed, memory = long + per_token * (longest - far), device_memory(request.device)
    if needed > memory:
        fits = int((memory - long) / per_token) + far - (longest - request.tokens)
        raise InputError(
            f"--tokens {request.tokens}: what the model keeps of each would need {format_bytes(needed)}, and there are "
            f"{format_bytes(memory)}: give at most {fits}."
        )


def _notes(model: LanguageModel, length: int, longest: int) -> Iterator[str]:
    slow = sorted({type(mixer).__name__ for mixer in model.stack.mixers if recomputes(mixer)})
    if slow:
        yield f"{', '.join(slow)} cannot go on from a token, and is computed on all of them again for every byte."
    if longest > length:
        yield (
            f"prompt and text are {longest} bytes, and the model was trained on {length}: beyond, filters of that "
            "length see no farther back, and attention is at distances that it never met."
        )


def _summary(generated: Generated, prompt: int) -> Iterator[str]:
    count = len(generated.content)
    yield (
        f"{count} tokens in {generated.seconds:.2f} s: {generated.tokens_per_second:.0f} tokens/s, after a prompt of "
        f"{prompt} in {1e3 * generated.prompt_seconds:.0f} ms."
        + (" Interrupted." if generated.ended == "interrupted" else "")
    )
    if generated.undecodable:
        yield f"{generated.undecodable} of the bytes are not UTF-8, and stand as {UNPRINTABLE} above."
