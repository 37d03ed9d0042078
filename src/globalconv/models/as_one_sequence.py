"""An encoder-decoder as a module of one sequence, for whatever asks what tokens do to each other."""

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.models.encoder_decoder import EncoderDecoder


class AsOneSequence(nn.Module):
    """Source and target behind each other, (batch, length) tokens -> (batch, length, vocabulary).

    The first ``source_length`` tokens are the source, without padding; the others are what the decoder reads. At a
    target's place stand the logits of what follows it; at a source's, which has no output of its own, zeros.
    """

    def __init__(self, model: EncoderDecoder, source_length: int) -> None:
        super().__init__()
        self.model = model
        self.source_length = source_length

    def forward(self, tokens: Tensor) -> Tensor:
        """One embedding of all tokens at once, so that it is the vectors' only way into the model."""
        vectors = self.model.embed(tokens)
        source, target = vectors[:, : self.source_length], vectors[:, self.source_length :]
        logits = self.model.decode_vectors(self.model.encode_vectors(source), target)
        return F.pad(logits, (0, 0, self.source_length, 0))
