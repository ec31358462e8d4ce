"""What a reviewer does: start a batch, import and export it, preview it, compare two extractions.

Stands on the same floor as the pipeline and imports only from below; the command line calls it.
"""
