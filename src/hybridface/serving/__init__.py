"""One process that serves a model over HTTP, with a page. Needs ``[serve]``, no torch."""
