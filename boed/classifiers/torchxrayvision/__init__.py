"""torchxrayvision's published classifiers of chest x-rays, read without running their pickles."""
