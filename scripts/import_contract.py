"""A contract for import-linter that says everything a package may import.

Its own contract types forbid a list of modules; the table in question allows one, so that a
dependency nobody thought of is found as well. Imports inside functions and under TYPE_CHECKING
count. It also keeps every package out of its siblings' private modules.
"""

import sys
from typing import Any

from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """`package` imports itself, the standard library and `may_import`: nothing else."""

    package = fields.StringField()
    may_import = fields.ListField(subfield=fields.StringField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        allowed = {self.package, *self.may_import, *sys.stdlib_module_names}
        broken = []
        for importer in sorted({self.package, *graph.find_descendants(self.package)}):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                root, *inner = imported.split(".")
                private = root != self.package and any(part.startswith("_") for part in inner)
                if root not in allowed or private:
                    details = graph.get_import_details(importer=importer, imported=imported)
                    lines = ", ".join(str(detail["line_number"]) for detail in details)
                    broken.append(f"{importer} imports {imported} (line {lines})")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line)
        output.new_line()
