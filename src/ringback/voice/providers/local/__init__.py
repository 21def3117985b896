"""Speech on this machine: espeak-ng speaks, pocketsphinx listens, each in its own process.

Kept free of imports: the worker processes start through this package and stay small.
"""
