"""Any notebook as PDF or HTML: no LaTeX, no browser.

The doors are `hwkit export` and nbconvert's exporters; the package imports nothing of hwkit but its errors.
"""

import sys

# Where JupyterLab is, jsonschema imports this package to check URIs, of which notebooks have none. Building its grammar
# takes longer than all other imports of an export together; jsonschema does without what cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
