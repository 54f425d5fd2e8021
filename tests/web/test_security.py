import asyncio
import base64
from pathlib import Path

import bcrypt
import pytest
import structlog.testing
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.web.metrics import WebMetrics
from exporter.web.security import BasicAuth, WatchedPolicy, parse_credentials
from tests.waiting import wait_until
from tests.web.certificates import Authority
from tests.web.serving import Serve


def hash_of(password: str, prefix: str = "$2b$") -> str:
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    return prefix + hashed.removeprefix("$2b$")


def basic(user: str, password: str) -> dict[str, str]:
    """The header that a client sends."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


USERS = {"prometheus": hash_of("secret"), "ops": hash_of("geheim")}


def write_config(directory: Path, config: object) -> Path:
    path = directory / "web.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    return write_config(tmp_path, {"basic_auth_users": USERS})


class Checks:
    """Counts bcrypt's work, and how much of it was done at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        self.most_at_once = 0
        self._running = 0
        self._check = bcrypt.checkpw
        monkeypatch.setattr("bcrypt.checkpw", self)

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.hashes.append(hashed)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            return self._check(password, hashed)
        finally:
            self._running -= 1


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (basic("prometheus", "secret"), 200),
        (basic("ops", "geheim"), 200),
        ({"Authorization": basic("ops", "geheim")["Authorization"].replace("Basic", "bAsIc")}, 200),
        (basic("prometheus", "geheim"), 401),
        (basic("prometheus", ""), 401),
        (basic("nobody", "secret"), 401),
        (basic("", ""), 401),
        ({}, 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic not base64!"}, 401),
        ({"Authorization": "Basic /w=="}, 401),
        ({"Authorization": "Bearer secret"}, 401),
        ({"Authorization": "Basic " + "A" * 8000}, 401),
    ],
)
def test_admits_users_with_their_password_only(
    serve: Serve, users_file: Path, headers: dict[str, str], status: int
) -> None:
    answer = serve(web_config=users_file).ask("/metrics", headers=headers)
    assert answer.status == status
    challenge = 'Basic realm="llm-gateway-exporter", charset="UTF-8"'
    assert answer.headers.get("www-authenticate") == (challenge if status == 401 else None)


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/reload", "/static/style.css", "/nothing"])
def test_everything_asks_for_the_password(serve: Serve, users_file: Path, path: str) -> None:
    registry = CollectorRegistry()
    answer = serve(web_config=users_file, registry=registry).ask(path)
    assert (answer.status, answer.text) == (401, "401: Unauthorized")
    assert registry.get_sample_value("llm_gateway_exporter_web_requests_unauthorized_total") == 1


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_whoever_watches_over_it_needs_no_password(
    serve: Serve, users_file: Path, path: str
) -> None:
    assert serve(web_config=users_file).ask(path).status == 200


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("password", ["plain", "пароль: with a colon", "x" * 100, ""])
def test_hashes_of_all_programs_are_understood(
    serve: Serve, tmp_path: Path, prefix: str, password: str
) -> None:
    config = write_config(tmp_path, {"basic_auth_users": {"alice": hash_of(password, prefix)}})
    served = serve(web_config=config)
    assert served.ask("/", headers=basic("alice", password)).status == 200
    assert served.ask("/", headers=basic("alice", "wrong")).status == 401


def admits(auth: BasicAuth, user: str, password: str, users: dict[str, str]) -> bool:
    return asyncio.run(auth.admits(basic(user, password)["Authorization"], users))


def test_an_unknown_user_costs_as_much_as_a_known_one(checks: Checks) -> None:
    auth = BasicAuth()
    assert not admits(auth, "prometheus", "wrong", USERS)
    assert not admits(auth, "nobody", "wrong", USERS)
    costs = {hashed.split(b"$")[2] for hashed in checks.hashes}
    assert (len(checks.hashes), len(costs)) == (2, 1)


def test_metrics_can_be_opened_and_nothing_else_with_them(serve: Serve, users_file: Path) -> None:
    served = serve(web_config=users_file, open_metrics=True)
    assert served.ask("/metrics").status == 200
    assert served.ask("/metrics", method="HEAD").status == 200
    assert served.ask("/").status == 401
    assert served.ask("/metrics/").status != 200


def test_an_unknown_user_is_not_let_in_by_a_known_ones_password(checks: Checks) -> None:
    auth = BasicAuth()
    assert admits(auth, "prometheus", "secret", USERS)
    for password in ("secret", "geheim"):
        assert not admits(auth, "nobody", password, USERS)


def test_a_password_that_was_right_is_not_checked_again_and_a_wrong_one_always_is(
    checks: Checks,
) -> None:
    auth = BasicAuth()
    assert [admits(auth, "prometheus", "secret", USERS) for _ in range(3)] == [True] * 3
    assert len(checks.hashes) == 1
    assert [admits(auth, "prometheus", "wrong", USERS) for _ in range(3)] == [False] * 3
    assert len(checks.hashes) == 4
    assert admits(auth, "prometheus", "secret", USERS)
    assert len(checks.hashes) == 4


def test_a_password_that_was_changed_is_right_no_longer(checks: Checks) -> None:
    auth = BasicAuth()
    assert admits(auth, "prometheus", "secret", USERS)
    changed = {"prometheus": hash_of("new")}
    assert not admits(auth, "prometheus", "secret", changed)
    assert admits(auth, "prometheus", "new", changed)
    assert not admits(auth, "prometheus", "new", USERS)


def test_a_user_who_was_removed_is_unknown_even_if_another_has_the_same_hash() -> None:
    auth = BasicAuth()
    assert admits(auth, "ops", "geheim", {"ops": USERS["ops"], "deputy": USERS["ops"]})
    assert not admits(auth, "ops", "geheim", {"deputy": USERS["ops"]})


def test_guesses_are_checked_one_at_a_time(checks: Checks) -> None:
    async def guess() -> list[bool]:
        auth = BasicAuth()
        guesses = [basic("prometheus", str(number))["Authorization"] for number in range(20)]
        return await asyncio.gather(*(auth.admits(each, USERS) for each in guesses))

    assert asyncio.run(guess()) == [False] * 20
    assert (len(checks.hashes), checks.most_at_once) == (20, 1)


@given(
    st.text(st.characters())
    | st.binary().map(lambda data: "Basic " + base64.b64encode(data).decode())
)
def test_no_authorization_is_too_strange(authorization: str) -> None:
    parsed = parse_credentials(authorization)
    assert parsed is None or ":" not in parsed.user


@given(st.text(st.characters(exclude_characters=":", codec="utf-8")), st.binary())
def test_credentials_are_what_the_client_sent(user: str, password: bytes) -> None:
    encoded = base64.b64encode(user.encode() + b":" + password).decode()
    assert parse_credentials(f"Basic {encoded}") == (user, password)


def test_headers_are_set_on_every_answer(serve: Serve, tmp_path: Path) -> None:
    headers = {
        "Content-Security-Policy": "",
        "X-Frame-Options": "sameorigin",
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "0",
        "Strict-Transport-Security": "max-age=3600",
    }
    config = write_config(tmp_path, {"http_server_config": {"http2": False, "headers": headers}})
    served = serve(web_config=config)
    with served.raw(b"not http\r\n\r\n") as connection:
        malformed = connection.recv(10_000).decode()
    for path in ("/", "/metrics", "/nothing"):
        answer = served.ask(path)
        for name, value in headers.items():
            assert answer.headers.get(name.lower(), "") == value
            assert (f"{name}: {value}\r\n" in malformed) is (value != "")


def test_users_that_change_are_known_soon(serve: Serve, users_file: Path) -> None:
    served = serve(web_config=users_file, web_config_poll_s=0.02)
    assert served.ask("/", headers=basic("new", "one")).status == 401
    write_config(users_file.parent, {"basic_auth_users": {"new": hash_of("one")}})
    wait_until(lambda: served.ask("/", headers=basic("new", "one")).status == 200)
    assert served.ask("/", headers=basic("ops", "geheim")).status == 401


@pytest.fixture
def policy(users_file: Path) -> WatchedPolicy:
    return WatchedPolicy(users_file, WebMetrics(CollectorRegistry()))


def test_a_file_that_is_being_written_is_left_alone(
    policy: WatchedPolicy, users_file: Path
) -> None:
    users_file.write_text("basic_auth_users: {}\n")  # Half of what is to come.
    policy.refresh(users_file)
    assert policy.current.users == USERS
    write_config(users_file.parent, {"basic_auth_users": {"ops": USERS["ops"]}})
    policy.refresh(users_file)
    assert policy.current.users == USERS
    policy.refresh(users_file)
    assert policy.current.users == {"ops": USERS["ops"]}


def refresh(policy: WatchedPolicy, path: Path, times: int) -> list[str]:
    """The levels and messages of the log lines."""
    with structlog.testing.capture_logs() as lines:
        for _ in range(times):
            policy.refresh(path)
    return [f"{line['log_level']}: {line['event']}" for line in lines]


FAULT = "error: the web configuration is at fault, the last good one stays"
DONE = "info: the web configuration was read again"


def test_a_file_at_fault_is_reported_once_and_the_last_good_one_stays(
    policy: WatchedPolicy, users_file: Path
) -> None:
    users_file.write_text("basic_auth_user: {}\n")
    assert refresh(policy, users_file, 5) == [FAULT]
    assert policy.current.users == USERS
    users_file.unlink()
    assert refresh(policy, users_file, 5) == [FAULT]
    write_config(users_file.parent, {"basic_auth_users": {"ops": USERS["ops"]}})
    assert refresh(policy, users_file, 5) == [DONE]
    assert policy.current.users == {"ops": USERS["ops"]}


def test_a_certificate_that_comes_after_the_file_that_names_it_is_found(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.write_server()
    tls = {"cert_file": "server.pem", "key_file": "server.key"}
    path = write_config(tmp_path, {"tls_server_config": tls})
    policy = WatchedPolicy(path, WebMetrics(CollectorRegistry()))
    before = policy.current.tls
    write_config(tmp_path, {"tls_server_config": {**tls, "cert_file": "renewed.pem"}})
    assert refresh(policy, path, 3) == [FAULT]
    (tmp_path / "renewed.pem").write_bytes((tmp_path / "server.pem").read_bytes())
    assert DONE in refresh(policy, path, 3)
    assert policy.current.tls not in (before, None)


def test_tls_cannot_be_switched_off_by_a_change_of_the_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.write_server()
    tls = {"cert_file": "server.pem", "key_file": "server.key"}
    path = write_config(tmp_path, {"tls_server_config": tls})
    policy = WatchedPolicy(path, WebMetrics(CollectorRegistry()))
    write_config(tmp_path, {"basic_auth_users": USERS})
    assert refresh(policy, path, 3) == [FAULT]
    assert policy.current.tls is not None
