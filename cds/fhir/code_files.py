"""Code sets that lie in a file: thousands of lines, read when somebody asks for one."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources.abc import Traversable

from cds.fhir.codes import CodeSet, read_code_sets


class CodeSets(Mapping[str, CodeSet]):
    """The code sets of a CSV file, which is read when the first of them is asked for."""

    def __init__(self, source: Traversable) -> None:
        self._source = source

    @cached_property
    def _sets(self) -> dict[str, CodeSet]:
        return read_code_sets(self._source)

    def __getitem__(self, name: str) -> CodeSet:
        return self._sets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)
