"""What developers run: the development bed, the demo, the test stages and the benches.

Nothing here is part of the product; the package `controller` must not import it.
"""
