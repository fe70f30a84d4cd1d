"""Writes the tables and modules anew; prints the fields for which no source knew Go's side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from minikube_api.schema.generate import gotypes, sources, structs, table

SCHEMA = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minikube_api.schema.generate")
    parser.add_argument("--schemas", type=Path, required=True, help="wheel of kubernetes-validate")
    parser.add_argument(
        "--program",
        type=Path,
        required=True,
        action="append",
        help="kubectl, helm: programs in Go that hold the types; the first that knows a type decides",
    )
    parser.add_argument("--facts", type=Path, required=True, help="directory of resources.tsv and columns.json")
    options = parser.parse_args()
    schemas = sources.definitions(options.schemas)
    lines = sources.resource_lines(options.facts / "resources.tsv")
    columns = json.loads((options.facts / "columns.json").read_text())
    types: dict[tuple[str, str], gotypes.GoType] = {}
    for program in reversed(options.program):
        types |= gotypes.Program(program).structs()
    structs.write(SCHEMA / "typed", schemas, lines, types)
    for name in table.write(SCHEMA, schemas, lines, columns, types):
        print(f"no Go facts: {name}")


if __name__ == "__main__":
    main()
