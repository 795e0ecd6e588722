"""The tests of PoofDB. Their folders mirror those of the code."""
