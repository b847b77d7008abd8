"""A PostgreSQL server of a test's own, on this computer only.

It refuses to run as root, so root runs it as another user.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
from pathlib import Path
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Final

from demo.home_assistant import HOST, free_port
from demo.process import end_with_parent

PROGRAMS: Final = ("initdb", "postgres", "psql")
USER: Final = "home_assistant"
DATABASE: Final = "recorder"

READY_WITHIN: Final = 30.0
STOPPED_WITHIN: Final = 15.0
LOOK_AGAIN: Final = 0.05

HURRIED: Final = ("-c", "fsync=off", "-c", "shared_buffers=16MB")
"""What would keep data over a power cut, which takes time, is not needed."""

_UNPRIVILEGED: Final = ("postgres", "nobody")
"""Users that root runs it as: the first that there is."""


class PostgresqlError(Exception):
    """The server does not do what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgresql:
    """A server that runs, with one database."""

    programs: Path
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """How the recorder is told the database."""
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{DATABASE}"

    def query(self, sql: str, database: str = DATABASE) -> list[list[str]]:
        """Return rows of texts. Raises ``PostgresqlError`` if it is refused."""
        done = subprocess.run(
            [
                *(self.programs / "psql", "--no-psqlrc", "--no-password", "--quiet"),
                *("--no-align", "--tuples-only", "--field-separator", "\t"),
                *("--set", "ON_ERROR_STOP=1", "--command", sql, "--dbname", database),
                *("--host", HOST, "--port", str(self.port), "--username", USER),
            ],
            env=_environment(PGPASSWORD=self.password),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PostgresqlError(done.stderr.strip())
        return [line.split("\t") for line in done.stdout.splitlines()]


def find_programs() -> Path | None:
    """Return the folder with the programs of a server, the newest, ``None`` if there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    # Debian does not put them on the PATH.
    folders += sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"),
        key=lambda folder: [int(part) for part in folder.parent.name.split(".")],
        reverse=True,
    )
    if config := shutil.which("pg_config"):
        told = subprocess.run(
            [config, "--bindir"], capture_output=True, text=True, check=False
        )
        folders.append(Path(told.stdout.strip()))
    return next(
        (
            folder
            for folder in folders
            if all((folder / name).is_file() for name in PROGRAMS)
        ),
        None,
    )


@contextmanager
def running_postgresql(programs: Path) -> Iterator[Postgresql]:
    """Run a new server, and leave nothing of it. Raises ``PostgresqlError``."""
    who = _who_runs_it()
    # Not in pytest's folders: no other user may enter them.
    with tempfile.TemporaryDirectory(prefix="local_solar_postgresql_") as name:
        folder = Path(name)
        password = secrets.token_hex(8)
        (folder / "password").write_text(password, encoding="ascii")
        if who is not None:
            for path in (folder, folder / "password"):
                os.chown(path, who.pw_uid, who.pw_gid)
        _make(programs, folder, who)
        server = Postgresql(programs=programs, port=free_port(), password=password)
        with _started(server, folder, who):
            server.query(f"CREATE DATABASE {DATABASE}", database="postgres")
            yield server


def _who_runs_it() -> pwd.struct_passwd | None:
    """Return the user that root runs it as, ``None`` for who is not root."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresqlError(
        f"root has no user to run it as: {' or '.join(_UNPRIVILEGED)}"
    )


def _environment(**more: str) -> Mapping[str, str]:
    """Return the environment without what is meant for other servers."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    return own | {"LC_ALL": "C"} | more


def _start(
    command: list[str | Path], folder: Path, who: pwd.struct_passwd | None, log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=who.pw_uid if who else None,
            group=who.pw_gid if who else None,
            extra_groups=[] if who else None,
            # Nothing else of this process runs before it has become the other program.
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )


def _make(programs: Path, folder: Path, who: pwd.struct_passwd | None) -> None:
    """Make the files of a server."""
    log = folder / "initdb.log"
    command: list[str | Path] = [
        *(programs / "initdb", "--pgdata", folder / "data", "--no-sync"),
        *("--username", USER, "--pwfile", folder / "password"),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"),
    ]
    with _start(command, folder, who, log) as process:
        try:
            code = process.wait(READY_WITHIN)
        except BaseException:
            process.kill()
            raise
    if code:
        raise PostgresqlError(f"initdb has failed: {_last_words(log)}")


@contextmanager
def _started(
    server: Postgresql, folder: Path, who: pwd.struct_passwd | None
) -> Iterator[None]:
    """Run a server and wait until it answers."""
    log = folder / "postgres.log"
    command: list[str | Path] = [
        *(server.programs / "postgres", "-D", folder / "data", *HURRIED),
        *("-p", str(server.port), "-c", f"listen_addresses={HOST}"),
        *("-c", "unix_socket_directories="),
    ]
    with _start(command, folder, who, log) as process:
        try:
            _wait_until_ready(server, process, log)
            yield
        finally:
            # Clients that are left are not waited for.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                # At once, without tidying up.
                process.send_signal(signal.SIGQUIT)
                process.wait(STOPPED_WITHIN)


def _wait_until_ready(
    server: Postgresql, process: subprocess.Popen[bytes], log: Path
) -> None:
    end = time.monotonic() + READY_WITHIN
    while True:
        try:
            server.query("SELECT 1", database="postgres")
        except PostgresqlError as err:
            if process.poll() is not None:
                raise PostgresqlError(
                    f"the server has stopped: {_last_words(log)}"
                ) from None
            if time.monotonic() > end:
                raise PostgresqlError(f"the server does not answer: {err}") from None
            time.sleep(LOOK_AGAIN)
        else:
            return


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " | ".join(lines[-5:])
