"""The rooms of the MediRoundSlicer module, one job a file. No torch; the engine is another process."""
