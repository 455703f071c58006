"""The root of the Treadle checkout, so that tools can resolve the folders' relative imports; never any code."""
