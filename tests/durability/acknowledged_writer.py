"""A program: writes to an API server over and over, and notes each write that was acknowledged, before it makes the next.

    acknowledged_writer.py URL CA_FILE TOKEN RECORD_FILE LANES

A line of the record is `VERB NAME REVISION VALUE`. Lanes are threads with a connection each, so that the server has writes to commit
together. When the server is gone a lane tries again until it is back; what it did not get an answer for it never claims.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import threading
import time
from typing import Any

PATH = "/api/v1/namespaces/default/configmaps"


def lane(number: int, connect: Any, token: str, record: int) -> None:
    connection, count, name = connect(), 0, ""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    while True:
        count += 1
        create = count % 3 == 1 or not name
        target = f"w{number}-{count}" if create else name
        value = f"{number}.{count}"
        body = {"metadata": {"name": target, "labels": {"lane": str(number)}}, "data": {"value": value}}
        try:
            method, path = ("POST", PATH) if create else ("PUT", f"{PATH}/{target}")
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            tree = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            connection, name = connect(), ""
            time.sleep(0.01)
            continue
        if answer.status not in (200, 201):
            os.write(record, f"REFUSED {target} {answer.status} {tree.get('message', '')}\n".encode())
            time.sleep(0.01)
            continue
        name = target
        os.write(record, f"{method} {name} {tree['metadata']['resourceVersion']} {value}\n".encode())


def main() -> None:
    url, ca, token, path, lanes = sys.argv[1:]
    host, _, port = url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=ca)
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def connect() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=10)

    for number in range(int(lanes)):
        threading.Thread(target=lane, args=(number, connect, token, record), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
