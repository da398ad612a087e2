"""Networks that run: files, precision, data formats, training, compilation."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.weights import randomize

from keras_attention.applications import AAWideResNet, CifarResNet, MobileNet, ResNet


def small(attention="aw_cbam_bam", **options):
    arguments = {
        "input_shape": (8, 8, 3),
        "classes": 3,
        "stem": "cifar",
        "stem_width": 8,
        "attention": attention,
    }
    return ResNet((1, 1), (16, 16), "basic", **{**arguments, **options})


RELOAD = """
import sys
import keras, keras_attention
import numpy as np

folder = sys.argv[1]
for name in sys.argv[2:]:
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    data = np.load(f"{folder}/{name}.npz")
    outputs = model.predict_on_batch(data["images"])
    np.testing.assert_allclose(outputs, data["outputs"], atol=1e-5)
print("all equal")
"""


def test_files_reload_in_a_process_that_only_imports_the_package(rng, tmp_path):
    models = {
        "resnet": small(),
        "pad": CifarResNet(8, input_shape=(8, 8, 3), attention="mvam_parallel"),
        "aa": AAWideResNet(
            10, 1, 2, input_shape=(8, 8, 3), num_heads=2, min_key_depth_per_head=2
        ),
    }
    for name, model in models.items():
        randomize(model, rng)
        images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
        outputs = model.predict_on_batch(images)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", images=images, outputs=outputs)
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, str(tmp_path), *models],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    assert done.stdout == "all equal\n", done.stderr[-2000:]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_from_a_file(suffix, rng, tmp_path):
    model = small("se")
    randomize(model, rng)
    path = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    copy = small("se", weights=path)
    for ours, theirs in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)]
)
def test_mixed_precision_keeps_float32_logits(policy, tolerance, rng):
    exact = small(classifier_activation=None)
    keras.config.set_dtype_policy(policy)
    model = small(classifier_activation=None)
    model.set_weights(exact.get_weights())
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    outputs = run(model, images)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    compute = policy.removeprefix("mixed_")
    assert model.get_layer("stage2_block1_attention").compute_dtype == compute
    expected = keras.ops.convert_to_numpy(run(exact, images))
    difference = np.abs(keras.ops.convert_to_numpy(outputs) - expected).max()
    assert difference < tolerance * np.abs(expected).max()


def test_channels_first(rng):
    """Where the backend runs it, the same numbers from transposed images."""
    last = small("aw_cbam_bam")
    first = small("aw_cbam_bam", data_format="channels_first", input_shape=(3, 8, 8))
    randomize(last, rng)
    first.set_weights(last.get_weights())
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    moved = np.moveaxis(images, -1, 1)
    try:
        outputs = first.predict_on_batch(moved)
    except Exception as error:
        if "NHWC" not in str(error) and "NCHW" not in str(error):
            raise
        pytest.skip(f"this backend has no channels-first kernels here: {error!r:.80}")
    np.testing.assert_allclose(outputs, last.predict_on_batch(images), atol=1e-5)


def test_channels_first_by_kerass_own_setting():
    keras.config.set_image_data_format("channels_first")
    with keras.StatelessScope(initialize_variables=False):
        model = CifarResNet(8, include_top=False, attention="aw_cbam_bam")
        mobile = MobileNet(include_top=False, attention="se", input_shape=(3, 64, 64))
    assert model.input_shape == (None, 3, 32, 32)
    assert model.output_shape == (None, 64, 8, 8)
    assert mobile.output_shape == (None, 1024, 2, 2)


def images_of_three_classes(rng, count=24):
    """Three noisy patterns that a few steps can tell apart."""
    labels = np.arange(count) % 3
    patterns = rng.normal(size=(3, 8, 8, 3))
    noise = 0.3 * rng.normal(size=(count, 8, 8, 3))
    return (patterns[labels] + noise).astype("float32"), labels


@pytest.mark.parametrize("attention", [None, "aw_cbam_bam", "aa_mvam_parallel"])
def test_training_lowers_the_loss(attention, rng):
    """`fit`, compiled by the backend (`jit_compile` on JAX is `jax.jit`)."""
    model = small(attention)
    images, labels = images_of_three_classes(rng)
    compiled = keras.backend.backend() == "jax"
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=compiled,
    )
    fitted = model.fit(images, labels, batch_size=24, epochs=20, verbose=0)
    losses = fitted.history["loss"]
    assert losses[-1] < 0.5 * losses[0], losses


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit needs JAX")
def test_jax_jit_of_the_stateless_call(rng):
    import jax

    model = small("aw_cbam_bam")
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    fixed = [v.value for v in model.non_trainable_variables]
    weights = [v.value for v in model.trainable_variables]
    jitted = jax.jit(lambda w, x: model.stateless_call(w, fixed, x, training=False)[0])
    np.testing.assert_allclose(jitted(weights, images), model(images), atol=1e-5)
