"""How objects are shown: tables as the server renders them, JSON, YAML, names. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
GAP = "   "


def cell(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value).replace("\n", " ")


class TablePrinter:
    """Prints Table objects; a watch prints its rows below without a second header."""

    def __init__(self, *, wide: bool = False, namespaces: bool = False, prefix: str = "", labels: bool = False) -> None:
        self.wide, self.namespaces, self.prefix, self.labels = wide, namespaces, prefix, labels
        self._columns: list[tuple[int, str]] = []
        self._widths: list[int] = []

    def lines(self, table: dict[str, Any], *, header: bool = True) -> list[str]:
        if table.get("columnDefinitions"):
            self._columns = [
                (i, c["name"].upper()) for i, c in enumerate(table["columnDefinitions"]) if self.wide or not c.get("priority")
            ]
        rows = [self._row(row) for row in table.get("rows") or ()]
        head = [
            *(["NAMESPACE"] if self.namespaces else []),
            *(name for _, name in self._columns),
            *(["LABELS"] if self.labels else []),
        ]
        shown = [head, *rows] if header else rows
        for line in shown:
            self._widths = [max(w, len(c)) for w, c in zip(self._widths or [0] * len(line), line, strict=True)]
        return [self._join(line) for line in shown]

    def _join(self, line: Sequence[str]) -> str:
        return GAP.join(c.ljust(w) for c, w in zip(line, self._widths, strict=True)).rstrip()

    def _row(self, row: dict[str, Any]) -> list[str]:
        metadata = row.get("object", {}).get("metadata", {})
        cells = [cell(row["cells"][i]) for i, _ in self._columns]
        if self.prefix and cells:
            cells[0] = f"{self.prefix}/{cells[0]}"
        labels = ",".join(f"{k}={v}" for k, v in sorted((metadata.get("labels") or {}).items())) or "<none>"
        return [*([metadata.get("namespace", "")] if self.namespaces else []), *cells, *([labels] if self.labels else [])]


def clean(obj: dict[str, Any]) -> dict[str, Any]:
    """Without managedFields, as kubectl shows objects."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        obj = {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}
    return obj


def document(objects: list[dict[str, Any]], output: str, *, single: bool) -> str:
    """JSON or YAML of one object, or of a v1 List."""
    cleaned = [clean(o) for o in objects]
    tree = cleaned[0] if single else {"apiVersion": "v1", "items": cleaned, "kind": "List", "metadata": {"resourceVersion": ""}}
    if output == "json":
        return json.dumps(tree, indent=4, ensure_ascii=False)
    import yaml

    return yaml.safe_dump(tree, default_flow_style=False, sort_keys=True, allow_unicode=True).rstrip("\n")


def echo(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
