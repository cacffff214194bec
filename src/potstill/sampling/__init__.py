"""Asking models: prompts and draws, what the store lacks, exchanges in rounds, debates."""
