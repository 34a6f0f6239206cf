"""From rule files to rules: YAML is read, checked with every fault at its line, and compiled (design §4)."""

from storehop.rulefile.compiling import summary
from storehop.rulefile.load import Loaded, RuleFault, RuleFileError, load, read

__all__ = ["Loaded", "RuleFault", "RuleFileError", "load", "read", "summary"]
