"""Does the search find the attention that was planted in the data?

    KERAS_BACKEND=tensorflow python benchmarks/planted_search.py \
        --out docs/results/planted-search

Three made-up data sets, of which a small network can tell by construction what it
needs: spatial attention, channel attention, nothing. First the *oracle* rows: the
network with each of the five operations of "sscbam", trained alone. Then the search,
with the default penalty (by parameters, w = 0.02), the paper's, and none. A search
has found the planted operation where the paper's selection rule chooses it for the
network's one block. Expected with the default penalty: at least 9 of 10 seeds in each
set. About 30 minutes on one core; what results.csv has already is not run again.

The network sees 5×5 places at a time before its attention: stem 3×3, and in the block
1×1, 3×3, 1×1. Its channels are then averaged over all places and go to a dense layer.
Images are 8 high, 16 wide and of 4 channels, with normal noise; there are 3 classes.

- `spatial`: three spots in one column, one of each colour (channels 0 to 2). A marker
  (channel 3) stands 5 columns to the right of one of them, and the class is that
  spot's colour. No 5×5 window sees a spot and the marker, and the average over all
  places is the same for all classes. A spatial map of 7×7 sees the marker from the
  spot, so that only the spot that counts goes into the average.
- `channel`: channels 0 to 2 show one texture each, in the left 7 columns: horizontal
  stripes, vertical stripes or a chessboard, of strength 0.5 to 2. A bar in the right 2
  columns of one of them says which channel's texture is the class; the others' are
  never that one. Bar and texture are too far apart for a spatial map, and all textures
  are at the same places. Channel attention sees the bar in its statistics over all
  places, and can switch off the other channels' textures. Without the bar two images in
  three can be told: where the other textures are one, the class is the single one.
- `nothing`: the channel of the class is brighter everywhere. The average over all
  places says it all, so every operation does well, and identity is free.
"""

import argparse
import csv
import os
from pathlib import Path
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_attention.applications import ResNet
from keras_attention.intervals import mean_and_interval
from keras_attention.training import SGDL2
from keras_attention.tuning.genotype import derive
from keras_attention.tuning.mixed import architecture_variables
from keras_attention.tuning.rounds import bilevel_rounds
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.search_penalty import named_penalty
from keras_attention.tuning.search_request import ALPHA_L2, BETAS, MOMENTUM
from keras_attention.tuning.space import search_space
from keras_attention.tuning.steps import BilevelSteps

HEIGHT, WIDTH, CHANNELS, CLASSES = 8, 16, 4, 3
# From a spot to its marker, in columns: a 5×5 window spans 4.
OFFSET = 5
TEXTURED, TEXTURE_COLUMNS, BAR_COLUMNS = 3, 7, 2

SPACE = search_space("sscbam", reduction_ratio=2)
PENALTIES = ("cost", "paper", "none")
PENALTY_NAMES = {"cost": "default (cost)", "paper": "paper's", "none": "none"}

# One setting for all data and penalties. A search sees IMAGES, half of them for α; a
# network of the oracle rows trains on all of them.
IMAGES, TEST_IMAGES, BATCH = 6144, 2048, 32
EPOCHS, WARMUP_EPOCHS, ORACLE_EPOCHS = 12, 5, 12
LEARNING_RATE, LEAST_LEARNING_RATE, L2, CLIP_NORM = 0.1, 0.004, 3e-4, 5.0
# DARTS' 3e-4 is for fifty epochs of CIFAR-10; here α makes 672 steps.
ALPHA_LEARNING_RATE = 0.05
FIRST_SEED = 10
# Seeds of test images, apart from those of searches and training.
TEST_SEEDS = 1_000_000

FIELDS = ("kind", "data", "case", "seed", "accuracy", "found")
FIELDS += tuple(f"p_{symbol}" for symbol in SPACE.symbols)


# -- data --------------------------------------------------------------------------


def spatial(count, seed):
    """Images whose class is the colour of the spot with the marker.

    Returns:
        float32 [count, 8, 16, 4] and int64 [count], classes in equal parts.
    """
    rng = np.random.default_rng([1, seed])
    images, labels = _noise(rng, count, 0.2), _labels(rng, count)
    image = np.arange(count)
    # Three of six rows, then a free row between them, in an order of their own.
    rows = np.sort(np.argsort(rng.random((count, 6)), axis=1)[:, :CLASSES], axis=1)
    rows = rng.permuted(rows + np.arange(CLASSES), axis=1)
    column = rng.integers(WIDTH - OFFSET, size=count)
    for colour in range(CLASSES):
        images[image, rows[:, colour], column, colour] += 2.5
    images[image, rows[image, labels], column + OFFSET, 3] += 4
    return images, labels


def channel(count, seed):
    """Images whose class is the texture of the channel that the bar is in.

    Returns: as `spatial`.
    """
    rng = np.random.default_rng([2, seed])
    images, labels = _noise(rng, count, 0.2), _labels(rng, count)
    told = rng.integers(TEXTURED, size=count)
    rows, columns = np.indices((HEIGHT, TEXTURE_COLUMNS))
    textures = np.stack([rows, columns, rows + columns]) % 2 * 2 - 1
    for number in range(TEXTURED):
        other = (labels + rng.integers(1, CLASSES, size=count)) % CLASSES
        shown = textures[np.where(told == number, labels, other)]
        # A strength and a phase for each image.
        factors = rng.uniform(0.5, 2, count) * rng.choice([-1, 1], count)
        images[:, :, :TEXTURE_COLUMNS, number] += factors[:, None, None] * shown
    images[np.arange(count), :, -BAR_COLUMNS:, told] += 4
    return images, labels


def nothing(count, seed):
    """Images whose class is the channel that is brighter everywhere.

    Returns: as `spatial`.
    """
    rng = np.random.default_rng([3, seed])
    images, labels = _noise(rng, count, 1.0), _labels(rng, count)
    images[np.arange(count), :, :, labels] += 0.5
    return images, labels


def _noise(rng, count, deviation):
    shape = (count, HEIGHT, WIDTH, CHANNELS)
    return rng.normal(0, deviation, shape).astype("float32")


def _labels(rng, count):
    return rng.permutation(np.arange(count) % CLASSES)


DATA = {"spatial": spatial, "channel": channel, "nothing": nothing}
PLANTED = {"spatial": "SA", "channel": "CA", "nothing": "Identity"}


# -- training and search -----------------------------------------------------------


def network(attention, seed):
    """A network of one residual block, its first weights drawn by the seed."""
    keras.utils.set_random_seed(seed)
    return ResNet(
        (1,),
        (4,),
        "bottleneck",
        stem="cifar",
        stem_width=16,
        width_per_group=256,  # 16 channels in all of the block
        input_shape=(HEIGHT, WIDTH, CHANNELS),
        classes=CLASSES,
        classifier_activation=None,
        weights=None,
        attention=[attention],
    )


def batches(images, labels, seed):
    """Batches without end, each epoch in an order of its own."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(labels))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            yield images[chosen], labels[chosen]


def start_again(model, attention, optimizers, seed):
    """`model` and its optimizers as new, so that what is compiled serves all seeds."""
    model.set_weights(network(attention, seed).get_weights())
    for optimizer in optimizers:
        rate = optimizer._learning_rate
        for variable in optimizer.variables:
            if variable is not rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))


class Oracle:
    """The network with one operation, trained by itself.

    Args:
        symbol: of the operation.
    """

    def __init__(self, symbol):
        choice = SPACE.symbols.index(symbol)
        self.attention = SPACE.operations[choice].attention
        self.model = network(self.attention, 0)
        schedule = _schedule(ORACLE_EPOCHS)
        self.optimizer = _weight_optimizer(schedule, IMAGES // BATCH)
        self.model.compile(self.optimizer, _loss(), metrics=["accuracy"])

    def run(self, name, seed):
        """Accuracy on new images of a data set, as a row."""
        start_again(self.model, self.attention, [self.optimizer], seed)
        images, labels = DATA[name](IMAGES, seed)
        self.model.fit(
            images, labels, batch_size=BATCH, epochs=ORACLE_EPOCHS, verbose=0
        )
        test = DATA[name](TEST_IMAGES, TEST_SEEDS + seed)
        _, accuracy = self.model.evaluate(*test, batch_size=256, verbose=0)
        return {"accuracy": accuracy}


class Search:
    """The bilevel search with one penalty.

    Args:
        penalty: name of `named_penalty`.
        epochs, warmup_epochs: of `SearchSchedule`.
    """

    def __init__(self, penalty, epochs=EPOCHS, warmup_epochs=WARMUP_EPOCHS):
        self.model = network(SPACE.spec(), 0)
        self.schedule = _schedule(epochs, warmup_epochs)
        self.steps_per_epoch = IMAGES // 2 // BATCH
        beta_1, beta_2 = BETAS
        self.optimizers = (
            _weight_optimizer(self.schedule, self.steps_per_epoch),
            keras.optimizers.Adam(ALPHA_LEARNING_RATE, beta_1=beta_1, beta_2=beta_2),
        )
        self.steps = BilevelSteps(
            self.model,
            *self.optimizers,
            architecture=architecture_variables(self.model),
            loss=_loss(),
            penalty=named_penalty(penalty, self.model, SPACE),
            l2=ALPHA_L2,
            clip_norm=CLIP_NORM,
        )

    def run(self, name, seed):
        """What is found in a data set, as a row; accuracy is that of the last epoch."""
        start_again(self.model, SPACE.spec(), self.optimizers, seed)
        images, labels = DATA[name](IMAGES, seed)
        half = IMAGES // 2
        rounds = bilevel_rounds(
            self.steps,
            self.schedule,
            self.steps_per_epoch,
            lambda first: batches(images[:half], labels[:half], [4, seed]),
            lambda first: batches(images[half:], labels[half:], [5, seed]),
        )(0)
        for _ in range(self.schedule.epochs):
            epoch = [next(rounds) for _ in range(self.steps_per_epoch)]
        genotype = derive(self.model, SPACE)
        (found,), (shares,) = genotype.operations, genotype.probabilities
        shares = zip(SPACE.symbols, shares, strict=True)
        return {
            "accuracy": np.mean(
                [float(metrics["alpha_accuracy"]) for metrics in epoch]
            ),
            "found": found,
            **{f"p_{symbol}": share for symbol, share in shares},
        }


def _schedule(epochs, warmup_epochs=0):
    return SearchSchedule(
        epochs,
        warmup_epochs,
        learning_rate=LEARNING_RATE,
        least_learning_rate=LEAST_LEARNING_RATE,
    )


def _weight_optimizer(schedule, steps_per_epoch):
    return SGDL2(schedule.learning_rates(steps_per_epoch), MOMENTUM, l2=L2)


def _loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


# -- all runs ----------------------------------------------------------------------


def all_runs(penalties, seeds, oracle_seeds):
    """(kind, data, case, seed) of every run; runs of one compiled step in a row."""
    kinds = {
        "oracle": (SPACE.symbols, range(oracle_seeds)),
        # Not those of the first setting's table, which led to this one.
        "search": (penalties, range(FIRST_SEED, FIRST_SEED + seeds)),
    }
    return [
        (kind, name, case, seed)
        for kind, (cases, numbers) in kinds.items()
        for case in cases
        for name in DATA
        for seed in numbers
    ]


def read(path):
    """{(kind, data, case, seed): row} of a results.csv, if there is one."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["kind"], row["data"], row["case"], int(row["seed"])): row for row in rows
    }


def append(path, row):
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def run_missing(runs, path):
    """Make the runs that results.csv has not, and write down each as it ends."""
    done = read(path)
    missing = [run for run in runs if run not in done]
    start, made = perf_counter(), {}
    for number, (kind, name, case, seed) in enumerate(missing, 1):
        if (kind, case) not in made:
            make = {"oracle": Oracle, "search": Search}[kind]
            made = {(kind, case): make(case)}  # the one before is done
        found = made[kind, case].run(name, seed)
        found = {k: v if isinstance(v, str) else f"{v:.4f}" for k, v in found.items()}
        row = {"kind": kind, "data": name, "case": case, "seed": seed, **found}
        append(path, row)
        left = (perf_counter() - start) / number * (len(missing) - number)
        print(
            f"[{number}/{len(missing)}] {kind}, {name}, {case}, seed {seed}: "
            f"{found.get('found', '')} accuracy {found['accuracy']}; "
            f"{left / 60:.0f} min left",
            flush=True,
        )


# -- results -----------------------------------------------------------------------


def accuracies(rows, name, symbol):
    """Of an operation's oracle runs."""
    return [
        float(row["accuracy"])
        for (kind, data, case, _), row in rows.items()
        if (kind, data, case) == ("oracle", name, symbol)
    ]


def searches(rows, name, penalty):
    """Rows of the searches with a penalty, by seed."""
    return [
        row
        for (kind, data, case, _), row in sorted(rows.items())
        if (kind, data, case) == ("search", name, penalty)
    ]


def penalties_of(rows):
    """Penalties that there are searches with."""
    found = {case for kind, _, case, _ in rows if kind == "search"}
    return [penalty for penalty in PENALTIES if penalty in found]


def table(rows):
    """Both tables, as Markdown."""
    lines = ["| test accuracy, % | " + " | ".join(SPACE.symbols) + " |"]
    lines.append("|---" * (1 + len(SPACE.symbols)) + "|")
    for name in DATA:
        cells = []
        for symbol in SPACE.symbols:
            mean, half = mean_and_interval(accuracies(rows, name, symbol))
            interval = "" if half is None else f" ± {100 * half:.1f}"
            text = f"{100 * mean:.1f}{interval}"
            cells.append(f"**{text}**" if symbol == PLANTED[name] else text)
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| penalty | data | planted | found | instead |",
        "|---|---|---|---|---|",
    ]
    for penalty in penalties_of(rows):
        for name, planted in PLANTED.items():
            found = [row["found"] for row in searches(rows, name, penalty)]
            others = [symbol for symbol in dict.fromkeys(found) if symbol != planted]
            instead = ", ".join(f"{found.count(o)} {o}" for o in others) or "–"
            lines.append(
                f"| {PENALTY_NAMES[penalty]} | `{name}` | {planted} | "
                f"{found.count(planted)} of {len(found)} | {instead} |"
            )
    return "\n".join(lines) + "\n"


def picture(rows, path):
    """Oracle accuracies above; below, p at the end of every search."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    penalties = penalties_of(rows)
    figure, grid = pyplot.subplots(
        1 + len(penalties),
        len(DATA),
        figsize=(10.5, 3.4 + 2.4 * len(penalties)),
        layout="constrained",
        sharey="row",
        height_ratios=[1.3] + [1] * len(penalties),
    )
    for column, name in enumerate(DATA):
        draw_oracle(grid[0, column], rows, name)
        for row, penalty in enumerate(penalties, 1):
            draw_searches(grid[row, column], searches(rows, name, penalty), name)
            grid[row, 0].set_ylabel(f"p, penalty: {PENALTY_NAMES[penalty]}")
        grid[-1, column].set_xlabel("seed of the search")
    grid[0, 0].set_ylabel("test accuracy, trained alone")
    handles, labels = grid[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


# Okabe and Ito's, which colour-blind people can tell apart.
COLOURS = ("#999999", "#0072b2", "#56b4e9", "#009e73", "#e69f00")


def draw_oracle(axes, rows, name):
    """A bar with its 95% interval for each operation."""
    for place, (symbol, colour) in enumerate(zip(SPACE.symbols, COLOURS, strict=True)):
        mean, half = mean_and_interval(accuracies(rows, name, symbol))
        axes.bar(place, mean, color=colour, yerr=half, capsize=3)
    axes.axhline(1 / CLASSES, color="#222222", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(SPACE.symbols)), SPACE.symbols, fontsize="small")
    axes.set_ylim(0, 1.05)
    axes.set_title(f"{name}: {PLANTED[name]} is planted")


def draw_searches(axes, found, name):
    """A bar of the five p for each seed; a cross where the planted one is not found."""
    if not found:
        axes.set_axis_off()
        return
    seeds = [int(row["seed"]) for row in found]
    base = np.zeros(len(found))
    for symbol, colour in zip(SPACE.symbols, COLOURS, strict=True):
        shares = np.array([float(row[f"p_{symbol}"]) for row in found])
        axes.bar(seeds, shares, bottom=base, color=colour, label=symbol, width=0.85)
        base = base + shares
    missed = [int(row["seed"]) for row in found if row["found"] != PLANTED[name]]
    axes.plot(missed, [1.06] * len(missed), "x", color="#d55e00")
    axes.set_xticks(seeds)
    axes.set_ylim(0, 1.12)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/planted-search"))
    parser.add_argument("--seeds", type=int, default=10, help="of the searches")
    parser.add_argument("--oracle-seeds", type=int, default=3)
    parser.add_argument("--penalties", nargs="+", choices=PENALTIES, default=PENALTIES)
    parser.add_argument(
        "--quick", action="store_true", help="one seed of each, four minutes"
    )
    arguments = parser.parse_args()
    seeds, oracle_seeds = arguments.seeds, arguments.oracle_seeds
    if arguments.quick:
        seeds = oracle_seeds = 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.csv"
    run_missing(all_runs(arguments.penalties, seeds, oracle_seeds), results)
    rows = read(results)
    text = table(rows)
    (arguments.out / "table.md").write_text(text, encoding="utf-8")
    picture(rows, arguments.out / "planted_search.png")
    print(text)


if __name__ == "__main__":
    main()
