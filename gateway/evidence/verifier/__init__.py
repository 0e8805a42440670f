"""The verifier that bundles carry, in parts: `standalone` joins them to one file. None imports anything of the product but these."""
