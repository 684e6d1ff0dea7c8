"""The project's own import rules, for `lint-imports`; pyproject.toml has the stages, interface files and layers."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
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
        broken = [(importer, imported) for importer, imported in _imports(graph) if self._is_broken(importer, imported)]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def _is_broken(self, importer: str, imported: str) -> bool:
        home, target = _part(importer), _part(imported)
        if home not in self.stages or target == home:
            return False
        return target in self.wiring or (target in self.stages and imported not in self.interfaces)

    def render_broken_contract(self, check: Any) -> None:
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} imports {imported}", bold=False)


class Layers(Contract):
    """The root's files and folders stand in layers, the highest first; an import leads down, or stays in its folder.

    Every part of the root must be in a layer, so that a new one cannot slip past. Parts of one layer do not import each
    other. No circle is allowed at any depth.
    """

    layers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        height = {part: -number for number, layer in enumerate(self.layers) for part in layer.split()}
        parts = {_part(module) for module in graph.modules if module.startswith(f"{ROOT}.")}
        broken = [f"{part} is in no layer" for part in sorted(parts - height.keys())]
        broken += [
            f"{importer} imports {imported}, which is not below it"
            for importer, imported in _imports(graph)
            if (home := _part(importer)) != (target := _part(imported))
            and {home, target} <= height.keys()
            and height[target] >= height[home]
        ]
        broken += [f"circle: {' -> '.join(circle)}" for circle in _circles(graph)]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: Any) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line, bold=False)


def _imports(graph: ImportGraph) -> list[tuple[str, str]]:
    """Every import of one of our modules by another, sorted."""
    return sorted(
        (importer, imported)
        for importer in graph.modules
        if importer.startswith(f"{ROOT}.")
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.startswith(f"{ROOT}.")
    )


def _circles(graph: ImportGraph) -> list[list[str]]:
    """A circle of the root's parts, of what stands in its folders, and of all files, where there are any."""
    found = []
    for depth in (2, 3, 99):
        above: dict[str, set[str]] = {}
        for importer, imported in _imports(graph):
            home, target = _cut(importer, depth), _cut(imported, depth)
            if home != target:
                above.setdefault(home, set()).add(target)
        try:
            TopologicalSorter(above).prepare()
        except CycleError as error:
            found.append(error.args[1])
    return found


def _cut(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:depth])


def _part(module: str) -> str:
    """`backlog` for `streamwarm.backlog.sqlite`; empty for what is not ours."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0] if root == ROOT else ""
