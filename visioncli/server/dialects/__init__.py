"""One file a documented API: parse, ask, render, refuse."""
