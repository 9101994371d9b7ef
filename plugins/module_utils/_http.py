# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""JSON over HTTP for every module that talks to a service: one session, and errors that say what to do."""

from __future__ import annotations

import json
import traceback
import typing as t

from ._errors import ComponentError

REQUESTS_ERROR: str | None = None
try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry
except ImportError:
    REQUESTS_ERROR = traceback.format_exc()
    HTTPAdapter = Retry = object  # type: ignore[assignment,misc]  # the modules say what is missing, and end

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# What passes by itself: too many requests, a proxy whose service restarts. A 401 is not among them, and must never be:
# five wrong logins lock an account.
PASSING = (429, 502, 503)
ATTEMPTS = 5
LONGEST_WAIT = 30.0
EXCERPT = 300


class ApiError(ComponentError):
    """An answer that was not the wanted one. C(status) is 0 where there was no answer, C(data) what it said."""

    def __init__(self, what: str, seen: str = "", remedy: str = "", status: int = 0, data: t.Any = None) -> None:
        super().__init__(what, seen, remedy)
        self.status = status
        self.data = data


class Patience(Retry):  # type: ignore[valid-type,misc]  # object where requests is missing
    """Waits as the server asks, but not longer than a run may take."""

    def get_retry_after(self, response: t.Any) -> float | None:
        wait: float | None = super().get_retry_after(response)
        return None if wait is None else min(wait, LONGEST_WAIT)


class Named(HTTPAdapter):  # type: ignore[misc]  # object where requests is missing
    """Expects another name in the certificate than that of the address: a host asks itself over its loopback."""

    def __init__(self, name: str, **options: t.Any) -> None:
        self._names = {"server_hostname": name, "assert_hostname": name} if name else {}
        super().__init__(**options)

    def init_poolmanager(self, *arguments: t.Any, **options: t.Any) -> None:
        super().init_poolmanager(*arguments, **options, **self._names)


class Api:
    """One service at one address. Safe to use from several threads: they share the connections."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        user: str = "",
        password: str = "",
        token: str = "",
        ca_path: str = "",
        server_name: str = "",
        validate_certs: bool = True,
        timeout: float = 30,
        connections: int = 8,
        remedies: t.Mapping[int, str] | None = None,
    ) -> None:
        """C(remedies): what to do about a status, where the service's own words do not say it."""
        self.name = name
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.remedies = {**REMEDIES, **(remedies or {})}
        self.session = requests.Session()
        # No proxy, no .netrc, no bundle of certificates out of the environment: what the task says is what holds.
        self.session.trust_env = False
        self.session.verify = (ca_path or True) if validate_certs else False
        self.session.headers.update({"Accept": "application/json", "User-Agent": "opswatch.monitoring"})
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"
        elif user:
            self.session.auth = (user.encode(), password.encode())
        # Refused connections and cut ones are no matter of patience: a write may have been carried out.
        patience = Patience(
            total=ATTEMPTS - 1,
            connect=0,
            read=False,  # raised as it is: a timeout stays one
            redirect=False,
            other=0,
            status=ATTEMPTS - 1,
            status_forcelist=PASSING,
            allowed_methods=None,
            backoff_factor=0.3,
            raise_on_status=False,
        )
        options = {"pool_maxsize": connections, "max_retries": patience}
        self.session.mount("http://", HTTPAdapter(**options))
        self.session.mount("https://", Named(server_name, **options))

    def get(self, path: str, params: t.Mapping[str, t.Any] | None = None) -> t.Any:
        return self.ask("GET", path, params=params)

    def find(self, path: str) -> t.Any | None:
        """What is there, or None where the service does not know it."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: t.Any = None) -> t.Any:
        return self.ask("POST", path, body=body)

    def put(self, path: str, body: t.Any = None) -> t.Any:
        return self.ask("PUT", path, body=body)

    def delete(self, path: str) -> t.Any:
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, params: t.Mapping[str, t.Any] | None = None, body: t.Any = None) -> t.Any:
        """The answer, parsed; ApiError for everything that is not a success in JSON."""
        asked = f"{method} {self.url}{path}"
        try:
            response = self.session.request(
                method, self.url + path, params=params, json=body, timeout=self.timeout, allow_redirects=False
            )
        except (requests.exceptions.RequestException, OSError) as error:
            # OSError: a file of certificates that is not there.
            raise _unanswered(self.name, asked, error, self.timeout) from error
        data = _parsed(response)
        if 200 <= response.status_code < 300 and data is not NOT_JSON:
            return data
        raise self._refused(asked, response, data)

    def _refused(self, asked: str, response: t.Any, data: t.Any) -> ApiError:
        status = response.status_code
        what = f"{asked} was answered with {status} {response.reason}".rstrip()
        if status in PASSING:
            what += f", {ATTEMPTS} times"
        if 300 <= status < 400:
            seen = f"Location: {response.headers.get('Location', '')}"
            return ApiError(what, seen, f"set the address to that of {self.name} itself, as it is after this", status)
        if data is NOT_JSON:
            kind = response.headers.get("Content-Type", "no type")
            return ApiError(
                f"{what} ({kind}) and not with JSON",
                " ".join(response.text.split())[:EXCERPT],
                self.remedies[status]
                if status in PASSING
                else f"look whether {self.name} is at this address and not a proxy, a login page or another path of it",
                status,
            )
        remedy = self.remedies.get(status) or self.remedies[500 if status >= 500 else 400]
        return ApiError(what, message(data), remedy, status, data)


NOT_JSON = object()

REMEDIES = {
    400: "correct what the answer names; the log of the service may say more",
    401: "correct user and password, or the token. It is not tried again: several wrong logins lock an account",
    403: "give this account the right to do it, or use another one",
    404: "it may have been removed meanwhile: then run again; else correct the address of the service, with its path",
    409: "another one has its name or its place: give one of the two another name, or remove that one",
    429: "run again later, or raise the limit of requests of the service or of the proxy before it",
    502: "see whether the service behind the proxy runs, then run again",
    503: "see whether the service runs and is ready, then run again",
    500: "look into the log of the service",
}


def message(data: t.Any) -> str:
    """What the service says in words, else its answer as it came."""
    if isinstance(data, dict):
        for key in ("message", "error", "detail"):
            if isinstance(data.get(key), str) and data[key]:
                return str(data[key])
    return "" if data is None else json.dumps(data)[:EXCERPT]


def _parsed(response: t.Any) -> t.Any:
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        return NOT_JSON


def _unanswered(name: str, asked: str, error: Exception, timeout: float) -> ApiError:
    """No answer at all: why, as far as it can be known from here."""
    seen = str(_root(error))
    if isinstance(error, requests.exceptions.SSLError):
        remedy = "give the authority's certificate as ca_path, and use the name that the certificate is for"
        return ApiError(f"{asked}: the certificate was not accepted, or this is no TLS", seen, remedy)
    if isinstance(error, requests.exceptions.Timeout):
        remedy = f"see whether {name} is busy or a firewall drops the packets; raise timeout if it needs longer"
        return ApiError(f"{asked} was not answered within {timeout:g} s", seen, remedy)
    if isinstance(error, requests.exceptions.ConnectionError):
        remedy = f"see whether {name} runs and listens there; a cut connection may mean http in place of https"
        return ApiError(f"{asked}: no connection, or it was cut", seen, remedy)
    remedy = "correct the address and the options of the connection; what site.yml has yet to bring is not there"
    return ApiError(f"{asked} could not be asked", seen, remedy)


def _root(error: BaseException) -> BaseException:
    """The innermost reason; those around it repeat it with addresses of Python objects."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def require_requests(module: AnsibleModule) -> None:
    """Ends the module with a sentence where the library is missing."""
    if REQUESTS_ERROR is not None:
        from ansible.module_utils.basic import missing_required_lib

        said = f"{missing_required_lib('requests')}. What to do: install its package python3-requests on that host"
        module.fail_json(msg=said, exception=REQUESTS_ERROR, missing_library="requests")
