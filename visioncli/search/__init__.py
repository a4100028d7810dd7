"""Finding by likeness: an embed output as an index, its side-car, exact and approximate search, near-duplicates.

A score is the cosine of two stored vectors, computed in float64 and rounded to float32, wherever one is told.
Knows nothing of flags or terminals.
"""
