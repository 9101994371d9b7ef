# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sources of the stand-in, and whether one answers: queries reach Prometheus, but bring no frames back."""

from __future__ import annotations

import base64
import json
import sqlite3
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from provisioning import SOURCE, new_uid, save_source
from routing import Call, Refusal, route

DOWNSTREAM = {"messageId": "plugin.downstreamError", "statusCode": 500, "traceID": ""}


def find(call: Call) -> sqlite3.Row:
    found = call.database.row("SELECT * FROM data_source WHERE uid = ?", call.name)
    if found is None:
        raise Refusal(404, "Data source not found")
    return found


def writable(call: Call, verb: str) -> sqlite3.Row:
    found = find(call)
    if found["read_only"]:
        raise Refusal(403, f"Cannot {verb} read-only data source")
    return found


@route("GET", "/api/datasources")
def listing(call: Call) -> t.Any:
    found = call.database.rows("SELECT * FROM data_source ORDER BY name")
    kept = ("id", "uid", "orgId", "name", "type", "typeLogoUrl", "access", "url", "user", "database", "basicAuth")
    kept += ("isDefault", "jsonData", "readOnly")
    return [{key: full(one)[key] for key in kept} for one in found]


@route("POST", "/api/datasources")
def add(call: Call) -> t.Any:
    wish = call.request.json
    if not wish.get("name") or not wish.get("type") or not wish.get("access"):
        raise Refusal(400, "bad request data", traceID="")
    with call.database.lock:
        for key in ("name", "uid"):
            if call.database.row(f"SELECT id FROM data_source WHERE {key} = ?", wish.get(key)):
                raise Refusal(409, f"data source with the same {key} already exists", traceID="")
        number = save_source(call.database, None, {"uid": new_uid(), **wish}, 1)
    return saved(call, number, "added")


@route("GET", "/api/datasources/uid/*")
def get(call: Call) -> t.Any:
    return full(find(call))


@route("PUT", "/api/datasources/uid/*")
def change(call: Call) -> t.Any:
    wish = call.request.json
    known = writable(call, "update")
    version = int(wish.get("version") or 0)
    if version and version < known["version"]:
        raise Refusal(409, "Datasource has already been updated by someone else. Please reload and try again")
    with call.database.lock:
        save_source(call.database, known, wish, version + 1)
    return saved(call, known["id"], "updated")


@route("DELETE", "/api/datasources/uid/*")
def remove(call: Call) -> t.Any:
    known = writable(call, "delete")
    call.database.delete("data_source", known["id"])
    return {"id": known["id"], "message": "Data source deleted"}


@route("GET", "/api/datasources/uid/*/health")
def health(call: Call) -> t.Any:
    # The core ones of 9.3 have no check.
    raise Refusal(404, "Not found", traceID="")


@route("POST", "/api/ds/query")
def query(call: Call) -> t.Any:
    results: dict[str, t.Any] = {}
    for wish in call.request.json.get("queries") or []:
        uid = (wish.get("datasource") or {}).get("uid")
        source = call.database.row("SELECT * FROM data_source WHERE uid = ?", uid)
        if source is None:
            raise Refusal(404, "data source not found", traceID="")
        error = ask(source, str(wish.get("expr") or ""))
        if error is None:
            raise Refusal(500, "An error occurred within the plugin", **DOWNSTREAM)
        results[wish.get("refId") or "A"] = {"error": error, "status": 500} if error else {"status": 200}
    if any("error" in result for result in results.values()):
        refusal = Refusal(400, "")
        refusal.data = {"results": results}
        raise refusal
    return {"results": results}


def full(one: sqlite3.Row) -> dict[str, t.Any]:
    data = json.loads(one["data"])
    return {
        "id": one["id"],
        "uid": one["uid"],
        "orgId": 1,
        "typeLogoUrl": "",
        **{key: data[key] for key in SOURCE},
        "isDefault": bool(one["is_default"]),
        "secureJsonFields": dict.fromkeys(json.loads(one["secure"]), True),
        "version": one["version"],
        "readOnly": bool(one["read_only"]),
    }


def saved(call: Call, number: int, what: str) -> dict[str, t.Any]:
    one = call.database.rows("SELECT * FROM data_source WHERE id = ?", number)[0]
    return {"id": number, "name": one["name"], "message": f"Datasource {what}", "datasource": full(one)}


def ask(source: sqlite3.Row, expression: str) -> str | None:
    """What Prometheus or Loki says is wrong, empty if nothing is; None where it does not answer."""
    data, secure = json.loads(source["data"]), json.loads(source["secure"])
    words = urllib.parse.urlencode({"query": expression})
    path = "/loki/api/v1/query" if data["type"] == "loki" else "/api/v1/query"
    request = urllib.request.Request(f"{data['url'].rstrip('/')}{path}?{words}")
    if data["basicAuth"]:
        login = f"{data['basicAuthUser']}:{secure.get('basicAuthPassword', '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    context = ssl.create_default_context(cadata=secure.get("tlsCACert"))
    if data["jsonData"].get("tlsSkipVerify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate := secure.get("tlsClientCert"):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"{certificate}\n{secure['tlsClientKey']}")
            file.flush()
            context.load_cert_chain(file.name)
    # Directly, as Grafana does unless it is told otherwise.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=30):
            return ""
    except urllib.error.HTTPError as error:
        try:
            answer = json.loads(error.read())
            return f"{answer['errorType']}: {answer['error']}"
        except (ValueError, KeyError):
            return f"client_error: client error: {error.code}"
    except OSError:
        return None
