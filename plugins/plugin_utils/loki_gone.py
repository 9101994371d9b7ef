# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""Keys of Loki's configuration that newer versions refuse, each with its successor. Pure functions."""

from __future__ import annotations

import typing as t

from ..module_utils._plan import older
from .preflight_report import Problem

Map = t.Mapping[str, t.Any]


class Gone(t.NamedTuple):
    """A key that Loki refuses to start with, from a version on."""

    path: str
    since: str
    successor: str


_NOTHING = "nothing: leave it out"
_PERIODS = "nothing: the object_store of each period says it"
_PREFIX = "index.path_prefix of each period"
_CACHES = (
    "chunk_store_config.chunk_cache_config",
    "chunk_store_config.write_dedupe_cache_config",
    "query_range.results_cache.cache",
    "storage_config.index_queries_cache_config",
)
_OF_A_CACHE = {
    "enable_fifocache": "embedded_cache.enabled",
    "fifocache": "embedded_cache",
    "async_cache_write_back_concurrency": "background.writeback_goroutines",
    "async_cache_write_back_buffer_size": "background.writeback_buffer",
}
GONE = (
    Gone("limits_config.enforce_metric_name", "3.0", _NOTHING),
    Gone("limits_config.ruler_evaluation_delay_duration", "3.0", _NOTHING),
    Gone("chunk_store_config.max_look_back_period", "3.0", "limits_config.max_query_lookback"),
    Gone("storage_config.boltdb_shipper.shared_store", "3.0", _PERIODS),
    Gone("storage_config.boltdb_shipper.shared_store_key_prefix", "3.0", _PREFIX),
    Gone("storage_config.tsdb_shipper.shared_store", "3.0", _PERIODS),
    Gone("storage_config.tsdb_shipper.shared_store_key_prefix", "3.0", _PREFIX),
    Gone("storage_config.tsdb_shipper.use_boltdb_shipper_as_backup", "3.0", _NOTHING),
    Gone("storage_config.aws.sse_encryption", "3.0", "storage_config.aws.sse.type"),
    Gone("common.storage.s3.sse_encryption", "3.0", "common.storage.s3.sse.type"),
    Gone("ruler.storage.s3.sse_encryption", "3.0", "ruler.storage.s3.sse.type"),
    Gone("common.storage.filesystem.admin_api_directory", "3.5", _NOTHING),
    Gone("compactor.shared_store", "3.0", "compactor.delete_request_store, for delete requests; else nothing"),
    Gone("compactor.shared_store_key_prefix", "3.0", "compactor.delete_request_store_key_prefix"),
    Gone("compactor.deletion_mode", "3.0", "limits_config.deletion_mode"),
    Gone("ingester.max_transfer_retries", "3.0", "ingester.wal, which is on by default"),
    Gone("querier.query_timeout", "3.0", "limits_config.query_timeout"),
    Gone("querier.engine.timeout", "3.0", "limits_config.query_timeout"),
    Gone("query_range.split_queries_by_interval", "3.0", "limits_config.split_queries_by_interval"),
    Gone("query_range.forward_headers_list", "3.0", _NOTHING),
    Gone("query_range.results_cache.max_freshness", "2.0", "limits_config.max_cache_freshness_per_query"),
    Gone("frontend_worker.parallelism", "3.0", "querier.max_concurrent"),
    Gone("frontend_worker.match_max_concurrent", "3.0", "querier.max_concurrent"),
    Gone("bloom_compactor", "3.2", "bloom_build"),
    *(
        Gone(f"{cache}.{key}", "3.0", f"{cache}.{successor}")
        for cache in _CACHES
        for key, successor in _OF_A_CACHE.items()
    ),
)


def gone_keys(config: Map, version: str) -> list[Gone]:
    """Keys of a configuration that this version refuses, each with its successor."""
    found = []
    for gone in GONE:
        *above, last = gone.path.split(".")
        place: t.Any = config
        for key in above:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict) and last in place and not older(version, gone.since):
            found.append(gone)
    return found


def gone_problems(values: Map) -> list[Problem]:
    """The same of the variable C(loki_config), as the preflight reports them."""
    config = values.get("loki_config")
    return [
        Problem(
            f"loki_config has {gone.path}, which Loki {values['loki_version']} refuses",
            f"it is gone since {gone.since}",
            f"use instead: {gone.successor}",
        )
        for gone in (gone_keys(config, str(values.get("loki_version"))) if isinstance(config, dict) else [])
    ]
