"""A program for `test_launch.py`, which needs no backend: it does as its words say."""

import os
import pathlib
import signal
import subprocess
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
if "abort" in sys.argv:  # as JAX has it, when process 0 has gone
    sys.exit(2) if OWN == "0" else os.abort()
if "leave" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (OUT / f"left-{OWN}").write_text(str(child.pid))
    sys.exit()
if "hang-again" in sys.argv and "--resume" in sys.argv:
    sys.argv.append("hang")
if "hang" in sys.argv or (f"die-{OWN}" in sys.argv and "--resume" not in sys.argv):
    if "hang" not in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    (OUT / f"ready-{OWN}").touch()
    time.sleep(60)
if "die" in sys.argv:
    number = len((OUT / "starts-0").read_text().splitlines())
    if "learn" in sys.argv and number <= 3:
        (OUT / "last.keras").touch()
    if "half" in sys.argv:  # all that a run leaves that does not get on
        (OUT / ".last.partial.keras").touch()
        (OUT / "best.keras").touch()
        (OUT / f"last.keras.damaged{number}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
if "die-1" in sys.argv and OWN == "0" and "--resume" not in sys.argv:
    time.sleep(60)  # as one that waits for the other
