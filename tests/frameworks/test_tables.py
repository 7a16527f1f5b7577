"""Runs that are over as tables of pandas, polars and pyarrow, as the package's page says."""

import pathlib
import subprocess
import sys

from harness import PACKAGE, ROOT, clean_environment, draw

TABLES = pathlib.Path(sys.prefix) / "tables"  # as `make frameworks` installs them
PAGE = ROOT / "client" / "python" / "README.md"


def test_the_pages_lines_read_a_sweep(daemon, new_run):
    for seed in range(2):
        run = new_run(f"r{seed}", project="mod97", name=f"wd1-seed{seed}",
                      config={"lr": 1e-3 * (1 + seed), "opt": "adam"})
        for step in (0, 450, 900):
            run.observe(*draw(64, 8, 3, seed=step), step=step)
            run.log({"loss": 1.0, "test_acc": step / 1000 - seed}, step=step)
            run.checkpoint(step=step, wait=True, timeout=30, spectrum=step == 900)
        run.finish(timeout=30)
    program = pathlib.Path(__file__).with_name("tables_program.py")
    where = {"PYTHONPATH": f"{TABLES}:{PACKAGE}", "RICHD_RUNTIME_DIR": str(daemon.runtime)}
    ended = subprocess.run([sys.executable, program, PAGE], timeout=60,
                           env=clean_environment(**where), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
