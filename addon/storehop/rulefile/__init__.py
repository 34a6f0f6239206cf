"""From rule files to rules: YAML is read, checked with every fault at its line, and compiled (design §4)."""

from storehop.rulefile import files
from storehop.rulefile.compiling import summary
from storehop.rulefile.faults import RuleFault, RuleFileError
from storehop.rulefile.load import Loaded, load, read

__all__ = ["Loaded", "RuleFault", "RuleFileError", "files", "load", "read", "summary"]
