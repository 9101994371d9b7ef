# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket that speaks S3, in memory: moto's, which imitates Amazon's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "us-east-1"


class Bucket:
    """C(settings) are what C(loki_s3) says of it. moto takes any key."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.settings: dict[str, Any] = {
            "bucket": name,
            "endpoint": endpoint,
            "region": REGION,
            "access_key": "the-id-of-a-key",
            "secret_key": "the-key-itself",
            "insecure": True,
            "force_path_style": True,
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=self.settings["access_key"],
            aws_secret_access_key=self.settings["secret_key"],
        )
        self.client.create_bucket(Bucket=name)

    def objects(self, prefix: str = "") -> list[str]:
        """Names of what is in it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.settings["bucket"], Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@contextmanager
def bucket(bind: str, name: str = "lines") -> Iterator[Bucket]:
    """On one of this machine's addresses, for as long as it is needed."""
    server = ThreadedMotoServer(bind, 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Bucket(f"http://{host}:{port}", name)
    finally:
        server.stop()
