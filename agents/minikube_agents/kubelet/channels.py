"""The channel protocols of exec, attach, logs and port-forward over WebSocket: how messages carry a channel's bytes. Pure.

Source: Kubernetes' remotecommand and wsstream documentation. Binary: the first byte is the channel. Base64: the first character is the
channel as a digit and the rest is base64. v5 (KEP-4006) adds channel 255: "this channel is closed".
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

REMOTE_COMMAND = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
SPDY_TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_FORWARD = (SPDY_TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "portforward.k8s.io")


@dataclass(frozen=True, slots=True)
class Protocol:
    """A negotiated subprotocol; "" (none asked for) is the oldest binary one."""

    name: str

    @property
    def base64(self) -> bool:
        return "base64" in self.name

    @property
    def status(self) -> bool:
        """The error channel ends with a v1.Status (v4 and later) and not with plain text."""
        return self.name.startswith(("v4", "v5"))

    @property
    def closes(self) -> bool:
        return self.name.startswith("v5")

    def encode(self, channel: int, data: bytes) -> bytes | str:
        """The payload of one message: text for base64."""
        if self.base64:
            return str(channel) + base64.b64encode(data).decode()
        return bytes([channel]) + data

    def decode(self, message: bytes | str) -> tuple[int, bytes]:
        """(channel, data). Raises ValueError."""
        if self.base64:
            text = message if isinstance(message, str) else message.decode("ascii")
            if not text or not text[0].isdigit():
                raise ValueError("a base64 channel message starts with the channel's digit")
            try:
                return int(text[0]), base64.b64decode(text[1:], validate=True)
            except binascii.Error as error:
                raise ValueError(f"channel {text[0]}: {error}") from error
        data = message.encode() if isinstance(message, str) else message
        if not data:
            raise ValueError("an empty message has no channel")
        return data[0], data[1:]


def exit_status(code: int) -> dict[str, Any]:
    """The v1.Status of an ended command."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> dict[str, Any]:
    """The v1.Status of a command that could not be run."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
