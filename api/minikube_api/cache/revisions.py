"""resourceVersion and continue tokens as the API writes them, and the errors they give, in kube-apiserver's words."""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from typing import Any

from minikube_api.meta.errors import BadRequest, Expired, StatusError, Timeout

_VERSION = "meta.k8s.io/v1"
_INVALID = "continue key is not valid"
_TOO_OLD = "The resourceVersion for the provided list is too old."
_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with "
    "the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
#: the revision in a token that lets a list go on with whatever is newest
LATEST = -1


class ContinueExpired(Expired):
    """410 whose `metadata.continue` goes on inconsistently, from the newest state."""

    def __init__(self, continue_token: str) -> None:
        super().__init__(_INCONSISTENT)
        self.continue_token = continue_token

    def status(self) -> dict[str, Any]:
        return {**super().status(), "metadata": {"continue": self.continue_token}}


def parse_resource_version(text: str) -> int:
    """An uint64 in decimal. Anything else is what Go's ParseUint says, as a 500 without reason (kube-apiserver's watch cache)."""
    if text.isascii() and text.isdigit():
        revision = int(text)
        if revision < 1 << 64:
            return revision
        why = "value out of range"
    else:
        why = "invalid syntax"
    problem = f'strconv.ParseUint: parsing "{text}": {why}'
    raise StatusError(f'resourceVersion: Invalid value: "{text}": {problem}', code=500, reason="")


def too_large(asked: int, current: int) -> Timeout:
    return Timeout(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
        retry_after_seconds=1,
    )


def too_old(asked: int, oldest: int) -> Expired:
    """For a watch: `oldest` is the newest revision whose successor events are no longer all there."""
    return Expired(f"too old resource version: {asked} ({oldest})")


def list_too_old() -> Expired:
    return Expired(_TOO_OLD)


def encode_continue(last_key: str, prefix: str, revision: int) -> str:
    """The token that goes on after `last_key` (a store key below `prefix`) at `revision`, or at LATEST."""
    start = json.dumps(last_key[len(prefix) :] + "\0", ensure_ascii=False)
    token = f'{{"v":"{_VERSION}","rv":{revision},"start":{start}}}'
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def decode_continue(token: str, prefix: str) -> tuple[str, int]:
    """(store key to start from, revision or LATEST). Raises BadRequest as kube-apiserver words it."""
    try:
        return _decode(token, prefix)
    except ValueError as error:
        raise BadRequest(f"invalid continue token: {error}") from None


def _decode(token: str, prefix: str) -> tuple[str, int]:
    tree = _json(_base64(token))
    version = tree.get("v", "")
    if version != _VERSION:
        raise ValueError(f"{_INVALID}: server does not recognize this encoded version {version}")
    revision, start = tree.get("rv", 0), tree.get("start", "")
    if revision == 0:
        raise ValueError(f"{_INVALID}: incorrect encoded start resourceVersion (version {_VERSION})")
    if not start:
        raise ValueError(f"{_INVALID}: encoded start key empty (version {_VERSION})")
    key = start if start.startswith("/") else f"/{start}"
    if posixpath.normpath(key) != key:
        raise ValueError(f"{_INVALID}: {start}")
    return prefix + key[1:], revision


def _base64(token: str) -> bytes:
    text = token.replace("\r", "").replace("\n", "")
    for at, char in enumerate(text):
        if not (char.isascii() and (char.isalnum() or char in "-_")):
            raise ValueError(f"{_INVALID}: illegal base64 data at input byte {at}")
    if len(text) % 4 == 1:
        raise ValueError(f"{_INVALID}: illegal base64 data at input byte {len(text) - 1}")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(f"{_INVALID}: illegal base64 data at input byte {len(text) - 1}") from error


def _json(data: bytes) -> dict[str, Any]:
    text = data.lstrip(b" \t\r\n")
    if not text:
        raise ValueError(f"{_INVALID}: unexpected end of JSON input")
    if text[:1] not in b'{["-0123456789tfn':
        raise ValueError(f"{_INVALID}: invalid character {_quoted(text[0])} looking for beginning of value")
    try:
        tree = json.loads(text)
    except ValueError:
        raise ValueError(f"{_INVALID}: unexpected end of JSON input") from None
    if not isinstance(tree, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(tree), "number")
        raise ValueError(f"{_INVALID}: json: cannot unmarshal {kind} into Go value of type storage.continueToken")
    for field, wanted in (("v", str), ("rv", int), ("start", str)):
        if field in tree and type(tree[field]) is not wanted:
            raise ValueError(f"{_INVALID}: json: cannot unmarshal into Go struct field continueToken.{field}")
    return tree


def _quoted(byte: int) -> str:
    """A byte as Go's JSON errors quote it."""
    if byte == ord("'"):
        return "'\\''"
    if byte == ord('"'):
        return "'\"'"
    char = chr(byte)
    if char.isprintable() and byte != 0xAD:
        return "'\\\\'" if char == "\\" else f"'{char}'"
    short = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v"}.get(byte)
    if short is None:
        short = f"\\x{byte:02x}" if byte < 0x80 else f"\\u{byte:04x}"
    return f"'{short}'"
