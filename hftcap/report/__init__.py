"""Columns to Parquet tables."""
