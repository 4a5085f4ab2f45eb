"""Reads what write_events writes with TensorBoard's own reader. Exits 77 (skipped) where TensorBoard is missing."""
import math
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("TensorBoard is not installed for", sys.executable, "(set WEFT_PYTHON to one that has it)")
    sys.exit(77)

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    events = EventAccumulator(folder)
    events.Reload()
    assert events.file_version == 2.0, events.file_version
    assert sorted(events.Tags()["scalars"]) == ["train/accuracy", "train/loss"], events.Tags()
    loss = [(e.step, round(e.value, 5)) for e in events.Scalars("train/loss")]
    # Steps 4 and 5 of the first job are forgotten: the second one resumed after step 3.
    assert loss == [(1, 1.0), (2, 0.5), (3, 0.33333), (4, 10.25), (5, 10.2), (6, 10.16667)], loss
    accuracy = [e.value for e in events.Scalars("train/accuracy")]
    assert math.isnan(accuracy[1]) and accuracy[0] == 0.5, accuracy
    assert abs(events.Scalars("train/loss")[0].wall_time - __import__("time").time()) < 100
print("TensorBoard reads 6 steps of 2 scalars from 2 files")
