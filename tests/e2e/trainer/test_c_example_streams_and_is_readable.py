import re
import subprocess

from harness import BUILD, PATIENCE_S, SANITIZER_REPORTS, clean_environment


def test_c_example_streams_and_is_readable(daemon):
    done = subprocess.run([BUILD / "example", "--runtime-dir", daemon.runtime, "--steps", "300",
                           "--run", "clusters-1"], env=clean_environment(), text=True,
                          capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert not any(report in done.stderr for report in SANITIZER_REPORTS), done.stderr
    assert done.stdout.startswith("run clusters-1\n")
    printed = re.findall(r"step +(\d+) .* n +(\d+) .*d_lr ([0-9.]+)", done.stdout)
    columns = daemon.series("example/clusters")
    assert [int(step) for step, _, _ in printed] == columns["step"]
    assert columns["step"] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert [int(n) for _, n, _ in printed] == columns["n"]
    assert columns["n"] == [64, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 2816]
    assert [d_lr for _, _, d_lr in printed] == [f"{value:.4f}" for value in columns["d_lr"]]
    assert daemon.state_of("clusters-1") == "finished"
    assert daemon.rpc("run.get", run="clusters-1")["scalars"] == ["loss"]


def test_the_c_client_without_a_daemon_says_so_and_ends(tmp_path):
    done = subprocess.run([BUILD / "example", "--runtime-dir", tmp_path, "--steps", "1"],
                          env=clean_environment(), text=True, capture_output=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode in (0, 1)
    assert "no point at step" in done.stdout or "example:" in done.stderr
