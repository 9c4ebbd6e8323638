"""A converter sees its own files and nothing else; where the system cannot see to that, the log says so."""

from __future__ import annotations

import ast
import ctypes
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.families.media import confined
from celeriac.families.media.confined import Limits
from tests.support import media as support

LIMITS = Limits(memory_bytes=4 << 30, cpu_s=60, file_bytes=1 << 30, seconds=60)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have nothing of the kind")


async def python(code: str, folder: Path) -> str:
    output, _ = await confined.run([sys.executable, "-I", "-c", code], LIMITS, folder)
    return output.strip()


def has_landlock() -> bool:
    return sys.platform == "linux" and ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


async def test_a_converter_knows_nothing_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_API_KEYS", "name:secret")
    told = await python("import os; print(sorted(os.environ), os.getcwd(), len(os.listdir('/proc/self/fd')))", tmp_path)
    variables, folder, files = told.rsplit(" ", 2)
    assert "CELERIAC_API_KEYS" not in variables and "HOME" in variables
    assert (folder, int(files)) == (str(tmp_path), 4)  # standard input and outputs, and the listing itself


@LINUX
async def test_a_converter_has_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = await python(
            f"import socket\ntry: socket.create_connection(('127.0.0.1', {port})); print('reached')\n"
            "except OSError as error: print(error)",
            tmp_path,
        )
    assert told != "reached"


@LINUX
async def test_a_converter_has_no_rights_of_root_but_to_files(tmp_path: Path) -> None:
    told = await python(
        "print(*(line for line in open('/proc/self/status') if line[:6] in ('CapEff', 'NoNewP')))", tmp_path
    )
    rights = dict(line.strip().split(":\t") for line in told.split("\n") if line.strip())
    effective, gains = (rights[name].strip() for name in rights)
    assert int(effective, 16) & ~0b110 == 0 and gains == "1"


#: Runs a converter in a process that hands rights down, as root does in some containers.
WITH_RIGHTS_TO_INHERIT = """
import asyncio, ctypes, struct, sys
from pathlib import Path
from celeriac.families.media import confined

libc = ctypes.CDLL(None)
header, sets = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0)), ctypes.create_string_buffer(24)
assert libc.capget(header, sets) == 0
effective, permitted, _, *others = struct.unpack("6I", sets.raw)
assert libc.capset(header, struct.pack("6I", effective, permitted, permitted, *others)) == 0
limits = confined.Limits(memory_bytes=4 << 30, cpu_s=60, file_bytes=99, seconds=60)
rights = "print(*(line for line in open('/proc/self/status') if line.startswith('CapEff')))"
print(asyncio.run(confined.run([sys.executable, "-I", "-c", rights], limits, Path(sys.argv[1])))[0])
"""


@LINUX
def test_a_converter_inherits_no_rights_of_root(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITH_RIGHTS_TO_INHERIT, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert int(ran.stdout.split()[1], 16) & ~0b110 == 0


#: Becomes a program where rights that are handed down cannot be taken away.
WITHOUT_CAPSET = """
import os, runpy, sys
script = runpy.run_path(sys.argv[1])
script["_confine"].__globals__["_inherits_none"] = lambda _: False
script["main"](os.getppid(), 4 << 30, 60, 99, 0, "r /", "/bin/cat", "/proc/self/status")
"""


@LINUX
def test_all_else_is_taken_away_also_where_inherited_rights_are_not() -> None:
    command = [sys.executable, "-c", WITHOUT_CAPSET, str(Path(confined.__file__).with_name("outside") / "confine.py")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert "NoNewPrivs:\t1\n" in ran.stdout and "Seccomp:\t2\n" in ran.stdout
    assert ran.stderr.split() in (["UNCONFINED", "rights"], ["UNCONFINED", "files", "rights"])


def test_applications_in_the_folder_that_images_have_for_them_are_closed_to_converters() -> None:
    readable = {Path(place) for place in confined._READABLE}  # pyright: ignore[reportPrivateUsage]
    assert not readable & {Path("/usr/src/app"), *Path("/usr/src/app").parents}
    assert {path for path in Path("/usr").iterdir() if path.name != "src"} <= readable


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock: converters can read other files here")
async def test_a_converter_opens_no_files_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, project, given = tmp_path / "work", tmp_path / "project", tmp_path / "given"
    work.mkdir()
    project.mkdir()
    other = project / ".env"
    other.write_text("secret")
    monkeypatch.chdir(project)  # as a worker that was started there
    monkeypatch.syspath_prepend(str(project))
    given.write_text("content")
    code = (
        "import os, sys\n"
        "def told(*what):\n"
        "    try: return open(*what).read(7) if what[1] == 'r' else open(*what).write('x')\n"
        "    except OSError as error: return error.strerror\n"
        f"print([told('{given}', 'r'), told('made', 'w'), told('/etc/passwd', 'r'), told('/dev/null', 'w'),"
        f" told('{other}', 'r'), told('{given}', 'a'), told(f'/proc/{{os.getppid()}}/environ', 'r')])"
    )
    told, _ = await confined.run([sys.executable, "-I", "-c", code], LIMITS, work, reads=[given])
    denied = "Permission denied"
    assert ast.literal_eval(told) == ["content", 1, denied, 1, denied, denied, denied]


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock: converters can do more here")
async def test_a_converter_that_may_make_sockets_makes_and_deletes_nothing_else(tmp_path: Path) -> None:
    """LibreOffice has to make one in /tmp, where other programs have their files."""
    (tmp_path / "work").mkdir()
    (tmp_path / "other").write_text("content")
    code = (
        "import os, socket\n"
        "def told(act, *what):\n"
        "    try: act(*what); return 'done'\n"
        "    except OSError as error: return error.strerror\n"
        f"os.chdir('{tmp_path}')\n"
        "print([told(socket.socket(socket.AF_UNIX).bind, 'socket'), told(socket.socket, socket.AF_INET),"
        " told(os.unlink, 'other'), told(os.unlink, 'socket'), told(open, 'other'), told(open, 'new', 'w'),"
        " told(os.mkdir, 'folder'), told(os.rename, 'other', 'socket'), told(os.symlink, 'other', 'link')])"
    )
    told, _ = await confined.run([sys.executable, "-I", "-c", code], LIMITS, tmp_path / "work", sockets=[str(tmp_path)])
    assert ast.literal_eval(told) == ["done", *["Permission denied"] * 8]


#: Runs a converter twice that tries to make sockets, where the system refuses what the arguments say.
WHERE_REFUSED = """
import asyncio, logging, sys
from pathlib import Path
from celeriac.families.media import confined
from celeriac.families.media.errors import NotConfined
from tests.support.refusing import refuse

folder, strict, *what = sys.argv[1:]
logging.basicConfig(format="logged: %(message)s")
refuse(*what)
tries = '''
import socket
for family in (socket.AF_INET, socket.AF_UNIX):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
        print("made", family.name)
    except OSError as error:
        print("refused", family.name)
'''
limits = confined.Limits(memory_bytes=4 << 30, cpu_s=60, file_bytes=99, seconds=60, strict=bool(strict))
for _ in range(2):
    try:
        told, said = asyncio.run(confined.run([sys.executable, "-I", "-c", tries], limits, Path(folder)))
        print(told, said, sep="")
    except NotConfined as error:
        print("not started:", error)
"""


def where_refused(folder: Path, *what: str, strict: bool = False) -> tuple[str, str]:
    """What two converters say where the system refuses something, and what is logged."""
    command = [sys.executable, "-c", WHERE_REFUSED, str(folder), "1" if strict else "", *what]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return ran.stdout, ran.stderr


@LINUX
def test_what_the_system_refuses_is_logged_once_in_a_process(tmp_path: Path) -> None:
    told, logged = where_refused(tmp_path, "landlock", "unshare", "filters")
    assert told.count("made AF_INET") == 2 and "UNCONFINED" not in told
    assert logged.count("logged: converters can open all files of this user and reach the network: this system") == 1
    assert logged.count("\n") == 1


@LINUX
@pytest.mark.skipif(not has_landlock(), reason="the log would say that files are open")
def test_a_container_that_forbids_to_leave_the_network_does_not_open_it(tmp_path: Path) -> None:
    told, logged = where_refused(tmp_path, "unshare")
    assert (told.split("\n")[:2], logged) == (["refused AF_INET", "refused AF_UNIX"], "")
    told, logged = where_refused(tmp_path, "filters")  # and then it has left the network
    assert "made AF_INET" in told and logged == ""


@LINUX
@pytest.mark.parametrize(
    ("what", "can"),
    [(("landlock",), "open all files of this user"), (("unshare", "filters"), "reach the network")],
    ids=["files", "network"],
)
def test_nothing_is_converted_where_confinement_is_required_and_refused(
    tmp_path: Path, what: tuple[str, ...], can: str
) -> None:
    told, logged = where_refused(tmp_path, *what, strict=True)
    assert told.count(f"not started: no converter is started: it could {can} on this system") == 2
    assert "AF_INET" not in told and logged == ""


#: Asks what `celeriac doctor` finds where confinement is required, and rights of root cannot be taken away.
LOOKED_AT = """
import asyncio
from celeriac.families.media.checks import check_programs
from celeriac.families.media.settings import MediaSettings
from tests.support.refusing import refuse

refuse("capset")
findings = asyncio.run(check_programs(MediaSettings(media_require_confinement=True)))
print(*((finding.status.value, finding.detail) for finding in findings if finding.check == "confinement"))
"""


@LINUX
def test_the_doctor_says_that_nothing_is_converted_where_rights_cannot_be_taken_away() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOOKED_AT], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert "fail" in ran.stdout and "it could keep rights of root on this system" in ran.stdout


@pytest.mark.skipif(not has_landlock(), reason="converters cannot be confined here")
async def test_what_can_be_confined_is_converted_also_where_that_is_required(clip: Path, tmp_path: Path) -> None:
    with support.media(tmp_path, media_require_confinement=True) as media:
        (output,) = await media.convert(clip, "thumbnail")
        assert output["state"] == "made"
