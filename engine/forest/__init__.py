"""Any tree ensemble compiled once to compact tables, and evaluated for all replicates of many cells at once."""

from engine.forest.forest import Damaged, Forest, Unsupported
from engine.forest.native import INSTRUCTION_SETS, is_built
from engine.forest.trees import joined, replicate_of, tables_of

__all__ = ["INSTRUCTION_SETS", "Damaged", "Forest", "Unsupported", "is_built", "joined", "replicate_of", "tables_of"]
