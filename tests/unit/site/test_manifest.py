"""The manifest is read as a spreadsheet writes it, and refused with file, line and column."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core.errors import Code, Exit, UcmError
from ucm_provision.core.model import MqttProtocol, ProofOfPossession
from ucm_provision.core.plan import ExpectedKind, ExpectedModule
from ucm_provision.core.secret import Secret
from ucm_provision.site.manifest import COLUMNS, load, parse, render

EXAMPLE = Path(__file__).parents[3] / "config" / "manifest.example.csv"
FIRST = "C8795CBA5375484E829105E959663C8B"
SECOND = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
CANARY = "canary-5f1c"
HEADER = "hardware_id,name,protocol,pop"  # as the first manifests had it; they stay good


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.csv"


def loaded(path: Path, text: str | bytes) -> dict[str, ExpectedModule]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


def refusal(path: Path, text: str | bytes) -> str:
    """What is said of the text, after the file's name."""
    with pytest.raises(UcmError) as refused:
        loaded(path, text)
    error = refused.value
    assert (error.code, error.failure.exit_status) == (Code.MANIFEST_INVALID, Exit.CONFIG)
    assert error.detail.startswith(str(path))
    assert CANARY not in str(error)
    return error.detail.removeprefix(str(path))


def test_the_example_loads() -> None:
    modules = load(EXAMPLE)
    assert [(module.kind, module.name, module.protocol) for module in modules.values()] == [
        (ExpectedKind.UCM, "Boiler room 1", MqttProtocol.MQTTS),
        (None, "Boiler room 2", MqttProtocol.MQTT),
        (None, "", None),
        (ExpectedKind.ELECTROLYSER, "Electrolyser 1", None),
        (ExpectedKind.LINK_MASTER, "LINK 1", None),
        (ExpectedKind.LINK_SLAVE, "Outputs", None),
    ]
    master, slave = list(modules.values())[-2:]
    assert slave.master == master.hardware_id
    assert list(modules.values())[1].pop == ProofOfPossession(Secret("moss-heron-17"), "fitter")
    assert modules[FIRST].pop == ProofOfPossession(Secret("kelp-otter-92"))


ONE_LINE = f"{HEADER}\n{FIRST.lower()}, Boiler room ,mqtt, {CANARY} \n"
ONE = {FIRST: ExpectedModule(FIRST, "Boiler room", MqttProtocol.MQTT, ProofOfPossession(Secret(CANARY)))}


@pytest.mark.parametrize(
    "text",
    [
        ONE_LINE.encode(),
        codecs.BOM_UTF8 + ONE_LINE.encode(),
        ONE_LINE.replace("\n", "\r\n").encode(),
        ONE_LINE.rstrip("\n").encode(),
        ONE_LINE.replace("\n", "\n\n").encode(),
    ],
    ids=["plain", "byte order mark", "CRLF", "no newline at the end", "blank lines"],
)
def test_it_is_read_as_spreadsheets_write_it(path: Path, text: bytes) -> None:
    assert loaded(path, text) == ONE


def test_a_quoted_name_may_hold_commas_and_quotes(path: Path) -> None:
    modules = loaded(path, f'{HEADER}\n{FIRST},"Boiler ""A"", left",,\n')
    assert modules[FIRST].name == 'Boiler "A", left'


def test_only_the_hardware_id_must_be_there_and_columns_stand_in_any_order(path: Path) -> None:
    assert loaded(path, f"hardware_id\n{FIRST}\n") == {FIRST: ExpectedModule(FIRST)}
    assert loaded(path, f"name,hardware_id\nBoiler,{FIRST}\n") == {FIRST: ExpectedModule(FIRST, "Boiler")}
    assert loaded(path, f"{HEADER}\n{FIRST}\n") == {FIRST: ExpectedModule(FIRST)}
    assert loaded(path, HEADER) == {}


BAD_COLUMNS = (
    ", line 1: expected the columns hardware_id, kind, name, slug, protocol, pop, master, blueprint, each at most once"
)
REFUSALS = {
    "empty": ("", BAD_COLUMNS),
    "no hardware id": ("name,pop\nBoiler,x\n", BAD_COLUMNS),
    "unknown column": (f"{HEADER},colour\n", BAD_COLUMNS),
    "column without a name": (f"{HEADER},\n", BAD_COLUMNS),
    "column twice": ("hardware_id,name,name\n", BAD_COLUMNS),
    "semicolons": (HEADER.replace(",", ";"), BAD_COLUMNS),
    "too many fields": (
        f"{HEADER}\n{FIRST},Boiler, left,MQTT,{CANARY}\n",
        ", line 2: more fields than columns; quote a name with a comma",
    ),
    "bad hardware id": (
        f"{HEADER}\n{FIRST},,,\nC879-5CBA,,,{CANARY}\n",
        ", line 3, hardware_id: a hardware id has 32 or 33 characters, digits and letters only",
    ),
    "no id in the line": (
        f"{HEADER}\n,Boiler,,\n",
        ", line 2, hardware_id: a hardware id has 32 or 33 characters, digits and letters only",
    ),
    "bad protocol": (f"{HEADER}\n{FIRST},,HTTP,{CANARY}\n", ", line 2, protocol: expected MQTT, MQTTS or nothing"),
    "listed twice": (f"{HEADER}\n{FIRST},,,\n{SECOND},,,\n{FIRST.lower()},,,\n", ", line 4, hardware_id: listed twice"),
    "long name": (
        f"{HEADER}\n{FIRST},{'n' * 129},,\n",
        ", line 2, name: expected at most 128 printable characters",
    ),
    "name over two lines": (
        f'{HEADER}\n{FIRST},"Boiler\nroom",,\n',
        ", line 3, name: expected at most 128 printable characters",
    ),
    "escape sequence in a name": (
        f"{HEADER}\n{FIRST},\x1b[31mred,,\n",
        ", line 2, name: expected at most 128 printable characters",
    ),
    "open quote": (f'{HEADER}\n{FIRST},"Boiler,,\n', ", line 2: unexpected end of data"),
    "text after a quote": (f'{HEADER}\n{FIRST},"Boiler"room,,\n', """, line 2: ',' expected after '"'"""),
}


FULL = ",".join(COLUMNS)
REFUSALS |= {
    "unknown kind": (
        f"{FULL}\n{FIRST},toaster,,,,,,\n",
        ", line 2, kind: expected ucm, electrolyser, dryer, water_tank, link_master, link_slave or nothing",
    ),
    "bad slug": (
        f"{FULL}\n{FIRST},,,boiler room,,,,\n",
        ", line 2, slug: expected at most 128 letters, digits, - and _",
    ),
    "slug twice": (
        f"{FULL}\n{FIRST},,,boiler,,,,\n{SECOND},,,boiler,,,,\n",
        ", line 3, slug: another module has it",
    ),
    "master of a ucm": (f"{FULL}\n{FIRST},ucm,,,,,{SECOND},\n", ", line 2, master: only a link_slave has one"),
    "bad master": (
        f"{FULL}\n{FIRST},link_slave,,,,,LINK 1,\n",
        ", line 2, master: a hardware id has 32 or 33 characters, digits and letters only",
    ),
    "blueprint of a dryer": (f"{FULL}\n{FIRST},dryer,,,,,,b1\n", ", line 2, blueprint: only a ucm runs one"),
    "bad blueprint": (f"{FULL}\n{FIRST},,,,,,,a/b\n", ", line 2, blueprint: expected the id of a blueprint"),
    "QR code that is none": (
        f'{FULL}\n{FIRST},,,,,"{{""pop"": {CANARY}",,\n',
        ", line 2, pop: the QR code's text is no JSON",
    ),
    "QR code without a proof": (
        f'{FULL}\n{FIRST},,,,,"{{""name"": ""{CANARY}""}}",,\n',
        """, line 2, pop: the QR code has no "pop\"""",
    ),
    "endless proof": (
        f"{FULL}\n{FIRST},,,,,{CANARY * 20},,\n",
        ", line 2, pop: expected a proof of possession of 1 to 128 printable characters",
    ),
    "several": (
        f"{FULL}\nX,toaster,,,,,,\n{FIRST},,,,HTTP,,,\n",
        (
            ", line 2, hardware_id: a hardware id has 32 or 33 characters, digits and letters only"
            "; line 2, kind: expected ucm, electrolyser, dryer, water_tank, link_master, link_slave or nothing"
            "; line 3, protocol: expected MQTT, MQTTS or nothing"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_told_with_line_and_column(path: Path, name: str) -> None:
    text, complaint = REFUSALS[name]
    assert refusal(path, text) == complaint


def test_no_more_problems_are_told_than_a_person_reads() -> None:
    _, problems = parse("hardware_id\n" + "X\n" * 100)
    assert [problem.line for problem in problems] == list(range(2, 22))


QR = json.dumps({"ver": "v1", "name": "PROV_1", "username": "fitter", "pop": CANARY, "transport": "ble"})


@pytest.mark.parametrize(
    ("field", "proof"),
    [
        (CANARY, ProofOfPossession(Secret(CANARY))),
        (QR, ProofOfPossession(Secret(CANARY), "fitter")),
        (json.dumps({"pop": CANARY}), ProofOfPossession(Secret(CANARY))),
    ],
    ids=["plain", "QR code", "QR code without a user"],
)
def test_the_label_may_be_a_qr_code(field: str, proof: ProofOfPossession) -> None:
    quoted = field.replace('"', '""')
    modules, problems = parse(f'hardware_id,pop\n{FIRST},"{quoted}"\n')
    assert (modules[FIRST].pop, problems) == (proof, [])


PRINTABLE = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=20)
PROOFS = st.builds(
    ProofOfPossession,
    PRINTABLE.filter(bool).map(Secret),
    st.just("wifiprov") | PRINTABLE.filter(bool),
)
IDS = st.text("0123456789ABCDEF", min_size=32, max_size=33)
MODULES = st.builds(
    ExpectedModule,
    IDS,
    name=PRINTABLE,
    protocol=st.none() | st.sampled_from(MqttProtocol),
    pop=st.none() | PROOFS,
    kind=st.just(ExpectedKind.LINK_SLAVE),
    slug=st.just("") | st.from_regex(r"[0-9a-z][0-9a-z_-]{0,20}", fullmatch=True),
    master=st.just("") | IDS,
) | st.builds(
    ExpectedModule,
    IDS,
    kind=st.none() | st.just(ExpectedKind.UCM),
    blueprint=st.just("") | st.from_regex(r"[0-9a-z][0-9a-z.:-]{0,20}", fullmatch=True),
)


@given(st.lists(MODULES, max_size=5, unique_by=(lambda m: m.hardware_id, lambda m: m.slug or m.hardware_id)))
def test_what_is_exported_is_imported_as_it_was(modules: list[ExpectedModule]) -> None:
    assert parse(render(modules)) == ({module.hardware_id: module for module in modules}, [])


def test_a_name_of_128_characters_is_not_too_long(path: Path) -> None:
    assert loaded(path, f"{HEADER}\n{FIRST},{'n' * 128},,\n")[FIRST].name == "n" * 128


def test_a_file_that_cannot_be_read(path: Path) -> None:
    assert refusal(path, b"\xff\xfeh\0") == ": it is not UTF-8 text"
    path.unlink()
    with pytest.raises(UcmError) as refused:
        load(path)
    assert refused.value.detail == f"{path}: No such file or directory"
    with pytest.raises(UcmError) as refused:
        load(path.parent)
    assert refused.value.detail == f"{path.parent}: Is a directory"


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_a_manifest_or_an_error_that_says_where(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(f"{HEADER}\n{text}", encoding="utf-8")
    modules: dict[str, ExpectedModule] = {}
    with suppress_if_placed(path):
        modules = load(path)
    assert all(key == module.hardware_id for key, module in modules.items())


@contextmanager
def suppress_if_placed(path: Path) -> Iterator[None]:
    """Lets an error pass that names the file and a line of it."""
    try:
        yield
    except UcmError as error:
        if not error.detail.startswith(f"{path}, line "):
            raise
