"""Train one network on the workers of a Ray cluster, with Ray Train's `JaxTrainer`.

    python examples/ray_train.py --workers 4 --coordinator node0:29500 \\
        --data-dir /shared/tfds --out /shared/runs/x

Not run by the authors, who have no Ray: it is written after its documentation.
`JaxTrainer` alone may train an independent copy in each worker. What joins them is
`keras.distribution.initialize`, which `distribute="hosts"` calls with the variables
that are set here, before anything else of JAX runs; where Ray has joined them already,
that stands.
"""

import argparse
import os

PORT = 29500
BACKEND = {"KERAS_BACKEND": "jax"}


def train_worker(settings: dict) -> None:
    """What each worker runs: one of the processes that train together."""
    import ray.train

    context = ray.train.get_context()
    os.environ |= BACKEND | {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": settings["coordinator"],
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(context.get_world_size()),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(context.get_world_rank()),
    }
    from keras_attention.training import train

    begun = os.path.exists(os.path.join(settings["out"], "run.json"))
    train(
        out=settings["out"],
        resume=begun,  # after a failure, which has Ray start all workers again
        distribute="hosts",
        model="resnet50",
        attention="cbam",
        data="imagenet2012",
        data_dir=settings["data_dir"],
        recipe="imagenet",
        verbose=2,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="a folder that all workers see")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument(
        "--coordinator", required=True, help=f"host of worker 0, such as node0:{PORT}"
    )
    asked = parser.parse_args()

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.jax import JaxTrainer

    JaxTrainer(
        train_worker,
        train_loop_config={
            "out": asked.out,
            "data_dir": asked.data_dir,
            "coordinator": asked.coordinator,
        },
        scaling_config=ScalingConfig(num_workers=asked.workers, use_gpu=True),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=3)),
    ).fit()


if __name__ == "__main__":
    main()
