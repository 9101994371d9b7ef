# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""HTTP to a component of this host."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from urllib.parse import urlsplit

from ._errors import ComponentError
from ._ready import Answer, Endpoint


class _NamedConnection(http.client.HTTPSConnection):
    """HTTPS to an address of this host, checked against the name in its certificate."""

    def __init__(self, host: str, port: int | None, server_name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._name = server_name or host
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def get(endpoint: Endpoint, path: str, timeout: float = 5.0, method: str = "GET", body: object = None) -> Answer:
    """Ask for one path, with a body as JSON if there is one.

    Never through a proxy, never a redirect: it is this host that is asked.
    """
    address = urlsplit(endpoint.base)
    headers = {"Accept-Encoding": "identity"}
    if endpoint.user:
        token = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    content = None if body is None else json.dumps(body).encode()
    if content:
        headers["Content-Type"] = "application/json"
    connection: http.client.HTTPConnection
    try:
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=endpoint.ca or None)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as the programs themselves: no key usage is no fault
            if endpoint.cert:
                context.load_cert_chain(endpoint.cert, endpoint.key)
            connection = _NamedConnection(address.hostname or "", address.port, endpoint.server_name, context, timeout)
        else:
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        try:
            connection.request(method, address.path + path, body=content, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(errors="replace"))
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        refusal = ComponentError(
            f"{endpoint.base} shows a certificate that is not trusted",
            error.verify_message.rstrip("."),
            f"it has to name {endpoint.server_name or address.hostname} and be signed by "
            + (endpoint.ca or "an authority of the system"),
        )
        return Answer(0, error.verify_message, refusal)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error) or type(error).__name__)
