"""Peak bytes of live tensors, against closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.measure.memory import peak_tensor_bytes
from globalconv.mixers import MIXERS
from globalconv.models import Classifier
from tests.mixers.builds import built

sizes = st.integers(1, 2000)
counts = st.integers(1, 6)


@given(size=sizes, count=counts, dtype=st.sampled_from([torch.float32, torch.float64, torch.bool]))
def test_what_is_kept_adds_up(size, count, dtype):
    def action() -> list[Tensor]:
        return [torch.zeros(size, dtype=dtype) for _ in range(count)]

    assert peak_tensor_bytes(lambda: action() and None) == count * size * dtype.itemsize


@given(size=sizes, count=counts)
def test_what_is_dropped_makes_room(size, count):
    def action() -> None:
        for _ in range(count):
            torch.zeros(size)

    assert peak_tensor_bytes(action) == 4 * size


@given(size=sizes, count=counts)
def test_a_chain_holds_two_links_without_gradients_and_all_with_them(size, count):
    x = torch.zeros(size, requires_grad=True)

    def chain() -> None:
        y: Tensor = x
        for _ in range(count):
            y = y.sin()

    with torch.no_grad():
        assert peak_tensor_bytes(chain) == 4 * size * min(count, 2)
    assert peak_tensor_bytes(chain) == 4 * size * count


def test_the_peak_may_lie_in_the_middle():
    def action() -> None:
        small = torch.zeros(10)
        big = torch.zeros(1000)
        del big
        torch.zeros(20)
        del small

    assert peak_tensor_bytes(action) == 4 * 1010


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[2:7].T,
        lambda x: x.view(-1).unsqueeze(0).expand(3, -1),
        lambda x: x.add_(1).mul_(2),
        lambda x: x.detach().transpose(0, 1),
        lambda x: torch.add(x, x, out=x),
    ],
)
def test_views_and_changes_in_place_are_free(use):
    x = torch.zeros(10, 10)
    assert peak_tensor_bytes(lambda: use(x) is None) == 0
    assert peak_tensor_bytes(lambda: use(torch.zeros(10, 10)) is None) == 400


@given(length=st.integers(2, 40), width=st.integers(1, 8))
def test_attention_written_out_holds_two_score_matrices(length, width):
    q, k, v = torch.randn(3, length, width)

    def action() -> None:
        (q @ k.T).softmax(dim=1) @ v

    scores, output = 4 * length * length, 4 * length * width
    assert peak_tensor_bytes(action) == scores + max(scores, output)


@given(rows=st.integers(1, 9), width=st.integers(1, 9))
def test_forward_and_backward_of_a_linear_layer(rows, width):
    """Output, a scalar loss, its gradient of one number, the spread-out gradient, the weight's gradient."""
    x, weight = torch.randn(rows, width), torch.randn(width, width, requires_grad=True)

    def action() -> None:
        (x @ weight).sum().backward()

    # The output goes before the backward pass: a sum needs only its shape. What is added up last is the
    # gradient, of which the leaf keeps a copy of its own if it is a view.
    forward = rows * width + 1
    backward = 1 + 1 + width * width
    assert peak_tensor_bytes(action) == 4 * max(forward, backward)


@pytest.mark.parametrize("name", MIXERS)
def test_a_training_step_is_counted_the_same_every_time_and_grows_evenly(name, seed):
    torch.manual_seed(seed)
    model = Classifier(3, [built(name, 8, 16)], mlp_width=8, channels=2)

    def step(batch: int) -> int:
        def action() -> None:
            model(x).square().sum().backward()
            model.zero_grad()

        x = torch.randn(batch, 16, 2)
        return peak_tensor_bytes(action)

    peaks = [step(batch) for batch in (8, 16, 24)]
    assert peaks[0] == step(8)
    assert peaks[2] - peaks[1] == peaks[1] - peaks[0] > 0


def test_memory_from_before_is_not_counted():
    model, x = nn.Linear(1000, 10, bias=False), torch.randn(1, 1000)
    with torch.no_grad():
        assert peak_tensor_bytes(lambda: model(x) is None) == 40
