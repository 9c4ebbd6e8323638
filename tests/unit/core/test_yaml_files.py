"""Files of YAML that define something: what is wrong is told with its line, or with its field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from celeriac.core.yaml_files import files_of, read_model


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int
    colour: str = "red"


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    parts: list[Part] = Field(min_length=1)
    notes: dict[str, str] = Field(default_factory=dict[str, str])


def read(folder: Path, content: str | bytes) -> Thing:
    file = folder / "one.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_model(file, Thing, "a thing")


def why(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        read(folder, content)
    return str(refused.value)


def test_what_is_defined_has_the_name_of_its_file_or_its_own(tmp_path: Path) -> None:
    assert read(tmp_path, "parts: [{size: 1}]").name == "one"
    assert read(tmp_path, "name: other\nparts: [{size: 1}]").name == "other"


def test_parts_may_be_shared_and_repeated(tmp_path: Path) -> None:
    thing = read(tmp_path, "parts:\n  - &first {size: 1}\n  - *first\n  - {<<: *first, size: 2}\n")
    assert [part.size for part in thing.parts] == [1, 1, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("parts: [{size: 1}]\nnotes: {}\nparts: []\n", "line 3: `parts` is given twice, in line 1 as well"),
        ("parts:\n- size: 1\n  colour: red\n  size: 2\n", "line 4: `size` is given twice, in line 2 as well"),
        ("parts: &a\n- *a\n", "parts.0"),
        ("parts: [", "line 1: is not YAML: "),
        ("a:\n\tb: 1", "line 2: is not YAML: "),
        ("!!python/object/apply:os.system [true]", "line 1: is not YAML: "),
        ("- 1", "is something else: expected the fields of a thing, which are `parts`"),
        ("", "is empty: expected the fields of a thing, which are `parts`"),
        ("# nothing but this", "is empty: "),
        ("\0", "is not YAML: "),
        (b"\xff\xfe\xff", "is not UTF-8"),
        ("[\n" * 1_000, "is not YAML: "),
        ("#" * 1_000_001, "is larger than 1,000,000 bytes"),
        ("parts: [{size: 1, color: red}]", "parts.0.color: is unknown: did you mean `colour`?"),
        ("parts: [{size: many}]", "parts.0.size: must be a whole number"),
        ("parts: []\nnoets: {}", "parts: must not be empty; noets: is unknown: did you mean `notes`?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, content: str | bytes, told: str) -> None:
    assert told in why(tmp_path, content)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("!!bool foo", "its tag !!bool says that it is true or false, which it is not; take the tag away"),
        ("!!int ''", "its tag !!int says that it is a whole number, which it is not"),
        ("!!int foo", "its tag !!int says that it is a whole number, which it is not"),
        ("!!float x", "its tag !!float says that it is a number, which it is not"),
        ("!!timestamp foo", "its tag !!timestamp says that it is a date or time, which it is not"),
        ("!!binary é", "its tag !!binary says that it is base64, which it is not"),
        ("!!omap foo", "its tag !!omap says that it is something else, which it is not"),
        ("!!set x", "its tag !!set says that it is something else"),
        ("!!python/name:os.system", "the tag !!python/name:os.system has no meaning here; take it away"),
        ("!mine x", "the tag !mine has no meaning here; take it away"),
        ("2026-99-99", "it is read as a date or time, and cannot be that; put it into quotes if it is a text"),
        ("2026-01-01 25:00:00", "it is read as a date or time, and cannot be that"),
        ("9" * 5_000, "it is read as a whole number, and cannot be that"),
        ("0b_", "it is read as a whole number, and cannot be that"),
        ("[1, {b: !!int foo}]", "its tag !!int says that it is a whole number, which it is not"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_told_with_its_line_and_place(
    tmp_path: Path, value: str, told: str
) -> None:
    place = "notes.a.1.b" if value.startswith("[") else "notes.a"
    assert why(tmp_path, f"parts: [{{size: 1}}]\nnotes:\n  a: {value}\n").startswith(f"line 3: {place}: {told}")


def test_a_key_that_is_none_of_its_type_is_told_as_well(tmp_path: Path) -> None:
    assert why(tmp_path, "parts: []\n? !!int foo\n: 1\n").startswith("line 2: foo: its tag !!int says")


@pytest.mark.parametrize("kind", ["lists", "mappings", "merges"])
def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path, kind: str) -> None:
    levels = ["free:", "- &l0 {x: 1}"]
    for level in range(1, 10):
        names = [f"*l{level - 1}"] * 10
        listed = ", ".join(names)
        many = {
            "lists": f"[{listed}]",
            "mappings": "{" + ", ".join(f"k{number}: {name}" for number, name in enumerate(names)) + "}",
            "merges": f"{{<<: [{listed}]}}",
        }
        levels.append(f"- &l{level} {many[kind]}")
    told = why(tmp_path, "\n".join(["parts: [{size: 1}]", *levels]))
    assert "with what its aliases stand for, it has more than 100,000 values" in told
    assert told.startswith("line ") and "free." in told


def test_an_alias_of_what_it_is_a_part_of_is_refused(tmp_path: Path) -> None:
    assert why(tmp_path, "parts:\n- &a\n  size: *a\n") == "line 2: parts.0.size: an alias stands for a part of itself"


def test_a_list_with_wrong_parts_is_not_said_to_be_too_short(tmp_path: Path) -> None:
    assert why(tmp_path, "parts: [{size: many}]").count("parts") == 1


def test_of_many_faults_some_are_told_and_the_others_counted(tmp_path: Path) -> None:
    told = why(tmp_path, "parts: [" + "{}, " * 25 + "]")
    assert told.count("is missing") == 10
    assert told.endswith("; and 15 more")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_model(tmp_path / "none.yaml", Thing, "a thing")


def test_values_are_not_shown_as_some_are_secrets(tmp_path: Path) -> None:
    assert "hunter2" not in why(tmp_path, "parts: [{size: hunter2}]")


def test_a_folder_has_files_of_both_endings_and_others_do_not_matter(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "README"):
        (tmp_path / name).write_text("")
    (tmp_path / "d.yaml").mkdir()
    assert [file.name for file in files_of(tmp_path)] == ["a.yml", "b.yaml"]
