"""Reads Go's type information out of a linked Go program (ELF, 64-bit little-endian, not position independent).

A Kubernetes client holds the types of the whole API, and their struct tags say what no published schema does: `json:"x,omitempty"`,
`protobuf:"bytes,1,opt,name=x"`, and which fields are pointers. The layout is that of Go's `internal/abi` (Type, StructType, Name).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_KINDS = {
    1: "bool", 2: "int", 3: "int8", 4: "int16", 5: "int32", 6: "int64", 7: "uint", 8: "uint8", 9: "uint16", 10: "uint32",
    11: "uint64", 13: "float32", 14: "float64", 17: "array", 20: "interface", 21: "map", 22: "pointer", 23: "slice",
    24: "string", 25: "struct",
}  # fmt: skip
_TAG = re.compile(r'(\w+):"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class GoField:
    name: str
    type: GoType
    tags: dict[str, str]
    embedded: bool


class GoType:
    """One type of the program; its parts are read when asked for."""

    def __init__(self, program: Program, address: int) -> None:
        self._program = program
        self._address = address
        head = program.read(address, 48)
        self._tflag, self._kind = head[20], head[23] & 0x1F
        self._name_offset = struct.unpack_from("<i", head, 40)[0]

    @property
    def kind(self) -> str:
        return _KINDS.get(self._kind, "other")

    @cached_property
    def name(self) -> str:
        """As Go prints it: `v1.Pod`, `[]string`."""
        text, _, _ = self._program.name(self._program.types + self._name_offset)
        return text[1:] if self._tflag & 2 else text

    @cached_property
    def package(self) -> str:
        """Import path of a named type, else ""."""
        if not self._tflag & 1:
            return ""
        extra = {"struct": 80, "pointer": 56, "slice": 56, "array": 72, "interface": 80}.get(self.kind, 48)
        if self.kind == "map":
            return ""
        offset = struct.unpack("<i", self._program.read(self._address + extra, 4))[0]
        return self._program.name(self._program.types + offset)[0] if offset else ""

    @property
    def elem(self) -> GoType:
        """What a pointer, slice or array holds, or a map's value."""
        at = self._address + (56 if self.kind == "map" else 48)
        return self._program.type(self._program.word(at))

    @cached_property
    def fields(self) -> list[GoField]:
        start, count = self._program.word(self._address + 56), self._program.word(self._address + 64)
        found = []
        for index in range(count):
            name, kind = self._program.word(start + 24 * index), self._program.word(start + 24 * index + 8)
            text, tag, embedded = self._program.name(name)
            found.append(GoField(text, self._program.type(kind), dict(_TAG.findall(tag)), embedded))
        return found


class Program:
    """A linked program's types."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._sections = self._read_sections()
        self.types = self._sections[".go.type" if ".go.type" in self._sections else ".rodata"][0]
        self._known: dict[int, GoType] = {}

    def _read_sections(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (address, file offset, size)."""
        start = struct.unpack_from("<Q", self._bytes, 40)[0]
        size, count, names = struct.unpack_from("<HHH", self._bytes, 58)
        heads = [struct.unpack_from("<IIQQQQ", self._bytes, start + size * i) for i in range(count)]
        text = heads[names][4]
        found = {}
        for name, _, _, address, offset, length in heads:
            end = self._bytes.find(b"\0", text + name)
            found[self._bytes[text + name : end].decode()] = (address, offset, length)
        return found

    def read(self, address: int, size: int) -> bytes:
        for start, offset, length in self._sections.values():
            if start and start <= address < start + length:
                return self._bytes[offset + address - start : offset + address - start + size]
        raise ValueError(f"address {address:#x} is in no section")

    def word(self, address: int) -> int:
        return struct.unpack("<Q", self.read(address, 8))[0]

    def type(self, address: int) -> GoType:
        if address not in self._known:
            self._known[address] = GoType(self, address)
        return self._known[address]

    def name(self, address: int) -> tuple[str, str, bool]:
        """(name, tag, embedded)."""
        flags = self.read(address, 1)[0]
        text, after = self._text(address + 1)
        tag = self._text(after)[0] if flags & 2 else ""
        return text, tag, bool(flags & 8)

    def _text(self, address: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self.read(address, 1)[0]
            address += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return self.read(address, length).decode(), address + length

    def structs(self) -> dict[tuple[str, str], GoType]:
        """(import path, name) -> every named struct that the program's type links reach, or that its type section holds."""
        found: dict[tuple[str, str], GoType] = {}
        for kind in self._linked() if ".typelink" in self._sections else self._scanned():
            if kind.kind in ("pointer", "slice", "map"):
                kind = kind.elem
            if kind.kind == "struct" and kind.package:
                found[kind.package, kind.name.rsplit(".", 1)[-1]] = kind
        return found

    def _linked(self) -> Iterator[GoType]:
        _, offset, length = self._sections[".typelink"]
        for (link,) in struct.iter_unpack("<i", self._bytes[offset : offset + length]):
            yield self.type(self.types + link)

    def _scanned(self) -> Iterator[GoType]:
        """Go 1.27 has no type links: take every aligned place of the section that reads as the head of a struct type."""
        address, offset, length = self._sections[".go.type"]
        for at in range(0, length - 80, 8):
            head = self._bytes[offset + at : offset + at + 80]
            tflag, kind = head[20], head[23] & 0x1F
            name, fields, capacity = struct.unpack_from("<i", head, 40)[0], *struct.unpack_from("<QQ", head, 64)
            is_struct = kind == 25 and tflag & 1 and tflag < 64 and 0 < name < length and 0 < fields == capacity < 1000
            if is_struct and head[21] == head[22] and head[21] in (1, 2, 4, 8):
                yield self.type(address + at)
