"""Network, attention and training as a search space of Keras Tuner."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Sequence

import keras

from keras_attention.attention import SITES, names, spec
from keras_attention.choices import check_choice
from keras_attention.data import ImageData, naming_corrupt_files
from keras_attention.extras import require
from keras_attention.layers.checks import odd_integer, positive_integer
from keras_attention.training.compilation import compile
from keras_attention.training.recipes import Recipe
from keras_attention.training.runs import Request
from keras_attention.training.schedules import learning_rate_schedule
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.mixed import block_of

keras_tuner = require("keras_tuner", extra="tuning", purpose="AttentionHyperModel")

__all__ = ["NONE", "AttentionHyperModel", "all_attentions"]

NONE = "none"
OPTIMIZERS = ("sgd", "adam")
ADAM_RATES = (1e-4, 1e-2)
# The fields that a hyperparameter may set; an attention has one of them at most.
FIELDS = {
    "reduction_ratio": ("reduction_ratio",),
    "spatial_kernel_size": ("spatial_kernel_size", "kernel_size"),
}


class AttentionHyperModel(keras_tuner.HyperModel):
    """A search space of networks: backbone, attention and where, and its training.

    Hyperparameters:

    - `model`: the backbone;
    - for each site with a choice (`block`, `conv`, `stage`): `{site}_attention`, and
      where that is not "none" `{site}_placement`, the stages that get it ("1+3"), and
      `{site}_reduction_ratio` and `{site}_spatial_kernel_size` for the attentions
      that have such an option. Sites are independent: "aw" together with "se" is one
      of the choices;
    - `optimizer`, and `{optimizer}_learning_rate` on a logarithmic scale: for "sgd"
      from a tenth of the recipe's to three times that, for "adam" from 0.0001 to 0.01.

    Where the models differ in their number of stages, a site's names end in it
    (`block_placement_4_stages`). Only what is in use has a value. A network that
    cannot be built (an attention that does not take maps of this size, a bottleneck
    without hidden units) and a loss that is not finite raise Keras Tuner's
    `FailedTrialError` with the reason.

    Fits any tuner of Keras Tuner: `keras_tuner.RandomSearch(hypermodel,
    keras_tuner.Objective("val_top1_error", "min"))`, then `search()`. `tune` adds what
    long searches need besides.

    Args:
        models: names for `keras_attention.applications.build`.
        data: the images. Trials are compared on the validation split; the test split
            is not touched.
        recipe: how to train. Its `epochs` are a trial's (with Hyperband the longest
            one's), and the learning rate falls over them whether or not a trial gets
            that far.
        attentions: registered names, one each (not joined), and "none" if a site may
            stay empty; None for all there are, and "none".
        reduction_ratios: integers of at least 1.
        spatial_kernel_sizes: odd integers of at least 1.
        optimizers: of "sgd", with the recipe's momentum and L2 decay, and "adam",
            without decay.
        stem: as for `keras_attention.training.train`.
        seed: of the first weights, the order and the augmentation, 0 to 2³¹ − 1; the
            same in every trial.
        dtype: "float32", "mixed_bfloat16" or "mixed_float16".

    Raises:
        ImportError: Keras Tuner is not installed.
        ValueError: a value out of range, an unknown name, a model that takes no
            attention by block, or data without a validation split.
    """

    def __init__(
        self,
        models: Sequence[str],
        data: ImageData,
        recipe: Recipe,
        *,
        attentions: Sequence[str] | None = None,
        reduction_ratios: Sequence[int] = (4, 8, 16),
        spatial_kernel_sizes: Sequence[int] = (3, 5, 7),
        optimizers: Sequence[str] = OPTIMIZERS,
        stem: str | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ):
        super().__init__(name="attention")
        if data.validation is None:
            raise ValueError(
                f"Trials are compared on validation images, and {data.name} has none. "
                "Hold some out: validation=0.1."
            )
        self.recipe = recipe
        self.data = data.with_preprocessing(
            dataclasses.replace(data.preprocessing, crop_fraction=recipe.crop_fraction)
        )
        self.stem, self.seed, self.dtype = stem, seed, dtype
        self.sites = _by_site(all_attentions() if attentions is None else attentions)
        self.options = {
            "reduction_ratio": [
                positive_integer("reduction_ratios", ratio)
                for ratio in _listed("reduction_ratios", reduction_ratios)
            ],
            "spatial_kernel_size": [
                odd_integer("spatial_kernel_sizes", size)
                for size in _listed("spatial_kernel_sizes", spatial_kernel_sizes)
            ],
        }
        self.optimizers = [
            check_choice("optimizer", name, OPTIMIZERS)
            for name in _listed("optimizers", optimizers)
        ]
        self.blocks = {name: self._blocks(name) for name in _listed("models", models)}
        self.stages = {name: _stage(found[-1]) for name, found in self.blocks.items()}

    def declare_hyperparameters(self, hp) -> None:
        """Put the whole space into `hp`."""
        hp.Choice("model", list(self.blocks))
        for count in dict.fromkeys(self.stages.values()):
            models = [name for name in self.stages if self.stages[name] == count]
            # Around all: Keras Tuner wants a parent in its children's own scope.
            with hp.conditional_scope("model", models):
                for site in self.sites:
                    self._declare_site(hp, site, count)
        hp.Choice("optimizer", self.optimizers)
        for name in self.optimizers:
            low, high = _learning_rates(name, self.recipe)
            with hp.conditional_scope("optimizer", [name]):
                # No `Choice` of floats: chief and workers exchange single precision,
                # and Keras Tuner would not find the value among the choices.
                hp.Float(f"{name}_learning_rate", low, high, sampling="log")

    def genotype(self, hp) -> Genotype:
        """The attention of each block that the values of `hp` stand for."""
        blocks = self.blocks[hp.get("model")]
        placed = [self._placed(hp, site) for site in self.sites]
        entries = [
            tuple(
                chosen
                for chosen, stages in filter(None, placed)
                if _stage(block) in stages and _has_site(block, blocks, chosen.site)
            )
            for block in blocks
        ]
        symbols = [" + ".join(map(str, entry)) or NONE for entry in entries]
        return Genotype("keras_tuner", blocks, symbols, entries)

    def build(self, hp) -> keras.Model:
        """The compiled network of the values of `hp`.

        Raises:
            keras_tuner.errors.FailedTrialError: there is no such network.
        """
        if "model" not in hp:
            self.declare_hyperparameters(hp)
        name = hp.get("model")
        try:
            model = self._network(name, self.genotype(hp))
        except ValueError as error:
            raise _failed(f"{name} cannot be built so: {error}") from error
        steps = self.data.steps_per_epoch(self.recipe.batch_size)
        rate = hp.get(f"{hp.get('optimizer')}_learning_rate")
        recipe = dataclasses.replace(self.recipe, learning_rate=rate)
        compile(
            model,
            recipe,
            steps,
            optimizer=_optimizer(hp.get("optimizer"), recipe, steps),
        )
        # Hyperband goes on from a checkpoint: what is not built is not restored.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self,
        hp,
        model: keras.Model,
        *,
        epochs: int | None = None,
        initial_epoch: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int | str = "auto",
    ) -> keras.callbacks.History:
        """Train as the recipe does, from one epoch to another.

        Args:
            hp: not used; the optimizer has its values.
            model: what `build` made.
            epochs: epoch to stop before; by default the recipe's last one is done.
            initial_epoch: epoch to begin with. Learning rate and images are those
                that it has in a run through all.
            callbacks: Keras Tuner's.
            verbose: Keras' progress bar.

        Returns:
            Keras' history. Every epoch also has `seconds`, of this call, and
            `parameters`, trainable ones: so Keras Tuner records them.

        Raises:
            keras_tuner.errors.FailedTrialError: the loss is not finite.
        """
        batch_size = self.recipe.batch_size
        epochs = self.recipe.epochs if epochs is None else epochs
        steps = self.data.steps_per_epoch(batch_size)
        # A checkpoint is the best epoch's, which need not be the last one's.
        model.optimizer.iterations.assign(initial_epoch * steps)
        images = self.data.training(
            self.recipe.augmentation,
            batch_size=batch_size,
            seed=self.seed,
            first_epoch=initial_epoch,
            epochs=epochs,
        )
        finite = keras.callbacks.LambdaCallback(on_epoch_end=_check_finite)
        began = time.perf_counter()
        with naming_corrupt_files(self.data):
            history = model.fit(
                images,
                validation_data=self.data.evaluation(
                    "validation", batch_size=batch_size
                ),
                initial_epoch=initial_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=[*callbacks, finite],
                verbose=verbose,
            )
        facts = {
            "seconds": round(time.perf_counter() - began, 3),
            "parameters": sum(math.prod(w.shape) for w in model.trainable_weights),
        }
        for name, value in facts.items():
            history.history[name] = [value] * len(history.epoch)
        return history

    def _name(self, site, what, stages):
        # One name for one condition: of two, Keras Tuner drops the value that is in
        # use where the other is not (`ensure_active_values`).
        one = len(set(self.stages.values())) == 1
        return f"{site}_{what}" if one else f"{site}_{what}_{stages}_stages"

    def _declare_site(self, hp, site, stages):
        choices = self.sites[site]
        attention = self._name(site, "attention", stages)
        hp.Choice(attention, choices)
        with hp.conditional_scope(attention, [c for c in choices if c != NONE]):
            # Nothing stands after the last stage.
            places = _placements(stages - (site == "stage"))
            hp.Choice(self._name(site, "placement", stages), places)
        for option, values in self.options.items():
            having = [name for name in choices if _field(name, option)]
            if having:
                with hp.conditional_scope(attention, having):
                    hp.Choice(self._name(site, option, stages), values)

    def _placed(self, hp, site):
        """(spec, stages that get it) of a site, or None."""
        stages = self.stages[hp.get("model")]

        def value(what):
            return hp.get(self._name(site, what, stages))

        name = value("attention")
        if name == NONE:
            return None
        given = {
            _field(name, option): value(option)
            for option in FIELDS
            if _field(name, option)
        }
        return spec(name, **given), {
            int(stage) for stage in value("placement").split("+")
        }

    def _network(self, name, attention):
        request = Request(
            model=name,
            data=self.data.name,
            attention=attention,
            stem=self.stem,
            seed=self.seed,
            dtype=self.dtype,
        )
        return request.build(self.data)

    def _blocks(self, name):
        # An empty dict, not None: a network that takes no attention by block raises.
        model = self._network(name, {})
        found = dict.fromkeys(map(block_of, model.layers))
        return tuple(block for block in found if block.startswith("stage"))


def all_attentions() -> tuple[str, ...]:
    """The name "none" and the registered ones; of two for one thing the first."""
    different = {}
    for name in names():
        different.setdefault(spec(name), name)
    return (NONE, *different.values())


def _by_site(attentions):
    """{site: choices} for the sites that have some; "none" is one at all of them."""
    chosen = _listed("attentions", attentions)
    empty = [NONE] if NONE in chosen else []
    found = {site: [] for site in SITES}
    for name in chosen:
        if name != NONE:
            # Checked here: `spec` would not offer "none".
            check_choice("attention", name, (NONE, *names()))
            found[spec(name).site].append(name)
    return {site: empty + some for site, some in found.items() if some}


def _listed(name, values):
    listed = list(values) if isinstance(values, list | tuple) else []
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(
            f"`{name}` must be a list of different values, at least one. Received: "
            f"{values!r}."
        )
    return listed


def _field(name, option):
    """The field of an attention that a hyperparameter sets, or None."""
    fields = spec(name).fields() if name != NONE else {}
    # ECA's kernel size is None: it follows from the width.
    found = (f for f in FIELDS[option] if isinstance(fields.get(f), int))
    return next(found, None)


def _stage(block):
    return int(block.removeprefix("stage").partition("_")[0])


def _placements(stages):
    """Every set of stages but the empty one, all of them first: "1+2", "1", "2"."""
    numbers = [str(stage) for stage in range(1, stages + 1)]
    return [
        "+".join(chosen)
        for size in range(stages, 0, -1)
        for chosen in itertools.combinations(numbers, size)
    ]


def _has_site(block, blocks, site):
    """Stage-site attentions belong to the last block of a stage."""
    if site != "stage":
        return True
    return block == [each for each in blocks if _stage(each) == _stage(block)][-1]


def _learning_rates(name, recipe):
    if name == "adam":
        return ADAM_RATES
    return recipe.learning_rate / 10, recipe.learning_rate * 3


def _optimizer(name, recipe, steps_per_epoch):
    """Adam, or None for the recipe's own SGD."""
    if name == "adam":
        schedule = learning_rate_schedule(recipe, steps_per_epoch)
        return keras.optimizers.Adam(schedule)
    return None


def _failed(reason):
    """One line, which is what a table of trials has room for."""
    return keras_tuner.errors.FailedTrialError(" ".join(reason.split()))


def _check_finite(epoch, logs):
    if not math.isfinite(logs["loss"]):
        raise _failed(
            f"The loss is {logs['loss']} after epoch {epoch + 1}: the learning rate is "
            "too high for this network."
        )
