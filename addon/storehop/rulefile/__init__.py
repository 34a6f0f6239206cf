"""From rule files to rules: reads the YAML, checks it with every fault at its line, compiles it (design §4)."""

from storehop.rulefile import files
from storehop.rulefile.compiling import summary
from storehop.rulefile.faults import RuleFault, RuleFileError
from storehop.rulefile.load import LoadResult, load, read

__all__ = ["LoadResult", "RuleFault", "RuleFileError", "files", "load", "read", "summary"]
