"""mhchem."""
