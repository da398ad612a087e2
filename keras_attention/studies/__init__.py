"""Studies of attention that anyone can repeat by one command."""

from keras_attention.studies.cbam_ablation import ablation, ablation_candidates

__all__ = ["ablation", "ablation_candidates"]
