"""What the steps of a bilevel search refuse, before they are compiled."""

from __future__ import annotations

import keras

from keras_attention.training.optimizer import SGDL2
from keras_attention.tuning.hypergradient import check_order


def weights_of(model, architecture, weights):
    """The weights' variables, after checking both lists."""
    trainable = {id(variable) for variable in model.trainable_variables}
    own = {id(variable) for variable in architecture}
    if not architecture or len(own) < len(architecture) or not own <= trainable:
        raise ValueError(
            "`architecture` must list trainable variables of the model, each once. "
            f"Received: {_names(architecture)}."
        )
    if weights is None:
        weights = [v for v in model.trainable_variables if id(v) not in own]
    weights = list(weights)
    listed = {id(variable) for variable in weights}
    if not weights or len(listed) < len(weights) or not listed <= trainable - own:
        raise ValueError(
            "`weights` must list trainable variables of the model that are not in "
            f"`architecture`, each once. Received: {_names(weights)}."
        )
    return weights


def _names(variables):
    return [getattr(variable, "path", variable) for variable in variables]


def check_backend():
    """Raise ValueError unless Keras runs on TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"The search runs on TensorFlow alone. Received the backend {backend!r}: "
            "set KERAS_BACKEND=tensorflow. The network that it finds trains on every "
            "backend."
        )


def check_numbers(order, l2, clip_norm):
    """Raise ValueError where one is out of its range."""
    check_order(order)
    if l2 < 0:
        raise ValueError(f"`l2` must be at least 0. Received: {l2}.")
    if clip_norm is not None and clip_norm <= 0:
        raise ValueError(
            f"`clip_norm` must be above 0, or None. Received: {clip_norm}."
        )


def check_model(model):
    """Raise ValueError where the steps would leave a part of the model out."""
    layers = model._flatten_layers()
    half = [layer.name for layer in layers if layer.compute_dtype == "float16"]
    if half:
        raise ValueError(
            "A search in float16 would need loss scaling, which it has not: use "
            f"mixed_bfloat16. Received float16 layers: {half[:3]}."
        )
    active = [
        layer.name
        for layer in layers
        if getattr(layer, "activity_regularizer", None) is not None
    ]
    if model.losses or active:
        raise ValueError(
            "The steps take `loss` alone, and would leave out the losses inside the "
            "model (regularizers, `add_loss`). For L2 decay of the weights use "
            f"keras_attention.training.SGDL2. Received {len(model.losses)} losses and "
            f"activity regularizers of {active}."
        )


def check_optimizers(*optimizers):
    """Raise ValueError where the steps would not do what an optimizer says."""
    for name, optimizer in zip(
        ("weight_optimizer", "architecture_optimizer"), optimizers, strict=True
    ):
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"`{name}` must be a Keras optimizer. Received: {optimizer!r}."
            )
        refused = {
            "built already: make a new one": optimizer.built,
            "clipping: use `clip_norm`": (
                optimizer.clipnorm or optimizer.clipvalue or optimizer.global_clipnorm
            ),
            "accumulating gradients": optimizer.gradient_accumulation_steps,
            "scaling the loss": (
                optimizer.loss_scale_factor
                or isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            ),
        }
        reasons = [reason for reason, holds in refused.items() if holds]
        if reasons:
            raise ValueError(
                f"`{name}` must not be {' or '.join(reasons)}. Received: "
                f"{optimizer.name}."
            )


def check_unrollable(optimizer, weights):
    """Raise unless `sgd_step` is what the optimizer does."""
    if type(optimizer) not in (keras.optimizers.SGD, SGDL2) or optimizer.weight_decay:
        raise ValueError(
            "Order 2 unrolls a step of SGD. `weight_optimizer` must be "
            "keras.optimizers.SGD without `weight_decay` (which is decoupled), or "
            f"keras_attention.training.SGDL2. Received: {type(optimizer).__name__} "
            f"with weight_decay={optimizer.weight_decay}."
        )
    constrained = [v.path for v in weights if v.constraint is not None]
    if constrained:
        raise ValueError(
            "Order 2 unrolls a step without constraints. Received weights with "
            f"them: {constrained[:3]}."
        )


def jit_compiles(model, strategy, asked):
    """Whether to compile with XLA; "auto" decides by the device."""
    if asked == "auto":
        return strategy.num_replicas_in_sync == 1 and model.jit_compile
    if not isinstance(asked, bool):
        raise ValueError(
            f"`jit_compile` must be True, False or 'auto'. Received: {asked!r}."
        )
    if asked and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "tf.distribute does not compile with XLA over several replicas: "
            "`jit_compile` must be False or 'auto' there. Received: True."
        )
    return asked
