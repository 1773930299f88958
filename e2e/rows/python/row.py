"""What every row has: it says "ok N" again and again, or once why not."""
import os
import sys
import time
import traceback

rounds = 0


def ok():
    """The state was as it has to be."""
    global rounds
    rounds += 1
    os.write(1, b"ok %d\n" % rounds)


def rest():
    time.sleep(0.05)


def run(row):
    try:
        row()
        raise AssertionError("it came to an end")
    except BaseException:
        said = " | ".join(traceback.format_exc().splitlines()[-3:])
        os.write(1, f"BROKEN: after {rounds} rounds: {said}\n".encode())
        os._exit(1)


def main(rows):
    run(rows[sys.argv[1]])
