# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of ./dev."""

import importlib.util
import subprocess
import sys

from docker.errors import DockerException

from . import check, demo, galaxy, hosts
from .console import Failure
from .paths import ROOT


def bench(arguments: list[str]) -> int:
    """The measurements have a package of their own; here is only the way to it."""
    if importlib.util.find_spec("tests.bench") is None:
        raise Failure("tests/bench is not in this checkout", "it comes with the benchmarks")
    galaxy.ensure()
    check.prepare_hosts()
    return subprocess.run([sys.executable, "-m", "tests.bench", *arguments], cwd=ROOT, check=False).returncode


def main(command: str, arguments: list[str]) -> int:
    match command:
        case "demo":
            return demo.main()
        case "test":
            return check.test(arguments)
        case "test-real":
            return check.test_real(arguments)
        case "bench":
            return bench(arguments)
        case "destroy":  # what ./dev clean does to hosts, and no more
            hosts.destroy_all()
            return 0
    raise Failure(f"unknown command {command!r}", "see ./dev help")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
    except Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
    except DockerException as error:
        print(
            Failure(f"the docker engine: {error}", "see docker info, and .dev/log/dockerd.log if ./dev started it"),
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
