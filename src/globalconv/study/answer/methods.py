"""The methods of a study, in sentences, written from its plan."""

from globalconv.study.answer.statistics import CONFIDENCE
from globalconv.study.design.sweep import COARSE_SHARE, MOST_RATES, SWEEP_SEEDS
from globalconv.study.spec import StudyPlan
from globalconv.training.bootstrap import RESAMPLES


def describe_methods(plan: StudyPlan) -> list[str]:
    """One statement each: arms, matching, tuning, selection, seeds, intervals, verdict, multiplicity."""
    request = plan.request
    matching = {
        "parameters": "parameters agree within 2 %: the channel MLP's width, which every arm has, is solved for it",
        "flops": "forward flops per token agree within 2 %: the channel MLP's width is solved for it",
        "seconds": "training seconds agree within 2 % by the warm-up's timings: parameters are matched by the "
        "channel MLP's width, and each arm gets the steps that fit in the rival's seconds",
    }[request.match]
    return [
        "Arms differ in the token mixer only. On a task all share the residual blocks, the data and its order per "
        "seed, the optimizer and the schedule over a fixed number of steps.",
        *_recipes(plan),
        f"Budgets: {matching}.",
        _tuning(plan),
        "The checkpoint that was best on validation is scored on the test split, once per final run.",
        f"Intervals are {CONFIDENCE:.0%} Student's t over seeds; differences are paired by seed. That of a difference "
        f"holds the choice of test examples too: {RESAMPLES} test splits drawn again with replacement, the same for "
        "all runs (paired bootstrap over the mean of the seeds), joined to the seeds' by the root of the squares' sum. "
        "An arm's own interval, of its score and of its curve, ends where scores do: at 0, and at the best there is. "
        "Intervals speak of seeds and examples of this kind, not of other data sets, and are not corrected for "
        "comparing several arms.",
        "Verdict: 'better' if the whole interval of the difference is above 0, 'not worse' if above minus the "
        "margin, 'worse' if wholly below minus the margin, else 'undecided'. No arm is declared the loser that "
        "was still improving (by more than the margin over the last quarter of its steps) or is not tuned; "
        "unless the other's score cannot be beaten by more than the margin.",
        "Inside the models: probes of the first seed's best checkpoint, in float64, on examples of the validation "
        "split. Joint effects: mixed differences over random sets of tokens, each replaced by another's vector. "
        "Content dependence: variance of a block's token Jacobian over examples, over its mean square.",
        "A verdict holds for these sizes, this data and this budget.",
        "Flops: 2 per multiply-add, forward; training is counted as three forwards. A convolution is counted by "
        "the cheaper of direct sum and FFT; causal attention by the visible half of its pairs.",
        "Memory: peak of live tensors over one training step, counted operation by operation, with parameters "
        "and optimizer. Seconds per step: median over the runs' steps, one thread each, "
        f"{plan.workers} run(s) side by side.",
    ]


def _tuning(plan: StudyPlan) -> str:
    if not plan.sweep:
        return "Learning rates were not tuned here; the table says where each comes from. --sweep tunes them."
    widened = (
        f"Each arm's learning rate was swept, half a decade apart, on seed {SWEEP_SEEDS[0]}, and the grid widened "
        f"while the best lay on its edge, up to {MOST_RATES} rates."
    )
    alike = "Rates within half the margin of the best count as alike, and the middle one of these is taken."
    if plan.coarse_sweep:
        return (
            f"{widened} Runs of the sweep have about 1/{round(1 / COARSE_SHARE)} of the steps. {alike} Validation "
            "chose. Final seeds are others."
        )
    return (
        f"{widened} The best was run on seed {SWEEP_SEEDS[1]} too, and is the one of the best mean. {alike} "
        "Validation chose. Final seeds are others."
    )


def _recipes(plan: StudyPlan) -> list[str]:
    """How the models are built and trained, for each design that an arm has."""
    decoders = [arm.model.decoder for task in plan.tasks for arm in task.arms]
    designs = {decoder.design for decoder in decoders if decoder}
    statements = []
    if None in decoders or "modern" in designs:
        statements.append(
            f"{'Without a decoder' if 'original' in designs else 'Blocks'}: pre-norm, GELU; AdamW, warm-up, cosine to "
            "zero, gradients clipped."
        )
    if designs:
        statements.append(
            "Sequence to sequence: the metric scores what a model writes by itself, token after token, not the next "
            "token after the right ones."
        )
    if "original" in designs:
        statements.append(
            "The original design is that of arXiv 1706.03762: post-norm, sinusoidal positions, shared and scaled "
            "embeddings, ReLU; Adam (0.9, 0.98, 1e-9), no weight decay, no clipping, label smoothing 0.1, and after "
            "the warm-up a rate that falls with the square root of the step."
        )
    if "modern" in designs:
        statements.append("The modern design has rotary positions besides.")
    return statements
