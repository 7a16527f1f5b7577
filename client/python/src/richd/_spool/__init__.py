"""What a run keeps on disk while no daemon answers (proto/SPOOL.md)."""
