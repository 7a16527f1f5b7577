"""Programs that run as the ranks of one training, on the CPU."""

import subprocess
import sys

from harness import clean_environment, free_port

WORLD = 2


def run_ranks(daemon, program, *arguments):
    """Run it WORLD times, with what torchrun tells the ranks, until all have ended well."""
    port = str(free_port())
    started = [
        subprocess.Popen(
            [sys.executable, program, *arguments], text=True, stderr=subprocess.PIPE,
            env=clean_environment(
                RICHD_RUNTIME_DIR=str(daemon.runtime), RANK=str(rank), LOCAL_RANK=str(rank),
                WORLD_SIZE=str(WORLD), MASTER_ADDR="127.0.0.1", MASTER_PORT=port))
        for rank in range(WORLD)]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
