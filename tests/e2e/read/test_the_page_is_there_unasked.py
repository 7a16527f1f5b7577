"""Without --http there is a page on loopback, for those who have its token alone."""

import json
import signal
import urllib.parse

import pytest

from harness import RpcError, wait_until
from httpclient import WebSocket, port_of, request

BEARER = "authorization"


def token_of(daemon):
    page = urllib.parse.urlsplit(daemon.endpoints["page"])
    return urllib.parse.parse_qs(page.fragment)["token"][0]


def status_of(daemon, token=None):
    headers = {BEARER: f"Bearer {token}"} if token else {}
    return request(daemon, "/api/v1/status", **headers).status


@pytest.fixture
def unasked(new_daemon):
    return new_daemon(RICHD_HTTP="").start()


def test_the_page_is_there_and_the_history_asks_for_its_token(unasked):
    assert unasked.endpoints["page"].startswith(unasked.endpoints["http"] + "/#token=")
    assert request(unasked, "/").status == 200
    assert status_of(unasked) == status_of(unasked, "0123456789abcdef0123456789abcdef") == 401
    assert status_of(unasked, token_of(unasked)) == 200
    assert (unasked.runtime / "endpoints.json").stat().st_mode & 0o777 == 0o600
    assert token_of(unasked) not in unasked.output


def test_status_says_where_the_page_is(unasked):
    assert unasked.rpc("server.status")["page"] == unasked.endpoints["page"]
    assert unasked.endpoints["page"] in unasked.richctl("status")


def hello(daemon, token):
    ws = WebSocket(daemon, sec_websocket_protocol="richd.token")
    ws.ask("server.hello", token=token)
    return ws


def test_the_owner_edits_runs_and_who_may_read_does_not(unasked):
    with unasked.trainer("mine-1", name="mine") as trainer:
        trainer.finish()
    with hello(unasked, token_of(unasked)) as ws:
        run = ws.ask("run.edit", run="mine", name="baseline", note="figure 3", tags=["paper"])
        assert (run["name"], run["note"], run["tags"]) == ("baseline", "figure 3", ["paper"])
        assert ws.ask("server.status")["page"] == unasked.endpoints["page"]
    bearer = {BEARER: f"Bearer {token_of(unasked)}"}
    reading = request(unasked, "/api/v1/status", **bearer).json["page"]
    assert reading.startswith(unasked.endpoints["http"] + "/#token=")
    assert reading != unasked.endpoints["page"]
    with hello(unasked, reading.partition("#token=")[2]) as ws:
        assert ws.ask("run.get", run="baseline")["note"] == "figure 3"
        assert ws.ask("server.status")["page"] == reading
        with pytest.raises(RpcError) as told:
            ws.ask("run.edit", run="baseline", note="")
        assert told.value.code == -32003
    assert unasked.rpc("run.get", run="default/baseline")["note"] == "figure 3"


def test_open_prints_the_link_of_the_page_or_of_a_run(unasked, new_daemon):
    with unasked.trainer("mine-1", name="mine") as trainer:
        page = unasked.endpoints["page"]
        assert unasked.richctl("open") == page + "\n"
        assert unasked.richctl("open", "mine") == page + "&runs=mine-1\n"
        assert unasked.richctl_json("open", "mine") == [{"page": page + "&runs=mine-1"}]
        unasked.richctl("open", "other", expect=1)
        trainer.finish()
    new_daemon().start().richctl("open", expect=1)


def test_a_second_daemon_takes_another_port(unasked, new_daemon):
    other = new_daemon(RICHD_HTTP="on").start()
    assert port_of(other) != port_of(unasked)
    assert token_of(other) != token_of(unasked)
    assert status_of(other, token_of(unasked)) == 401


def test_the_token_outlives_the_daemon_and_a_sighup(unasked):
    token = token_of(unasked)
    unasked.signal(signal.SIGHUP)
    wait_until(lambda: "reading the options again" in unasked.output, "SIGHUP")
    assert (status_of(unasked), status_of(unasked, token)) == (401, 200)
    unasked.restart()
    assert token_of(unasked) == token


def test_a_file_of_tokens_takes_the_place_of_the_own_one(new_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("read 0123456789abcdef-mine\n")
    tokens.chmod(0o600)
    daemon = new_daemon("--token-file", tokens, RICHD_HTTP="").start()
    assert daemon.endpoints["page"] == daemon.endpoints["http"] + "/"
    assert (status_of(daemon), status_of(daemon, "0123456789abcdef-mine")) == (401, 200)
    assert not (daemon.state / "page.token").exists()


def test_one_that_was_asked_for_is_read_by_all_and_written_by_its_owner(new_daemon):
    daemon = new_daemon("--http", "0").start()
    assert daemon.endpoints["page"].startswith(daemon.endpoints["http"] + "/#token=")
    assert status_of(daemon) == status_of(daemon, "0123456789abcdef-nobodys") == 200
    assert request(daemon, "/api/v1/status").json["page"] == daemon.endpoints["http"] + "/"
    with daemon.trainer("mine-1", name="mine") as trainer:
        trainer.finish()
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "reading the options again" in daemon.output, "SIGHUP")
    with hello(daemon, token_of(daemon)) as ws:
        assert ws.ask("run.edit", run="mine", note="figure 3")["note"] == "figure 3"
    with WebSocket(daemon) as ws, pytest.raises(RpcError) as told:
        ws.ask("run.edit", run="mine", note="")
    assert told.value.code == -32003


def test_one_that_was_asked_for_is_there_without_a_token_to_write(new_daemon):
    daemon = new_daemon("--http", "0")
    (daemon.state / "page.token").mkdir(parents=True)
    daemon.start()
    assert daemon.endpoints["page"] == daemon.endpoints["http"] + "/"
    assert "nobody may write over HTTP: " in daemon.output
    assert status_of(daemon) == 200


def test_off_is_off(new_daemon):
    daemon = new_daemon("--http", "off").start()
    assert not {"http", "page"} & set(daemon.endpoints)
    assert daemon.rpc("server.status")["page"] is None


def test_what_keeps_the_page_away_ends_no_start(new_daemon):
    daemon = new_daemon(RICHD_HTTP="on")
    (daemon.state / "page.token").mkdir(parents=True)  # so that no token can be kept
    daemon.start()
    assert "there is no page: " in daemon.output
    assert json.loads((daemon.runtime / "endpoints.json").read_text()).keys() == {"ingest", "feed"}
