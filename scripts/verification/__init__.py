"""The long checks of scripts/verify."""
