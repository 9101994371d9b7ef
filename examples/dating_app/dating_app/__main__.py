# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m dating_app --service auth-service``."""

from dating_app.app import main

if __name__ == "__main__":
    main()
