"""JSON Schema of the run file, for editors and other programs."""

import json
from typing import Any

from pipelines.runfile.schema import RunFile

FILE = "gelisol.schema.json"
"""Name of the file that `gelisol init` leaves beside a run file."""
HEAD = f"# yaml-language-server: $schema={FILE}\n"
"""First line of a run file, by which editors find the schema beside it."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12.

    It knows every key and the type of its value, and refuses others. What depends on several keys, or on files, only
    `gelisol check` can tell.
    """
    found = RunFile.model_json_schema(mode="validation")
    return {"$schema": DIALECT, **found, "title": "Run file of Gelisol"}


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
