"""Saving: the model that others read, then the checkpoint that a resume reads.

The order matters: once the last checkpoint is there, nothing is left to do. A full disk does not
end a run that may outlive it: saving is tried again at the next checkpoint, and given up at the
third failure in a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import OutputError
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models.model_file import ModelFile, write_model
from hifigan_cli.models.norms import folded
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.training.events import Noted, Saved
from hifigan_cli.training.records.checkpoint import write_checkpoint

if TYPE_CHECKING:
    from hifigan_cli.training.events import Report
    from hifigan_cli.training.records.folder import RunFolder
    from hifigan_cli.training.state import TrainState

FAILURES_ALLOWED = 2  # in a row


class Saver:
    """Writes one run's checkpoints and models."""

    def __init__(self, run: RunFolder, data_digest: str, report: Report) -> None:
        self._run = run
        self._data_digest = data_digest
        self._report = report
        self._failures = 0

    def save(self, state: TrainState, *, must: bool = False) -> None:
        """Write model and checkpoint of a state, and remove the oldest checkpoint.

        Raises:
            OutputError: the file system refused, and `must` is set or it did so twice before.
        """
        path = self._run.checkpoint(state.step)
        try:
            write_model(self._run.model, self.model(state))
            write_checkpoint(path, state, self._data_digest)
        except OutputError as error:
            self._failures += 1
            if must or self._failures > FAILURES_ALLOWED:
                raise
            self._report(Noted(f"{error.message}; training goes on", warning=True))
            return
        self._failures = 0
        self._run.prune(state.config.train.keep_checkpoints)
        self._report(Saved(state.step, path))

    def save_best(self, state: TrainState) -> None:
        """Write the model of the best validation so far; a full disk is only reported."""
        found: dict[str, Any] = {"mel_l1_full": state.best.mel_l1_full} if state.best else {}
        try:
            write_model(self._run.best, self.model(state, **found))
        except OutputError as error:
            self._report(Noted(f"{error.message}; training goes on", warning=True))

    def model(self, state: TrainState, **provenance: Any) -> ModelFile:
        """Return the vocoder that a state amounts to, weight norm folded."""
        weights = {key: value.cpu() for key, value in state.listener.state_dict().items()}
        origin = {
            "name": self._run.path.resolve().name,
            "source": f"hifigan train {package_version('hifigan-cli')}",
            "steps": state.step,
            "data": self._data_digest,
            "seed": state.config.train.seed,
            **provenance,
        }
        config = state.config
        plain = arrays_of(folded(weights))
        return ModelFile(config.mel, config.generator, plain, provenance=origin)
