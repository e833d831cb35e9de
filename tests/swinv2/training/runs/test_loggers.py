"""Logs that cannot be written."""

import threading

import numpy as np
import pytest

from swinv2.training.runs.loggers import Board, MetricsTable, quiet_writers


def full(*args, **kwargs):
    """As a disk without room."""
    raise OSError(28, "No space left on device")


def test_table_on_a_full_disk_is_named(tmp_path, monkeypatch):
    """As one message that says what to do."""
    table = MetricsTable(tmp_path, "", 0)
    table.log_metrics({"loss": 1.0}, 1)
    table.save()
    table.log_metrics({"loss": 1.0}, 2)
    monkeypatch.setattr(table.experiment._fs, "open", full)
    with pytest.raises(OSError, match=r"The log .*version_0/metrics.csv cannot be written: No space left on device"):
        table.save()


def test_board_on_a_full_disk_is_named(tmp_path, capsys):
    """The thread that writes it ends without a traceback; the next call raises."""
    board = Board(tmp_path, "", 0)
    writer = board.experiment.file_writer.event_writer._async_writer
    writer._writer.write = full
    with quiet_writers():
        board.log_metrics({"loss": 1.0}, 1)
        writer._worker.join(10)
        for call in (
            lambda: board.log_metrics({"loss": 1.0}, 2),
            lambda: board.add_picture("a", np.zeros((8, 8, 3), np.uint8), 2),
            board.save,
        ):
            with pytest.raises(OSError, match=r"The log .*version_0 cannot be written: No space left on device"):
                call()
    assert not capsys.readouterr().err


def test_other_errors_of_threads_are_shown(monkeypatch):
    """Only what is raised later is left out."""
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    with quiet_writers():
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert [one.exc_type for one in shown] == [ZeroDivisionError]


def test_good_logs_are_written(tmp_path):
    """Metrics and pictures."""
    table, board = MetricsTable(tmp_path, "", 0), Board(tmp_path, "", 0)
    for one in (table, board):
        one.log_metrics({"loss": 0.5}, 3)
    board.add_picture("a", np.zeros((8, 8, 3), np.uint8), 3)
    for one in (table, board):
        one.finalize("success")
    assert (tmp_path / "version_0/metrics.csv").read_text() == "loss,step\n0.5,3\n"
    assert next((tmp_path / "version_0").glob("events*")).stat().st_size > 100
