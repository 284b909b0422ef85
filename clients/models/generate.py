"""Generates the SDKs' types from a node's /openapi.json, so that they never differ from what nodes answer.

    generate.py URL python|node|go            writes the language's file
    generate.py URL python|node|go --check    exits 1 if the file differs from what would be written

Takes the schemas of /v1 that some call answers or wants. allOf is flattened, null is "may be absent", a named enumeration is an
alias of its texts. Standard library only.
"""

import json
import re
import sys
import textwrap
import urllib.request
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent.parent
FILES = {"python": "python/src/housecount/_models.py", "node": "node/src/models.ts", "go": "go/models.go"}
# Bodies are built by the calls themselves, which take their fields as arguments.
UNUSED = {"ChangeStageRequest", "CreateStageRequest", "HeartbeatRequest", "BatchProblem", "Problem"}
PREFIX = "#/components/schemas/"


class Field:
    """One property of a schema, with its name as sent, its type and whether an answer always has it."""

    def __init__(self, name, schema, is_required):
        self.name = name
        self.text = schema.get("description", "")
        self.kind, is_nullable = kind_of(schema)
        self.is_required = is_required and not is_nullable


def kind_of(schema):
    """Returns (kind, whether it may be null). A kind is a tuple: ("ref", NAME), ("list", KIND), ("map", KIND), ("int",)…"""
    if "$ref" in schema:
        return ("ref", schema["$ref"].removeprefix(PREFIX)), False
    if "oneOf" in schema:
        others = [each for each in schema["oneOf"] if each.get("type") != "null"]
        if len(others) != 1:
            raise ValueError(f"cannot express {schema}")
        return kind_of(others[0])[0], True
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (kind,) = [each for each in types if each != "null"]
    is_nullable = "null" in types
    if kind == "array":
        return ("list", kind_of(schema["items"])[0]), is_nullable
    if kind == "object":
        return ("map", kind_of(schema["additionalProperties"])[0]), is_nullable
    return ({"integer": "int", "number": "float", "string": "str", "boolean": "bool"}[kind],), is_nullable


def fields_of(schemas, name):
    """Returns a schema's fields, those of its allOf parts included, required ones first."""
    found = {}

    def add(schema):
        if "$ref" in schema:
            return add(schemas[schema["$ref"].removeprefix(PREFIX)])
        for part in schema.get("allOf", []):
            add(part)
        required = schema.get("required", [])
        for each, its in schema.get("properties", {}).items():
            found[each] = Field(each, its, each in required)
        return None

    add(schemas[name])
    return sorted(found.values(), key=lambda field: not field.is_required)


def is_enumeration(schema):
    return "enum" in schema


def used(document):
    """Returns the names of the schemas that calls of /v1 answer with, and of what these contain."""
    schemas, names = document["components"]["schemas"], set()

    def add(kind):
        if kind[0] == "ref":
            if is_enumeration(schemas[kind[1]]):
                names.add(kind[1])
            elif kind[1] not in names:
                names.add(kind[1])
                for field in fields_of(schemas, kind[1]):
                    add(field.kind)
        elif len(kind) > 1:
            add(kind[1])

    # Errors have them, as the field `active`.
    add(("ref", "ActiveStream"))
    for path, calls in document["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for call in calls.values():
            for status, response in call["responses"].items():
                schema = response.get("content", {}).get("application/json", {}).get("schema", {})
                # A call may answer one of several schemas, by its query.
                for each in schema.get("oneOf", [schema]):
                    if status.startswith("2") and "$ref" in each:
                        add(kind_of(each)[0])
    return sorted(names - UNUSED)


def sentences(text, width, first="", rest=""):
    return textwrap.fill(" ".join(text.split()), width, initial_indent=first, subsequent_indent=rest or first,
                         break_long_words=False, break_on_hyphens=False)


def snake(name):
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)
    return name + "_" if name == "from" else name


def python(schemas, names):
    def type_of(kind):
        if kind[0] == "ref":
            return kind[1]
        if kind[0] == "list":
            return f"list[{type_of(kind[1])}]"
        if kind[0] == "map":
            return f"dict[str, {type_of(kind[1])}]"
        return kind[0]

    def read(kind, value):
        if kind[0] == "ref" and not is_enumeration(schemas[kind[1]]):
            return f"{kind[1]}.from_json({value})"
        if kind[0] == "list":
            return f"[{read(kind[1], 'each')} for each in {value}]"
        if kind[0] == "map":
            return f"dict({value})"
        return value

    def read_field(field):
        value = f'data["{field.name}"]'
        if field.is_required:
            return read(field.kind, value)
        if len(field.kind) == 1:
            return f'data.get("{field.name}")'
        return f'None if data.get("{field.name}") is None else {read(field.kind, value)}'

    yield '"""Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit."""\n'
    yield "from __future__ import annotations\n"
    yield "from collections.abc import Mapping"
    yield "from dataclasses import dataclass"
    yield "from typing import Any, Literal\n"
    yield "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"
    for name in names:
        if is_enumeration(schemas[name]):
            yield f"{name} = Literal[\n" + "".join(f'    "{each}",\n' for each in schemas[name]["enum"]) + "]"
            yield sentences(schemas[name].get("description", name) + '"""', 110, '"""')
    for name in names:
        if is_enumeration(schemas[name]):
            continue
        fields = fields_of(schemas, name)
        yield f"\n\n@dataclass(frozen=True, kw_only=True)\nclass {name}:"
        yield sentences(schemas[name].get("description", name) + '"""', 110, '    """', "    ") + "\n"
        for field in fields:
            optional = "" if field.is_required else " | None = None"
            yield f"    {snake(field.name)}: {type_of(field.kind)}{optional}"
            if field.text:
                yield sentences(field.text + '"""', 110, '    """', "    ")
        yield "\n    @classmethod"
        yield f"    def from_json(cls, data: Mapping[str, Any]) -> {name}:"
        yield "        return cls("
        for field in fields:
            yield f"            {snake(field.name)}={read_field(field)},"
        yield "        )"


def node(schemas, names):
    def type_of(kind):
        if kind[0] == "ref":
            return kind[1]
        if kind[0] == "list":
            return f"{type_of(kind[1])}[]"
        if kind[0] == "map":
            return f"Record<string, {type_of(kind[1])}>"
        return {"int": "number", "float": "number", "str": "string", "bool": "boolean"}[kind[0]]

    yield "/** Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit. */"
    for name in names:
        yield f"\n/** {' '.join(schemas[name].get('description', name).split())} */"
        if is_enumeration(schemas[name]):
            yield f"export type {name} = {' | '.join(json.dumps(each) for each in schemas[name]['enum'])};"
            continue
        yield f"export interface {name} {{"
        for field in fields_of(schemas, name):
            if field.text:
                yield f"  /** {' '.join(field.text.split())} */"
            optional = "" if field.is_required else " | null | undefined"
            yield f"  {field.name}{'' if field.is_required else '?'}: {type_of(field.kind)}{optional};"
        yield "}"


def go(schemas, names):
    def type_of(kind):
        if kind[0] == "ref":
            return kind[1]
        if kind[0] == "list":
            return f"[]{type_of(kind[1])}"
        if kind[0] == "map":
            return f"map[string]{type_of(kind[1])}"
        return {"int": "int64", "float": "float64", "str": "string", "bool": "bool"}[kind[0]]

    yield "// Code generated from /openapi.json by clients/models/generate.py. DO NOT EDIT.\n\npackage housecount"
    for name in names:
        yield f"\n{sentences(f'{name}: ' + schemas[name].get('description', name), 110, '// ')}"
        if is_enumeration(schemas[name]):
            yield f"type {name} = string"
            continue
        yield f"type {name} struct {{"
        for field in fields_of(schemas, name):
            if field.text:
                yield sentences(field.text, 110, "\t// ")
            title = field.name[0].upper() + field.name[1:]
            is_pointer = not field.is_required and field.kind[0] not in ("list", "map")
            tag = field.name + ("" if field.is_required else ",omitempty")
            yield f'\t{title} {"*" if is_pointer else ""}{type_of(field.kind)} `json:"{tag}"`'
        yield "}"


def main():
    url, language, *rest = sys.argv[1:]
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
        document = json.load(answer)
    text = "\n".join(globals()[language](document["components"]["schemas"], used(document))) + "\n"
    file = CLIENTS / FILES[language]
    if rest == ["--check"]:
        # gofmt aligns columns, so that spaces differ.
        if file.read_text().split() != text.split():
            sys.exit(f"{file} differs from {url}/openapi.json: run clients/models/generate.py {url} {language}")
    else:
        file.write_text(text)


main()
