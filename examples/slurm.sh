#!/bin/bash
# One network, trained by a process per node of a Slurm cluster, each with all GPUs of its
# node. Not run on a cluster by the authors: the same launcher was, on one machine.
#
#   sbatch examples/slurm.sh
#
# --out must be a folder that all nodes see. Slurm's SIGTERM, five minutes before the
# time is over, has the state saved; sent again, the same job goes on.

#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue

set -eu
export KERAS_BACKEND=jax
OUT=runs/resnet50
COORDINATOR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):29500"
# The launcher adds --resume where the folder holds a run.
srun --kill-on-bad-exit=1 bash -c 'exec python -m keras_attention.training.launch \
    --coordinator "$0" --processes "$SLURM_NTASKS" --first "$SLURM_PROCID" --here 1 -- \
    keras-attention train --model resnet50 --attention cbam --recipe imagenet \
    --data imagenet2012 --data-dir /data/tfds --batch-size 1024 \
    --distribute hosts --out "$1"' "$COORDINATOR" "$OUT"
