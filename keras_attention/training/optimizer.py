"""SGD with the weight decay that the papers trained with."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable(package="keras_attention")
class SGDL2(keras.optimizers.SGD):
    """SGD with momentum and coupled (L2) weight decay.

    `g ← ∂loss/∂w + λ·w`, then Keras' SGD: `v ← μ·v − lr·g`, `w ← w + v`. That is
    the gradient of `loss + λ/2·|w|²`, so the decay passes through the momentum.

    Against others, with the same numbers:

    - Keras' `SGD(weight_decay=λ)` is decoupled, `w ← w − lr·λ·w` beside the
      momentum. With μ = 0 the two are the same step; with momentum, coupled
      decay works 1/(1 − μ) times as strongly: ten times for μ = 0.9.
    - PyTorch's `SGD(weight_decay=λ)` has the same `g`, and keeps `v` without the
      learning rate: `v ← μ·v + g`, `w ← w − lr·v`. The same steps as long as
      the learning rate stays; where it changes, PyTorch rescales at once what
      the momentum holds, and Keras lets it fade out over about 1/(1 − μ) steps.

    Args:
        l2: λ, at least 0.
        l2_exclude: names of variables that do not decay, such as
            `("gamma", "beta", "bias")`; the last part of a variable's path.
        learning_rate_factors: {name of a layer: what its variables multiply the
            learning rate by}, at least 0; 1 for layers that are not named. It
            scales the whole step, decay included. A variable in a layer in a layer
            takes the factor of the outermost that is named.
        **kwargs: as for `keras.optimizers.SGD`, without `weight_decay`.

    Once built, `l2_by_variable` and `factor_by_variable` list each variable's.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
        l2=0.0,
        l2_exclude=(),
        learning_rate_factors=None,
        name="sgd_l2",
        **kwargs,
    ):
        if kwargs.pop("weight_decay", None) is not None:
            raise ValueError("SGDL2 has `l2` in place of `weight_decay`")
        if l2 < 0:
            raise ValueError(f"`l2` must be at least 0. Received: l2={l2}")
        factors = dict(learning_rate_factors or {})
        negative = {name: factor for name, factor in factors.items() if factor < 0}
        if negative:
            raise ValueError(
                f"`learning_rate_factors` must be at least 0. Received: {negative}"
            )
        super().__init__(learning_rate, momentum, nesterov, name=name, **kwargs)
        self.l2 = l2
        self.l2_exclude = tuple(l2_exclude)
        self.learning_rate_factors = factors

    def build(self, variables):
        super().build(variables)
        # By index: TensorFlow hands its own variables, which have no path, to
        # `update_step`. There, not in `apply`, because replicas sum what `apply`
        # gets, and would decay once per replica.
        self.l2_by_variable = [
            0.0 if variable.path.rsplit("/", 1)[-1] in self.l2_exclude else self.l2
            for variable in variables
        ]
        self.factor_by_variable = self._factors([each.path for each in variables])

    def add_variable_from_reference(
        self, reference_variable, name=None, initializer="zeros"
    ):
        if name == "average":
            # Keras begins at zeros, and a first step that loss scaling skips stays
            # there: a network that is measured then would have no weights.
            initializer = _Copy(reference_variable)
        return super().add_variable_from_reference(
            reference_variable, name=name, initializer=initializer
        )

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        l2, factor = self.l2_by_variable[index], self.factor_by_variable[index]
        if l2:
            decay = keras.ops.cast(l2, variable.dtype)
            gradient = keras.ops.cast(gradient, variable.dtype) + decay * variable
        if factor != 1:
            learning_rate = learning_rate * factor
        super().update_step(gradient, variable, learning_rate)

    def _clip_gradients(self, grads):
        # Keras clips what each replica has, and adds up then. The norm that counts is
        # that of the sum, which is the gradient of the whole batch.
        if self._clips():
            grads = self._summed(grads)
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Which Keras calls on TensorFlow alone.
        if self._clips():
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def _clips(self) -> bool:
        return bool(self.clipnorm or self.global_clipnorm or self.clipvalue)

    def _summed(self, grads):
        """Over the replicas of a TensorFlow strategy."""
        if keras.backend.backend() != "tensorflow":
            return grads
        pairs = super()._all_reduce_sum_gradients([(each, None) for each in grads])
        return [gradient for gradient, _ in pairs]

    def finalize_variable_values(self, var_list):
        """Nothing: a run decides itself when it ends (`averaging.take_averages`)."""

    def _factors(self, paths: list[str]) -> list[float]:
        """Of every variable, by the layers in its path."""
        named = [self._named_layer(path) for path in paths]
        unused = sorted(set(self.learning_rate_factors) - set(named))
        if unused:
            raise ValueError(
                "`learning_rate_factors` must name layers with variables that train. "
                f"These are none: {', '.join(unused)}"
            )
        return [self.learning_rate_factors.get(name, 1.0) for name in named]

    def _named_layer(self, path: str) -> str | None:
        layers = path.split("/")[:-1]
        return next((x for x in layers if x in self.learning_rate_factors), None)

    def get_config(self):
        config = super().get_config()
        del config["weight_decay"]
        return config | {
            "l2": self.l2,
            "l2_exclude": list(self.l2_exclude),
            "learning_rate_factors": dict(self.learning_rate_factors),
        }


class _Copy(keras.initializers.Initializer):
    """The value that a variable has by then."""

    def __init__(self, variable):
        self.variable = variable

    def __call__(self, shape, dtype=None):
        # A copy: JAX must not find one buffer in two variables.
        value = keras.ops.copy(keras.ops.convert_to_tensor(self.variable))
        return keras.ops.cast(value, dtype)
