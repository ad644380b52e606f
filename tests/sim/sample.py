"""The module that the tests are about."""

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "only-on-the-label"
