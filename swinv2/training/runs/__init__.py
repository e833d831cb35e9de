"""Run folders: checkpoints, logs, resuming."""
