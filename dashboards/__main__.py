# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the dashboards where the role grafana finds them; what is not made here any more is removed."""

from __future__ import annotations

from .catalogue import FOLDER, files


def main() -> None:
    wanted = files()
    for path in sorted(set(FOLDER.rglob("*.json")) - set(wanted)):
        path.unlink()
        print(f"removed {path.name}")
    for path, text in wanted.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
