"""How large the model of a training is, in a line."""

from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.model_summary import get_human_readable_count


class ParameterSummary(ModelSummary):
    """Says parameters of the model and its parts, in place of Lightning's table, whose FLOPs are 0 without a trace."""

    def __init__(self) -> None:
        super().__init__(max_depth=2)  # the model and its parts

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]], total_parameters: int, trainable_parameters: int, *_: Any, **__: Any
    ) -> None:
        """Called by Lightning in the first process.

        Args:
            summary_data: columns of its table.
            total_parameters: of the model.
            trainable_parameters: those that are not frozen.
        """
        columns = dict(summary_data)
        parts = [
            f"{name.partition('.')[2]} {count.strip()}"
            for name, count in zip(columns["Name"], columns["Params"], strict=True)
            if name.startswith("model.") and count.strip() not in ("0", "")
        ]
        total, trained = (get_human_readable_count(count).strip() for count in (total_parameters, trainable_parameters))
        listed = f": {', '.join(parts)}" if parts else ""
        rank_zero_info(f"Model: {columns['Type'][0]} of {total} parameters, {trained} of them trained{listed}.")
