"""A program for `test_launch.py`, which needs no backend: it does as its words say."""

import os
import pathlib
import signal
import sys
import time

OUT = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
OWN = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0")
NAMES = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
SHOWN = [os.environ.get(f"KERAS_DISTRIBUTION_{name}", "") for name in NAMES]


def stop(number, frame):
    (OUT / f"stopped-{OWN}").touch()
    if "stubborn" not in sys.argv:
        sys.exit(0)


OUT.mkdir(parents=True, exist_ok=True)
signal.signal(signal.SIGTERM, stop)
with (OUT / f"starts-{OWN}").open("a") as file:
    file.write(" ".join([*SHOWN, *sys.argv[1:]]) + "\n")
print(f"a line of {OWN}")
if "fail" in sys.argv:
    sys.exit("cannot")
if "refuse" in sys.argv:
    sys.exit(2)
(OUT / "run.json").touch()
if "hang" in sys.argv or (f"die-{OWN}" in sys.argv and "--resume" not in sys.argv):
    if "hang" not in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    (OUT / f"ready-{OWN}").touch()
    time.sleep(60)
if "die" in sys.argv:
    if "learn" in sys.argv and len(list(OUT.glob("*.keras"))) < 3:
        (OUT / f"{time.time_ns()}.keras").touch()
    os.kill(os.getpid(), signal.SIGKILL)
if "die-1" in sys.argv and OWN == "0" and "--resume" not in sys.argv:
    time.sleep(60)  # as one that waits for the other
