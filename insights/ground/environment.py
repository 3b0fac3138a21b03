"""What comes from outside the settings file: the environment and the credentials.

This is the only module that reads `os.environ`. A credential is the file of that name in
`$CREDENTIALS_DIRECTORY`, as systemd's LoadCredential= provides it, or the environment variable
`INSIGHTS_CREDENTIAL_<NAME>`.
"""

import contextlib
import hashlib
import os
import pwd
import re
import secrets
import socket
from pathlib import Path

from insights import errors
from insights.ground import connections, folders

# What drivers, CUDA, the maths libraries and Python need to know. Everything else stays here: a
# child gets its own secrets in its first message, and those of others never.
_FOR_CHILDREN = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TZDIR|TMPDIR|XDG_CACHE_HOME"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|FAKETIME\w*|MALLOC_\w+|INSIGHTS_FAILPOINT"
    r"|PYTHON(PATH|HASHSEED|UNBUFFERED|DONTWRITEBYTECODE|FAULTHANDLER)"
    r"|ODBC(INI|SYSINI|INSTINI)|FREETDS(CONF)?|TDSVER|TNS_ADMIN|ORACLE_HOME|NLS_LANG"
    r"|DB2INSTANCE|DB2CLIINIPATH|INFORMIXDIR|KRB5_CONFIG|KRB5CCNAME|KRB5_CLIENT_KTNAME"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|OPENSSL_CONF"
    r"|(CUDA|NVIDIA|HIP|ROCR|HSA|ONEAPI|SYCL|ZE|GGML|OMP|GOMP|KMP|MKL|OPENBLAS)_\w+"
    r"|HF_HOME|(HF_HUB|TRANSFORMERS)_OFFLINE|HF_HUB_DISABLE_TELEMETRY|DO_NOT_TRACK"
    r"|TOKENIZERS_PARALLELISM"
)

DEFAULT_CONFIG = Path("/etc/insights/insights.toml")


def config_path(given: Path | None) -> Path:
    """Return the settings file: the one given, `$INSIGHTS_CONFIG`, or /etc/insights."""
    if given is not None:
        return given
    named = os.environ.get("INSIGHTS_CONFIG")
    return Path(named) if named else DEFAULT_CONFIG


def reveal(text: str, where: str, put: connections.Put = "plain") -> str:
    """Return `text` with each `${name}` replaced by that credential, encoded for where it is put.

    Raises:
        errors.SettingsError: If a credential is not there.
    """

    def secret(name: str) -> str:
        found = credential(name)
        if found is None:
            raise errors.SettingsError(
                f"the credential {name!r} is not there",
                where=where,
                fix=f"LoadCredential={name}:FILE in the unit, "
                f"or set INSIGHTS_CREDENTIAL_{name.upper()}",
            )
        return found

    return connections.filled(text, secret, put)


def credential(name: str) -> str | None:
    """Return a secret from $CREDENTIALS_DIRECTORY or the environment, or None."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (file := Path(folder) / name).is_file():
        return file.read_text(encoding="utf-8").rstrip("\n")
    return os.environ.get(f"INSIGHTS_CREDENTIAL_{name.upper()}")


def credentials(state_dir: Path) -> frozenset[str]:
    """Return every secret that this process can read, as they are: for whoever keeps them out."""
    found = {os.environ[name] for name in credential_variables()}
    for file in secret_files(state_dir):
        with contextlib.suppress(OSError):  # it is not there, or another's
            found.add(file.read_text(encoding="utf-8", errors="replace"))
    return frozenset(filter(None, map(str.strip, found)))


def secret_files(state_dir: Path) -> list[Path]:
    """Return where this process has secrets from, whether they are there or not."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    given = sorted(Path(folder).iterdir()) if folder and Path(folder).is_dir() else []
    return given + [state_dir / name for name in ("hash_key", "hash_key_former", "seal_key")]


def credential_variables() -> list[str]:
    """Return the environment variables that hold credentials."""
    return sorted(name for name in os.environ if name.startswith("INSIGHTS_CREDENTIAL_"))


def hash_key(state_dir: Path, *, embedded: bool) -> bytes:
    """Return the key of the input hash, 32 bytes derived from the credential `hash_key`.

    With an embedded store it is a file of mode 0600 in the state directory, made at first need.

    Raises:
        errors.SettingsError: If an external store is used without the credential.
    """
    secret = credential("hash_key")
    if secret is None:
        if not embedded:
            raise errors.SettingsError(
                "the credential hash_key is not there: without it, short texts could be guessed",
                where="hash_key",
                fix="`openssl rand -hex 32` into a file, and LoadCredential=hash_key:FILE",
            )
        secret = _kept(state_dir / "hash_key", 32)
    return _derived(secret)


def hash_key_former(state_dir: Path) -> bytes | None:
    """Return the key before a rotation, from the credential or the file `hash_key_former`."""
    secret, file = credential("hash_key_former"), state_dir / "hash_key_former"
    if secret is None and file.is_file():
        secret = file.read_text()
    return None if secret is None else _derived(secret)


def seal_key() -> bytes:
    """Return the key that seals what a sink restores, 32 bytes of the credential `seal_key`.

    Raises:
        errors.SettingsError: If there is none.
    """
    secret = credential("seal_key")
    if secret is None:
        raise errors.SettingsError(
            "a sink restores placeholders, and the credential seal_key is not there",
            where="seal_key",
            fix="`openssl rand -hex 32` into a file, and LoadCredential=seal_key:FILE",
        )
    return _derived(secret, b"insights seal")


def host_name() -> str:
    """Return what this machine is called."""
    return socket.gethostname()


def machine_id(state_dir: Path) -> str:
    """Return a random word that names this state directory for ever, made at first need."""
    return _kept(state_dir / "daemon_id", 4)


def _kept(file: Path, random_bytes: int) -> str:
    """Return the random text in a file of mode 0600, made at first need."""
    if not file.exists():
        if not file.parent.exists():
            folders.private_folder(file.parent)
        partial = file.with_name(f"{file.name}.{os.getpid()}.new")
        partial.touch(mode=0o600)
        partial.write_text(secrets.token_hex(random_bytes))
        with contextlib.suppress(FileExistsError):  # another process was first: its text is the one
            file.hardlink_to(partial)
        partial.unlink()
    return file.read_text().strip()


def _derived(secret: str, person: bytes = b"insights hash") -> bytes:
    return hashlib.blake2b(secret.strip().encode(), digest_size=32, person=person).digest()


def user() -> str:
    """Return whom the system takes for who runs this; the number of a user without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def notify_socket() -> str | None:
    """Return systemd's notification socket, if we run under it."""
    return os.environ.get("NOTIFY_SOCKET")


def watchdog_s() -> float | None:
    """Return the interval within which systemd wants to hear from us, in seconds."""
    micros = os.environ.get("WATCHDOG_USEC")
    return int(micros) / 1e6 if micros else None


def failpoint() -> str | None:
    """Return the failpoint at which this process shall kill itself; for fault tests only."""
    return os.environ.get("INSIGHTS_FAILPOINT")


def library_folders() -> list[str]:
    """Return where the loader of libraries looks besides the system's folders."""
    return [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path]


def forget_programs() -> None:
    """Leave this process no folder of programs: one that may start none finds none.

    Libraries that look for another library ask a compiler that they find, with a file of their own
    (`ctypes.util.find_library`); where there is none they go by the library's name.
    """
    os.environ["PATH"] = ""


def for_children() -> dict[str, str]:
    """Return the environment of a child process: an allow-list, so that it holds no secret."""
    found = {name: value for name, value in os.environ.items() if _FOR_CHILDREN.fullmatch(name)}
    if paths := found.pop("PYTHONPATH", ""):  # a child has another working directory
        found["PYTHONPATH"] = os.pathsep.join(
            str(Path(path).absolute()) for path in paths.split(os.pathsep) if path
        )
    return found
