"""What Prometheus itself says of docs/alerts.yaml and docs/grafana.json: python tools/promtool.py

`promtool` (Debian: apt-get install prometheus) parses the rules and every query of the dashboard, and runs
tests/watch/alerts.test.yaml: each alert firing, and silent. It takes about two seconds; exit 1 if anything is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "docs" / "alerts.yaml"
ALERTS_TEST = ROOT / "tests" / "watch" / "alerts.test.yaml"
GRAFANA = ROOT / "docs" / "grafana.json"


def grafana_rules() -> str:
    """The dashboard's queries as recording rules, which is a form that promtool takes; JSON is YAML."""
    panels = json.loads(GRAFANA.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [
        {"record": f"dashboard:query{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    return json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})


def main() -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as dashboard:
        dashboard.write(grafana_rules())
        dashboard.flush()
        for arguments in (["check", "rules", str(ALERTS), dashboard.name], ["test", "rules", str(ALERTS_TEST)]):
            if subprocess.run(["promtool", *arguments], check=False).returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
