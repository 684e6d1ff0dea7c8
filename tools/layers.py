"""The project's own import rule, for `lint-imports` (pyproject.toml has the stages and their interface files)."""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ROOT = "streamwarm"


class StageInterfaces(Contract):
    """No stage imports another stage but through its interface files, and none imports the wiring."""

    stages = fields.ListField(subfield=fields.StringField())
    interfaces = fields.ListField(subfield=fields.StringField())
    wiring = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        broken = sorted(
            (importer, imported)
            for importer in graph.modules
            for imported in graph.find_modules_directly_imported_by(importer)
            if self._is_broken(importer, imported)
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def _is_broken(self, importer: str, imported: str) -> bool:
        home, target = _part(importer), _part(imported)
        if home not in self.stages or target == home:
            return False
        return target in self.wiring or (target in self.stages and imported not in self.interfaces)

    def render_broken_contract(self, check: Any) -> None:
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} imports {imported}", bold=False)


def _part(module: str) -> str:
    """`backlog` for `streamwarm.backlog.sqlite.store`; empty for what is not ours."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0] if root == ROOT else ""
